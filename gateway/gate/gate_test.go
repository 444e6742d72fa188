package gate_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

const billing = `
version: 1
service: example_service
scopes:
  example_service.billing.read: Read billing
  example_service.billing.write: Write billing
  example_service.billing.all:
    about: Everything
    implies: [example_service.billing.read, example_service.billing.write]
routes:
  /billing/:
    GET: example_service.billing.read
    POST: example_service.billing.write
  /billing/{org}/close:
    POST:
      all: [example_service.billing.write]
      claims: { org_id: "{org}" }
      max_age: 15m
      acr: [silver, gold]
  /whoami:
    GET: authenticated
  /closed:
    ANY: nobody
  /form:
    accept: [method_override]
    DELETE: example_service.billing.write
    POST: example_service.billing.read
  /download:
    accept: [query_token]
    GET: example_service.billing.read
  /healthz:
    GET: public
`

var theMint = newMint()

// tokens are what the verifier of these tests knows, by the raw text.
var tokens = map[string]*token.Token{
	"reader": theMint.issued(map[string]any{"sub": "alice", "client_id": "cli", "scope": "example_service.billing.read other.thing.read", "org_id": "acme"}),
	"nobody": theMint.issued(map[string]any{"sub": "bob"}),
	"all": theMint.issued(map[string]any{"sub": "carol", "scope": "example_service.billing.all", "acr": "bronze",
		"org_id": "acme", "tenants": []string{"a", "b,c"}, "level": 7, "nested": map[string]any{}}),
}

type verifier map[string]*token.Token

func (v verifier) Verify(_ context.Context, raw string, _ *token.Acceptance) (*token.Token, error) {
	if t := v[raw]; t != nil {
		return t, nil
	}
	if reason, ok := strings.CutPrefix(raw, "fails:"); ok {
		return nil, &token.Error{Reason: token.Reason(reason), Detail: "said the test"}
	}
	return nil, errors.New("a fault without a name: secret-detail")
}

func (v verifier) Active(*token.Token) bool { return true }

type recorder struct {
	reasons  []gate.Reason
	outcomes []gate.Outcome
}

func (r *recorder) Record(x *gate.Exchange, o gate.Outcome) {
	r.reasons = append(r.reasons, x.Reason())
	r.outcomes = append(r.outcomes, o)
}

func loadPolicy(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, findings := policy.Load("test.yaml", []byte(text))
	if p == nil {
		t.Fatal(findings)
	}
	return p
}

func newGate(t testing.TB, services ...*gate.Service) (*gate.Gate, *recorder) {
	t.Helper()
	snapshot, err := gate.NewSnapshot(services, verifier(tokens), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	return gate.New(snapshot, r), r
}

// request parses "GET /path" and "Name: value" lines.
func request(line string, fields ...string) *gate.Request {
	method, target, _ := strings.Cut(line, " ")
	in := &gate.Request{
		Method: method, Target: target, Hosts: []string{"billing.test"}, ProtoMajor: 1, ProtoMinor: 1,
		Peer: netip.MustParseAddrPort("192.0.2.1:40000"),
	}
	h := http.Header{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(name, value)
		if gate.IsOverride(name) {
			in.Overrides = append(in.Overrides, value)
		}
	}
	in.Header = h
	return in
}

func field(a gate.Answer, name string) string {
	for _, f := range a.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// TestRefusals holds the table of answers: order of questions, status, reason,
// body and challenge.
func TestRefusals(t *testing.T) {
	const invalid = `Bearer realm="example_service", error="invalid_token"`
	cases := []struct {
		name, line string
		fields     []string
		status     int
		reason     gate.Reason
		body       string
		challenge  string
	}{
		{"two readings", "GET /billing/../healthz", nil, 400, "ambiguous_request", `{"detail":"Bad Request","guard":"dot_segment"}`, ""},
		{"two readings on no route", "GET /nowhere/%2F", nil, 400, "ambiguous_request", `{"detail":"Bad Request","guard":"encoded_slash"}`, ""},
		{"method that is never served", "TRACE /healthz", nil, 501, "malformed", `{"detail":"Not Implemented"}`, ""},
		{"no route", "GET /nowhere", nil, 404, "no_route", `{"detail":"Not Found"}`, ""},
		{"no redirect for a missing slash", "GET /billing", nil, 404, "no_route", `{"detail":"Not Found"}`, ""},
		{"no route, whatever the token", "GET /nowhere", []string{"Authorization: Bearer fails:token_expired"}, 404, "no_route", `{"detail":"Not Found"}`, ""},
		{"method not listed", "PUT /billing/", nil, 405, "method_not_allowed", `{"detail":"Method Not Allowed"}`, ""},
		{"closed route, before any token", "GET /closed", []string{"Authorization: Bearer fails:token_expired"}, 403, "forbidden", `{"detail":"Not enough permissions"}`, ""},
		{"no token", "GET /billing/", nil, 401, "token_missing", `{"detail":"Not authenticated"}`, `Bearer realm="example_service"`},
		{"another scheme is no token", "GET /billing/", []string{"Authorization: Basic YTpi"}, 401, "token_missing", `{"detail":"Not authenticated"}`, `Bearer realm="example_service"`},
		{"a token in the query is no token", "GET /billing/?access_token=reader", nil, 401, "token_missing", `{"detail":"Not authenticated"}`, `Bearer realm="example_service"`},
		{"two Authorization fields", "GET /billing/", []string{"Authorization: Bearer reader", "Authorization: Bearer reader"}, 400, "token_ambiguous", `{"detail":"Bad Request"}`, `Bearer realm="example_service", error="invalid_request"`},
		{"header and query at once", "GET /billing/?access%5Ftoken=x", []string{"Authorization: Bearer reader"}, 400, "token_ambiguous", `{"detail":"Bad Request"}`, `Bearer realm="example_service", error="invalid_request"`},
		{"expired", "GET /billing/", []string{"Authorization: Bearer fails:token_expired"}, 401, "token_expired", `{"detail":"Invalid token"}`, invalid},
		{"forged", "GET /billing/", []string{"Authorization: Bearer fails:token_signature"}, 401, "token_signature", `{"detail":"Invalid token"}`, invalid},
		{"without keys nobody is guilty", "GET /billing/", []string{"Authorization: Bearer fails:keys_unavailable"}, 503, "keys_unavailable", `{"detail":"Service Unavailable"}`, ""},
		{"a fault of ours tells nothing", "GET /billing/", []string{"Authorization: Bearer what"}, 500, "internal", `{"detail":"Internal Server Error"}`, ""},
		{"scope missing", "POST /billing/", []string{"Authorization: Bearer reader"}, 403, "insufficient_scope", `{"detail":"Not enough permissions"}`,
			`Bearer realm="example_service", error="insufficient_scope", scope="example_service.billing.write"`},
		{"claim differs", "POST /billing/other/close", []string{"Authorization: Bearer all"}, 403, "claim_mismatch", `{"detail":"Not enough permissions"}`, ""},
		{"login too weak and too old", "POST /billing/acme/close", []string{"Authorization: Bearer all"}, 401, "step_up_required", `{"detail":"Login too old"}`,
			`Bearer realm="example_service", error="insufficient_user_authentication", max_age="900", acr_values="silver gold"`},
		{"method override not accepted", "GET /billing/", []string{"X-HTTP-Method-Override: DELETE", "Authorization: Bearer reader"}, 400, "ambiguous_request", `{"detail":"Bad Request","guard":"method_override"}`, ""},
		{"accepted override is judged as what it asks for", "POST /form", []string{"X_Http_Method_Override: DELETE", "Authorization: Bearer reader"}, 403, "insufficient_scope", `{"detail":"Not enough permissions"}`,
			`Bearer realm="example_service", error="insufficient_scope", scope="example_service.billing.write"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, r := newGate(t, &gate.Service{Policy: loadPolicy(t, billing)})
			var x gate.Exchange
			g.Begin(&x, request(c.line, c.fields...))
			err := x.Admit(t.Context())
			if err == nil {
				t.Fatal("admitted")
			}
			a := x.Refuse(t.Context(), err)
			x.End(gate.Outcome{Status: a.Status})
			got := []any{a.Status, x.Reason(), string(a.Body), field(a, "WWW-Authenticate")}
			want := []any{c.status, c.reason, c.body, c.challenge}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
			if field(a, "X-Request-Id") == "" || field(a, "Cache-Control") != "no-store" {
				t.Errorf("fields = %v", a.Fields)
			}
			if c.status == 503 && field(a, "Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			if c.status == 405 && field(a, "Allow") != "GET, HEAD, POST" {
				t.Errorf("Allow = %q", field(a, "Allow"))
			}
			if len(r.reasons) != 1 {
				t.Errorf("%d records, want 1", len(r.reasons))
			}
		})
	}
}

func TestAdmitted(t *testing.T) {
	cases := []struct {
		name, line string
		fields     []string
		sent       string // method, query, reason as sent on
	}{
		{"scope held", "GET /billing/?a=1&&b", []string{"Authorization: Bearer reader"}, "GET a=1&&b allowed"},
		{"scope implied", "POST /billing/", []string{"Authorization: bearer all"}, "POST  allowed"},
		{"HEAD goes by GET", "HEAD /billing/", []string{"Authorization: Bearer reader"}, "HEAD  allowed"},
		{"any token will do", "GET /whoami", []string{"Authorization: Bearer nobody"}, "GET  allowed"},
		{"public looks at no token", "GET /healthz", []string{"Authorization: Bearer fails:token_expired"}, "GET  public"},
		{"public does not mind two tokens", "GET /healthz", []string{"Authorization: Bearer a", "Authorization: Bearer b"}, "GET  public"},
		{"an override that asks for the same method", "GET /billing/", []string{"X-HTTP-Method-Override: GET", "Authorization: Bearer reader"}, "GET  allowed"},
		{"accepted override is sent as what it asks for", "POST /form?_method=DELETE&a=1", []string{"Authorization: Bearer all"}, "DELETE a=1 allowed"},
		{"accepted query token is the service's own", "GET /download?access_token=x", []string{"Authorization: Bearer reader"}, "GET access_token=x allowed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, billing)})
			var x gate.Exchange
			g.Begin(&x, request(c.line, c.fields...))
			if err := x.Admit(t.Context()); err != nil {
				t.Fatal(err)
			}
			query, _ := x.Query()
			if got := strings.Join([]string{x.Method(), query, string(x.Reason())}, " "); got != c.sent {
				t.Errorf("sent on as %q, want %q", got, c.sent)
			}
		})
	}
}

// outbound is what a lane sends: the client's lines that are kept, and ours.
func outbound(x *gate.Exchange, fields ...string) map[string]string {
	out := map[string]string{}
	for _, f := range fields {
		if name, value, _ := strings.Cut(f, ": "); x.Keep(name, value) {
			out[name] = value
		}
	}
	x.Add(func(name, value string) { out[name] = value })
	return out
}

func TestFieldsSentToTheService(t *testing.T) {
	spoof := []string{
		"X-Auth-Subject: admin", "x-auth-scopes: everything", "X~Auth~Subject: admin", "X_Auth_Issuer: me", "X.Auth.Client: me",
		"X-Tenants: evil", "x_tenants: evil", "X-Forwarded-For: 10.1.1.1", "X-Forwarded-Host: evil", "X-Forwarded-Prefix: /admin", "X-Real-IP: 10.1.1.1", "X_Forwarded_Proto: https", "X.Real.IP: 192.0.2.66",
		"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "Forwarded: for=10.1.1.1", "Remote-User: admin", "Proxy: http://evil",
		"X-Request-Id: chosen", "Transfer_Encoding: chunked", "Content_Length: 5", "Cookie: a=b", "Cook_ie: x", "Authorization_: Bearer x",
		"Accept: text/plain", "Traceparent: nonsense", "Tracestate: a=b", "Expect: 100-continue", "Connection: X-Auth-Subject",
	}
	service := func() *gate.Service {
		return &gate.Service{
			Policy:       loadPolicy(t, billing),
			ClaimHeaders: []gate.ClaimHeader{{Claim: "tenants", Header: "X-Tenants"}, {Claim: "level", Header: "X-Level"}, {Claim: "nested", Header: "X-Nested"}},
			KeepHeaders:  []string{"Remote-User"},
		}
	}
	run := func(t *testing.T, line, peer, auth string, more ...string) map[string]string {
		g, _ := newGate(t, service())
		var x gate.Exchange
		fields := append(slices.Clone(spoof), more...)
		if auth != "" {
			fields = append(fields, "Authorization: "+auth)
		}
		in := request(line, fields...)
		in.Peer = netip.MustParseAddrPort(peer)
		g.Begin(&x, in)
		if err := x.Admit(t.Context()); err != nil {
			t.Fatal(err)
		}
		out := outbound(&x, fields...)
		for _, random := range []string{"X-Request-Id", "Traceparent"} {
			if v := out[random]; v == "" || v == "chosen" && peer[:2] != "10" || v == "nonsense" {
				t.Errorf("%s: %q", random, v)
			}
			delete(out, random)
		}
		return out
	}
	t.Run("on a token route", func(t *testing.T) {
		want := map[string]string{
			"Accept": "text/plain", "Cookie": "a=b", "Cook_ie": "x", "Authorization_": "Bearer x", "Remote-User": "admin",
			"X-Auth-Subject": "carol", "X-Auth-Issuer": "http://issuer.test",
			"X-Auth-Scopes":   "example_service.billing.all example_service.billing.read example_service.billing.write",
			"X-Tenants":       "a,b%2Cc",
			"X-Level":         "7",
			"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "billing.test",
		}
		if d := cmp.Diff(want, run(t, "GET /billing/", "192.0.2.1:1", "Bearer all")); d != "" {
			t.Errorf("fields (-want +got):\n%s", d)
		}
	})
	t.Run("on a public route", func(t *testing.T) {
		got := run(t, "GET /healthz", "192.0.2.1:1", "Bearer all")
		for name := range got {
			if strings.HasPrefix(strings.ToLower(name), "x-auth") || name == "X-Tenants" || name == "Authorization" {
				t.Errorf("%s: %s reaches the service", name, got[name])
			}
		}
		if basic := run(t, "GET /healthz", "192.0.2.1:1", "Basic YTpi"); basic["Authorization"] != "Basic YTpi" {
			t.Error("another scheme does not pass on a public route")
		}
	})
	t.Run("from a trusted proxy", func(t *testing.T) {
		got := run(t, "GET /billing/", "10.0.0.7:1", "Bearer all")
		for name, want := range map[string]string{
			"X-Forwarded-For": "10.1.1.1, 10.0.0.7", "X-Forwarded-Host": "evil", "X-Forwarded-Prefix": "/admin",
			"X-Real-IP": "10.1.1.1", "X-Forwarded-Proto": "http", "X-Auth-Subject": "carol",
			"X_Forwarded_Proto": "", "X.Real.IP": "", // what its client sent, and it did not know
		} {
			if got[name] != want {
				t.Errorf("%s: %q, want %q", name, got[name], want)
			}
		}
	})
}

func TestHostsChooseTheService(t *testing.T) {
	named := func(name string, hosts ...string) *gate.Service {
		return &gate.Service{Policy: loadPolicy(t, "version: 1\nservice: "+name+"\nroutes:\n  /**:\n    ANY: public\n"), Hosts: hosts}
	}
	services := []*gate.Service{named("exact", "a.example.com"), named("near", "*.b.example.com"), named("wide", "*.example.com"), named("any")}
	snapshot, err := gate.NewSnapshot(services, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"a.example.com": "exact", "a.example.com:8443": "exact", "x.b.example.com": "near", "x.y.b.example.com": "near",
		"b.example.com": "wide", "x.a.example.com": "wide", "example.com": "any", "other.test": "any", "[::1]:80": "any", "": "any",
	} {
		if got := snapshot.Service(host).Name(); got != want {
			t.Errorf("host %q goes to %q, want %q", host, got, want)
		}
	}
	if _, err := gate.NewSnapshot([]*gate.Service{named("a", "x.test"), named("b", "x.test")}, nil, nil); err == nil {
		t.Error("two services on one host are accepted")
	}
	if _, err := gate.NewSnapshot([]*gate.Service{named("a"), named("b")}, nil, nil); err == nil {
		t.Error("two services on any host are accepted")
	}
}

// Before a valid token no answer names scopes or routes, and explain: none
// keeps quiet after it too.
func TestRefusalsTellOnlyWhoMayKnow(t *testing.T) {
	accept := "Accept: application/problem+json"
	cases := []struct {
		name    string
		service gate.Service
		line    string
		fields  []string
		has     string // in body or challenge
		hasNot  string
	}{
		{"a hint needs a token", gate.Service{}, "GET /billing", []string{accept}, `"reason":"no_route"`, "hint"},
		{"a hint with a token", gate.Service{}, "GET /billing", []string{accept, "Authorization: Bearer nobody"}, `there is a route /billing/`, ""},
		{"missing scopes", gate.Service{}, "POST /billing/", []string{accept, "Authorization: Bearer reader"}, `"missing":["example_service.billing.write"]`, ""},
		{"explain none", gate.Service{Explain: gate.ExplainNone}, "POST /billing/", []string{accept, "Authorization: Bearer reader"}, `"detail":"Not enough permissions"`, "example_service.billing"},
		{"explain none says no rule", gate.Service{Explain: gate.ExplainNone}, "GET /a/../b", nil, `{"detail":"Bad Request"}`, ""},
		{"q=0 asks for nothing", gate.Service{}, "POST /billing/", []string{accept + ";q=0", "Authorization: Bearer reader"}, `{"detail":"Not enough permissions"}`, "missing"},
		{"hidden routes", gate.Service{HideRoutes: true}, "GET /nowhere", nil, "Not authenticated", "Not Found"},
		{"hidden methods", gate.Service{HideRoutes: true}, "PUT /billing/", nil, "Not authenticated", "Not Allowed"},
		{"hidden routes show with a token", gate.Service{HideRoutes: true}, "GET /nowhere", []string{"Authorization: Bearer nobody"}, "Not Found", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.service.Policy = loadPolicy(t, billing)
			g, _ := newGate(t, &c.service)
			var x gate.Exchange
			g.Begin(&x, request(c.line, c.fields...))
			a := x.Refuse(t.Context(), x.Admit(t.Context()))
			all := string(a.Body) + field(a, "WWW-Authenticate")
			if !strings.Contains(all, c.has) || c.hasNot != "" && strings.Contains(all, c.hasNot) {
				t.Errorf("answer %s\nwant %q, not %q", all, c.has, c.hasNot)
			}
			if field(a, "Vary") != "Accept" {
				t.Error("the answer differs by Accept and does not say so")
			}
		})
	}
}

func TestGRPCCallersGetTrailersOnly(t *testing.T) {
	for line, want := range map[string]string{
		"POST /billing/": "16 token_missing", "POST /nowhere": "12 no_route", "POST /a%2fb": "3 ambiguous_request", "POST /closed": "7 forbidden",
	} {
		g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, billing)})
		var x gate.Exchange
		in := request(line, "Content-Type: application/grpc+proto")
		in.ProtoMajor, in.ProtoMinor = 2, 0
		g.Begin(&x, in)
		a := x.Refuse(t.Context(), x.Admit(t.Context()))
		if got := field(a, "Grpc-Status") + " " + field(a, "Grpc-Message"); got != want || a.Status != 200 || len(a.Body) > 0 || !a.Trailers {
			t.Errorf("%s: %d %s, body %q, want 200 %s", line, a.Status, got, a.Body, want)
		}
	}
	g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, billing)})
	var x gate.Exchange
	g.Begin(&x, request("POST /billing/", "Content-Type: application/grpc"))
	if a := x.Refuse(t.Context(), x.Admit(t.Context())); a.Status != 401 {
		t.Errorf("over HTTP/1.1 a refusal is %d, want 401", a.Status)
	}
}

// Every reason that the rooms below can give has its row.
func TestEveryReasonHasAVerdict(t *testing.T) {
	have := map[string]bool{string(gate.ReasonAllowed): true, string(gate.ReasonPublic): true}
	for _, r := range gate.Reasons() {
		have[string(r)] = true
	}
	for _, r := range policy.Reasons() {
		if !have[r.String()] {
			t.Errorf("policy reason %s has no verdict", r)
		}
	}
	for _, r := range token.Reasons() {
		if !have[string(r)] {
			t.Errorf("token reason %s has no verdict", r)
		}
	}
}

// The verifier knows when its next fetch may be, and the caller is told.
func TestRetryAfterIsTheVerifiersOwn(t *testing.T) {
	for after, want := range map[time.Duration]string{0: "5", 6200 * time.Millisecond: "7"} {
		g, _ := newGate(t)
		var x gate.Exchange
		g.Begin(&x, request("GET /billing/"))
		a := x.Refuse(t.Context(), &token.Error{Reason: token.ReasonKeysUnavailable, RetryAfter: after})
		if got := field(a, "Retry-After"); a.Status != 503 || got != want {
			t.Errorf("after %s: %d, Retry-After %q, want %q", after, a.Status, got, want)
		}
	}
}

func TestInFlightIsBounded(t *testing.T) {
	s := &gate.Service{Policy: loadPolicy(t, billing), InFlight: new(atomic.Int64), InFlightMax: 1}
	g, r := newGate(t, s)
	var first, second gate.Exchange
	g.Begin(&first, request("GET /healthz"))
	if err := first.Admit(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Begin(&second, request("GET /healthz"))
	a := second.Refuse(t.Context(), second.Admit(t.Context()))
	second.End(gate.Outcome{Status: a.Status})
	if a.Status != 503 || second.Reason() != gate.ReasonOverloaded {
		t.Errorf("the second is answered %d %s", a.Status, second.Reason())
	}
	first.End(gate.Outcome{Status: 200})
	g.Begin(&second, request("GET /healthz"))
	if err := second.Admit(t.Context()); err != nil {
		t.Errorf("after the first is over: %v", err)
	}
	if d := cmp.Diff([]gate.Reason{"overloaded", "public"}, r.reasons); d != "" {
		t.Error(d)
	}
}

// A stream goes on while the policy of the moment would still have it.
func TestStreamsEndWithTheirRight(t *testing.T) {
	open := loadPolicy(t, billing)
	g, _ := newGate(t, &gate.Service{Policy: open})
	var x gate.Exchange
	g.Begin(&x, request("GET /billing/", "Authorization: Bearer reader"))
	if err := x.Admit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := x.StillAllowed(); !ok {
		t.Error("not allowed under the same policy")
	}
	for name, text := range map[string]string{
		"route gone":   strings.Replace(billing, "/billing/:\n", "/elsewhere/:\n", 1),
		"needs more":   strings.Replace(billing, "GET: example_service.billing.read", "GET: example_service.billing.write", 1),
		"closed":       strings.Replace(billing, "GET: example_service.billing.read", "GET: nobody", 1),
		"service gone": "",
	} {
		var services []*gate.Service
		if text != "" {
			services = append(services, &gate.Service{Policy: loadPolicy(t, text)})
		}
		s, err := gate.NewSnapshot(services, verifier(tokens), nil)
		if err != nil {
			t.Fatal(err)
		}
		g.Publish(s)
		if _, ok := x.StillAllowed(); ok {
			t.Errorf("%s: still allowed", name)
		}
	}
}
