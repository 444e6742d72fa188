package gate

import (
	"strings"
	"testing"
)

// Every spelling that a CGI-like stack folds to the same variable is the same
// field for the gate. Sources: CVE-2025-64484 (underscore), CVE-2026-54763 and
// the dot form against Traefik, net/http forwarding X~Auth~Subject.
func TestFieldClassSeesThroughSpellings(t *testing.T) {
	cases := []struct {
		class fieldClass
		names string
	}{
		{fieldOurs, "X-Auth-Subject x-auth-subject X_Auth_Subject X~Auth~Subject X.Auth.Subject X-AUTH-anything x!auth!scopes X-Request-ID x_request_id"},
		{fieldForwarding, "X-Forwarded-For x-forwarded-host X_Forwarded_Proto X.Forwarded.Prefix X-Real-IP X_Real_IP"},
		{fieldDropped, "X-Original-URL X_Original_URL X-Rewrite-Url x-original-uri X-Replaced-Path X-Envoy-Original-Path Forwarded forwarded Remote-User Remote_User Proxy"},
		{fieldHop, "Connection Keep-Alive TE Trailer Transfer-Encoding Transfer_Encoding Content-Length Content_Length Upgrade HTTP2-Settings Proxy-Connection Proxy-Authorization Expect"},
		{fieldCredential, "Authorization authorization"},
		{fieldExact, "Host Cookie cookie"},
		{fieldOverride, "X-HTTP-Method-Override x_http_method_override X-HTTP-Method X-Method-Override X.Method.Override"},
		{fieldTrace, "Traceparent tracestate"},
		{fieldPlain, "Accept Content-Type User-Agent X-Authority X-Author X-Forwarded X-Custom Date If-Match Idempotency-Key Auth-Subject"},
	}
	for _, c := range cases {
		for name := range strings.FieldsSeq(c.names) {
			if got := classify(name); got != c.class {
				t.Errorf("classify(%q) = %d, want %d", name, got, c.class)
			}
		}
	}
	if got := classify("X-Auth-" + strings.Repeat("a", 4096)); got != fieldOurs {
		t.Errorf("a very long identity name is class %d, want %d", got, fieldOurs)
	}
}

func TestNamesThatConfigurationMayNotTake(t *testing.T) {
	cases := []struct {
		names       string
		keep, claim bool
	}{
		{"X-Auth-Subject X_Auth_Tenant Connection Transfer-Encoding Content-Length Host Cookie Authorization X-HTTP-Method-Override Expect X-Request-Id Traceparent", false, false},
		{"X-Forwarded-Prefix X-Real-IP Remote-User Forwarded Proxy X-Original-URL", true, false},
		{"Content-Type Content_Encoding", true, false},
		{"X-Tenant X-Org", true, true},
	}
	for _, c := range cases {
		for name := range strings.FieldsSeq(c.names) {
			if MayKeep(name) != c.keep || MayCarryClaim(name) != c.claim {
				t.Errorf("%s: keep %t, claim %t; want %t, %t", name, MayKeep(name), MayCarryClaim(name), c.keep, c.claim)
			}
		}
	}
}

func TestBearerIsTheOnlySchemeThatCarriesAToken(t *testing.T) {
	cases := []struct {
		value, raw string
		ok         bool
	}{
		{"Bearer abc", "abc", true},
		{"bearer abc", "abc", true},
		{"BEARER   abc", "abc", true},
		{" Bearer abc ", "abc", true},
		{"Bearer", "", true}, // a credential without a token is a bad one, not a missing one
		{"Bearer a b", "a b", true},
		{"Bearer\tabc", "\tabc", false},
		{"Bearerabc", "abc", false},
		{"Basic dXNlcjpwYXNz", "", false},
		{"DPoP abc", "", false},
		{"", "", false},
	}
	for _, c := range cases {
		raw, ok := bearer(c.value)
		if ok != c.ok || ok && raw != c.raw {
			t.Errorf("bearer(%q) = %q, %v, want %q, %v", c.value, raw, ok, c.raw, c.ok)
		}
	}
}

func TestIdentityValuesAreVisibleASCII(t *testing.T) {
	cases := []struct{ in, want string }{
		{"alice", "alice"},
		{"a b", "a%20b"},
		{"a,b", "a%2Cb"},
		{"100%", "100%25"},
		{"zoë", "zo%C3%AB"},
		{"x\r\nX-Auth-Scopes: all", "x%0D%0AX-Auth-Scopes:%20all"},
		{"\x00\x7f", "%00%7F"},
	}
	for _, c := range cases {
		if got := encode(c.in); got != c.want {
			t.Errorf("encode(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestTraceparentIsPassedOnOnlyWhenWellFormed(t *testing.T) {
	good := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if !isTraceparent(good) || !isTraceparent(new(made).traceparent()) {
		t.Error("a well-formed traceparent is refused")
	}
	for _, bad := range []string{
		"", good[:54], good + "0", strings.ToUpper(good), "ff" + good[2:],
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	} {
		if isTraceparent(bad) {
			t.Errorf("isTraceparent(%q) = true", bad)
		}
	}
}
