package sidecar_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// step is one request.
type step struct {
	name           string
	method, target string
	fields         []string // "Host: …" is the host, shop.test without; "Bearer NAME" stands for a token
	body           string
	unmeasured     bool     // the body is sent without a length
	stalls         bool     // and does not end
	cut            bool     // the answer has no end
	leave          bool     // the client goes away once the service has the request
	differs        []string // what is not the same each time
	unread         bool     // net/http answers it in HTTP/1.1 before a handler runs: it can only be counted
}

func (x step) text() string { return strings.Join(x.fields, "\n") }

// request makes the step's request, with the target as it is written.
func (s *shop) request(ctx context.Context, x step) *http.Request {
	s.t.Helper()
	var body io.Reader
	switch {
	case x.stalls:
		in, out := io.Pipe()
		go io.WriteString(out, x.body)
		s.t.Cleanup(func() { out.Close() })
		body = in
	case x.unmeasured:
		body = io.MultiReader(strings.NewReader(x.body))
	case x.body != "":
		body = strings.NewReader(x.body)
	}
	r, err := http.NewRequestWithContext(ctx, x.method, s.data, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if x.stalls {
		r.ContentLength = int64(len(x.body)) + 10
	}
	path, query, has := strings.Cut(x.target, "?")
	r.URL.Opaque, r.URL.RawQuery, r.URL.ForceQuery = path, query, has
	r.Host = "shop.test"
	r.Header.Set("User-Agent", "a test")
	for _, f := range x.fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		if kind, ok := strings.CutPrefix(value, "Bearer "); ok {
			value = "Bearer " + s.bearer(kind)
		}
		r.Header.Add(name, value)
	}
	return r
}

// bearer makes the token of this name.
func (s *shop) bearer(kind string) string {
	s.t.Helper()
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	switch kind {
	case "reader":
		return s.issuer.token(s.t, "shop.items.read", nil)
	case "writer":
		return s.issuer.token(s.t, "shop.items.read shop.items.write", nil)
	case "other org":
		return s.issuer.token(s.t, "shop.items.read", map[string]any{"org_id": "globex"})
	case "old login":
		return s.issuer.token(s.t, "shop.items.read", map[string]any{"auth_time": ago(time.Hour), "acr": "strong"})
	case "expired":
		return s.issuer.token(s.t, "shop.items.read", map[string]any{"exp": ago(time.Hour)})
	case "not yet valid":
		return s.issuer.token(s.t, "shop.items.read", map[string]any{"nbf": ago(-time.Hour)})
	case "other issuer":
		return s.issuer.token(s.t, "shop.items.read", map[string]any{"iss": "https://other.example"})
	case "audience":
		return s.issuer.token(s.t, "shop.items.read", map[string]any{"aud": "somebody"})
	case "bound":
		return s.issuer.token(s.t, "shop.items.read", map[string]any{"cnf": map[string]string{"jkt": "x"}})
	case "forged":
		return s.issuer.token(s.t, "shop.items.read", nil) + "AA"
	}
	claims := map[string]any{"iss": s.issuer.URL, "sub": "ann", "scope": "shop.items.read", "exp": ago(-time.Hour)}
	switch kind {
	case "none":
		return s.issuer.sign(s.t, map[string]any{"alg": "none", "typ": "at+jwt", "kid": "k1"}, claims)
	case "other type":
		return s.issuer.sign(s.t, map[string]any{"alg": "RS256", "typ": "logout+jwt", "kid": "k1"}, claims)
	case "unknown key":
		return s.issuer.sign(s.t, map[string]any{"alg": "RS256", "typ": "at+jwt", "kid": "k9"}, claims)
	case "other key":
		return s.issuer.sign(s.t, map[string]any{"alg": "RS256", "typ": "at+jwt", "kid": "k1"}, claims)[:200]
	}
	return kind
}

const problem = "Accept: application/problem+json"

// tooLarge: the fast lane may stop before it has found a head's end, and knows no method then.
var tooLarge = []string{"log method"}

// steps are what a client can make happen, each with the reason that stands in the log.
var steps = []step{
	{name: "allowed", method: "GET", target: "/items/1?a=%zz&b;c", fields: []string{"Authorization: Bearer reader", "Cookie: a=b", "X-Note: n"}},
	{name: "allowed with a body", method: "POST", target: "/items/1", fields: []string{"Authorization: Bearer writer"}, body: "a form"},
	{name: "allowed with a body without a length", method: "POST", target: "/items/1", fields: []string{"Authorization: Bearer writer"}, body: "a form", unmeasured: true},
	{name: "allowed HEAD", method: "HEAD", target: "/items/1", fields: []string{"Authorization: Bearer reader"}},
	{name: "identity is not the client's", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer reader", "X-Auth-Subject: evil", "X_Auth_Subject: evil", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher", "X-Request-Id: evil", "Forwarded: for=evil"}},
	{name: "a trace goes on", method: "GET", target: "/open/x", fields: []string{"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate: a=b"}},
	{name: "public", method: "GET", target: "/open/%7euser?"},
	{name: "public, with a credential of another kind", method: "GET", target: "/open/x", fields: []string{"Authorization: Basic YTpi"}},
	{name: "public, a method of nobody's", method: "PURGE", target: "/open/x"},
	{name: "public, answered without a length", method: "GET", target: "/open/streamed"},
	{name: "public, answered with nothing", method: "DELETE", target: "/open/nothing"},
	{name: "ambiguous_request", method: "GET", target: "/open//x"},
	{name: "ambiguous_request for the route", method: "GET", target: "/items/a%2Fb", fields: []string{"Authorization: Bearer reader"}},
	{name: "ambiguous_request, method override", method: "GET", target: "/items/1", fields: []string{"X-HTTP-Method-Override: DELETE"}},
	{name: "ambiguous_request as a problem", method: "GET", target: "/open/%00", fields: []string{problem}},
	{name: "malformed, 501", method: "TRACE", target: "/open/x"},
	{name: "malformed, 417", method: "POST", target: "/open/x", fields: []string{"Expect: 200-ok"}, body: "a form", unread: true},
	{name: "no_route, no service", method: "GET", target: "/open/x", fields: []string{"Host: nobody.test"}},
	{name: "no_route", method: "GET", target: "/nowhere"},
	{name: "no_route as a problem", method: "GET", target: "/nowhere", fields: []string{problem}},
	{name: "no_route with a hint", method: "GET", target: "/closed/", fields: []string{problem, "Authorization: Bearer reader"}},
	{name: "method_not_allowed", method: "DELETE", target: "/items/1"},
	{name: "forbidden", method: "GET", target: "/closed"},
	{name: "token_ambiguous", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer reader", "Authorization: Bearer writer"}},
	{name: "token_ambiguous, query", method: "GET", target: "/items/1?access_token=x", fields: []string{"Authorization: Bearer reader"}},
	{name: "token_missing", method: "GET", target: "/items/1"},
	{name: "token_missing with a body", method: "POST", target: "/items/1", body: "a form"},
	{name: "token_missing as a problem", method: "GET", target: "/items/1", fields: []string{problem}},
	{name: "token_missing to HEAD", method: "HEAD", target: "/items/1"},
	{name: "token_malformed", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer nonsense"}},
	{name: "token_signature", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer forged"}},
	{name: "token_expired", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer expired"}},
	{name: "token_not_yet_valid", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer not yet valid"}},
	{name: "token_issuer", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer other issuer"}},
	{name: "token_audience", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer audience"}},
	{name: "token_type", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer other type"}},
	{name: "token_algorithm", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer none"}},
	{name: "token_bound", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer bound"}},
	{name: "token_unknown_key", method: "GET", target: "/items/1", fields: []string{"Authorization: Bearer unknown key"}},
	{name: "insufficient_scope", method: "POST", target: "/items/1", fields: []string{"Authorization: Bearer reader"}, body: "a form"},
	{name: "insufficient_scope as a problem", method: "POST", target: "/items/1", fields: []string{"Authorization: Bearer reader", problem}},
	{name: "claim_mismatch", method: "GET", target: "/orgs/acme", fields: []string{"Authorization: Bearer other org"}},
	{name: "step_up_required", method: "GET", target: "/fresh", fields: []string{"Authorization: Bearer old login", problem}, differs: []string{"log auth_age"}},
	{name: "head_too_large", method: "GET", target: "/open/x", fields: []string{"X-A: " + strings.Repeat("a", 5<<10)}, differs: tooLarge},
	{name: "head_too_large, 414", method: "GET", target: "/open/" + strings.Repeat("a", 5<<10), differs: tooLarge},
	{name: "body_too_large", method: "POST", target: "/open/x", body: strings.Repeat("a", 2000)},
	{name: "body_too_large, without a length", method: "POST", target: "/open/x", body: strings.Repeat("a", 2000), unmeasured: true},
	{name: "request_timeout", method: "POST", target: "/open/x", fields: []string{"Host: slow.test"}, body: "half", stalls: true},
	{name: "upstream_unreachable", method: "GET", target: "/open/x", fields: []string{"Host: gone.test"}},
	{name: "upstream_unreachable with a body", method: "POST", target: "/open/x", fields: []string{"Host: gone.test"}, body: "a form"},
	{name: "upstream_broken", method: "GET", target: "/open/broken"},
	{name: "upstream_timeout", method: "GET", target: "/open/silent", fields: []string{"Host: slow.test"}},
	{name: "an answer that breaks off", method: "POST", target: "/open/half", cut: true},
	{name: "client_closed", method: "POST", target: "/open/silent", leave: true},
	{name: "preflight", method: "OPTIONS", target: "/items/1", fields: []string{"Origin: https://app.example", "Access-Control-Request-Method: POST"}},
	{name: "preflight_refused", method: "OPTIONS", target: "/items/1", fields: []string{"Origin: https://evil.example", "Access-Control-Request-Method: POST"}},
	{name: "a page's request", method: "GET", target: "/open/x", fields: []string{"Origin: https://app.example"}},
	{name: "a page's refusal", method: "GET", target: "/items/1", fields: []string{"Origin: https://app.example"}},
}

// calls are gRPC's.
var calls = []step{
	{name: "allowed", method: "POST", target: "/shop.Items/Get", fields: []string{"Host: rpc.test", "Authorization: Bearer reader", "Content-Type: application/grpc", "Te: trailers"}, body: "\x00\x00\x00\x00\x00", unmeasured: true},
	{name: "no token", method: "POST", target: "/shop.Items/Get", fields: []string{"Host: rpc.test", "Content-Type: application/grpc", "Te: trailers"}, body: "\x00\x00\x00\x00\x00", unmeasured: true},
	{name: "no such method", method: "POST", target: "/shop.Items/None", fields: []string{"Host: rpc.test", "Content-Type: application/grpc+proto", "Te: trailers"}},
	{name: "the service is not there", method: "POST", target: "/open/x", fields: []string{"Host: gone.test", "Content-Type: application/grpc", "Te: trailers"}},
}
