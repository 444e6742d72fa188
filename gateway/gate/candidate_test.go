package gate_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// nextBilling reads other scopes and claims than billing, opens some of its doors and closes others.
const nextBilling = `
version: 1
service: example_service
scopes:
  example_service.billing.read: Read billing
  example_service.billing.export: Export billing
  other.thing.read: Read things
routes:
  /billing/:
    GET: other.thing.read
    POST: public
  /billing/{org}/close:
    POST: { claims: { level: 7 } }
  /whoami:
    GET: { max_age: 5m }
  /closed:
    ANY: authenticated
  /files/{name}:
    accept: [encoded_slash]
    GET: public
  /form:
    accept: [method_override]
    DELETE: public
  /download:
    accept: [query_token]
    GET: example_service.billing.read
  /healthz:
    GET: example_service.billing.read
`

// What the candidate says of each request, and that it says so without a look at any token that
// the active policy did not ask for.
func TestCandidates(t *testing.T) {
	const reader, all, expired = "Authorization: Bearer reader", "Authorization: Bearer all", "Authorization: Bearer fails:token_expired"
	cases := []struct {
		name, line string
		fields     []string
		active     gate.Reason
		verdict    gate.Verdict
		reason     gate.Reason
	}{
		{"a scope that only the candidate knows, held", "GET /billing/", []string{reader}, "allowed", gate.CandidateAllows, "allowed"},
		{"and not held", "GET /billing/", []string{all}, "allowed", gate.CandidateDenies, "insufficient_scope"},
		{"refused for a scope, public for the candidate", "POST /billing/", []string{reader}, "insufficient_scope", gate.CandidateAllows, "public"},
		{"no token, public for the candidate", "POST /billing/", nil, "token_missing", gate.CandidateAllows, "public"},
		{"a bad token, public for the candidate", "POST /billing/", []string{expired}, "token_expired", gate.CandidateAllows, "public"},
		{"no token for either", "GET /billing/", nil, "token_missing", gate.CandidateDenies, "token_missing"},
		{"a bad token for either", "GET /billing/", []string{expired}, "token_expired", gate.CandidateDenies, "token_expired"},
		{"no keys for either", "GET /billing/", []string{"Authorization: Bearer fails:keys_unavailable"}, "keys_unavailable", gate.CandidateDenies, "keys_unavailable"},
		{"a fault of ours for either", "GET /billing/", []string{"Authorization: Bearer what"}, "internal", gate.CandidateDenies, "internal"},
		{"two credentials for either", "GET /billing/", []string{reader, all}, "token_ambiguous", gate.CandidateDenies, "token_ambiguous"},
		{"a claim that only the candidate reads", "POST /billing/acme/close", []string{all}, "step_up_required", gate.CandidateAllows, "allowed"},
		{"and that differs", "POST /billing/acme/close", []string{reader}, "insufficient_scope", gate.CandidateDenies, "claim_mismatch"},
		{"a login that is too old for the candidate", "GET /whoami", []string{reader}, "allowed", gate.CandidateDenies, "step_up_required"},
		{"closed, open with a token that nobody looked at", "GET /closed", []string{reader}, "forbidden", gate.CandidateUndecided, ""},
		{"closed, and there is no token", "GET /closed", nil, "forbidden", gate.CandidateDenies, "token_missing"},
		{"closed, and there are two tokens", "GET /closed", []string{reader, all}, "forbidden", gate.CandidateDenies, "token_ambiguous"},
		{"public, closed for who has no token", "GET /healthz", nil, "public", gate.CandidateDenies, "token_missing"},
		{"public, another scheme is no token", "GET /healthz", []string{"Authorization: Basic YTpi"}, "public", gate.CandidateDenies, "token_missing"},
		{"public, a token that nobody looked at", "GET /healthz", []string{reader}, "public", gate.CandidateUndecided, ""},
		{"public, a token in the query beside it", "GET /healthz?access_token=x", []string{reader}, "public", gate.CandidateDenies, "token_ambiguous"},
		{"a parameter that both accept", "GET /download?access_token=x", []string{reader}, "allowed", gate.CandidateAllows, "allowed"},
		{"a route that only the candidate has", "GET /files/a", nil, "no_route", gate.CandidateAllows, "public"},
		{"an exception to the guard that only the candidate has", "GET /files/a%2Fb", nil, "ambiguous_request", gate.CandidateAllows, "public"},
		{"two readings for either", "GET /billing//", nil, "ambiguous_request", gate.CandidateDenies, "ambiguous_request"},
		{"a route that neither has", "GET /nowhere", nil, "no_route", gate.CandidateDenies, "no_route"},
		{"a method that neither has", "PUT /billing/", nil, "method_not_allowed", gate.CandidateDenies, "method_not_allowed"},
		{"a method asked for by override", "POST /form", []string{"X-HTTP-Method-Override: DELETE", reader}, "insufficient_scope", gate.CandidateAllows, "public"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &gate.Service{Policy: loadPolicy(t, billing), Candidate: loadPolicy(t, nextBilling)}
			verified := 0
			n, err := gate.NewSnapshot([]*gate.Service{s}, counting{verifier(tokens), &verified}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var x gate.Exchange
			gate.New(n, &recorder{}).Begin(&x, request(c.line, c.fields...))
			if err := x.Admit(t.Context()); err != nil {
				x.Refuse(t.Context(), err)
			}
			before, looked := x, verified
			got, judged := x.Candidate()
			if x.Reason() != c.active {
				t.Errorf("the active policy says %s, want %s", x.Reason(), c.active)
			}
			if !judged || got.Verdict != c.verdict || got.Reason != c.reason {
				t.Errorf("the candidate says %v %s (%t), want %v %s", got.Verdict, got.Reason, judged, c.verdict, c.reason)
			}
			if verified != looked {
				t.Error("a token was verified for the candidate")
			}
			if !sameExchange(&before, &x) {
				t.Error("the exchange has changed")
			}
		})
	}
}

// counting counts how often tokens are verified.
type counting struct {
	gate.Verifier
	n *int
}

func (c counting) Verify(ctx context.Context, raw string, a *token.Acceptance) (*token.Token, error) {
	*c.n++
	return c.Verifier.Verify(ctx, raw, a)
}

func sameExchange(a, b *gate.Exchange) bool {
	return a.Reason() == b.Reason() && a.Token() == b.Token() && a.Anonymous() == b.Anonymous() && *a.Match() == *b.Match() &&
		a.Decision().Allow == b.Decision().Allow && a.Refusal() == b.Refusal()
}

// requests are what a client may send, as far as a policy can tell.
var requests = func() (all []*gate.Request) {
	for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS", "PURGE"} {
		for _, path := range []string{"/billing/", "/billing/acme/close", "/whoami", "/closed", "/form", "/download?access_token=x", "/healthz",
			"/nowhere", "/files/a%2Fb", "/billing//", "/billing/../healthz"} {
			for _, fields := range [][]string{nil, {"Authorization: Bearer reader"}, {"Authorization: Bearer all"}, {"Authorization: Bearer fails:token_expired"},
				{"Authorization: Bearer reader", "Accept: application/problem+json"}, {"Authorization: Bearer reader", "X-HTTP-Method-Override: DELETE"},
				{"Origin: https://app.example", "Access-Control-Request-Method: POST"}} {
				in := request(method+" "+path, append(fields, "X-Request-Id: given", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")...)
				in.Peer = netip.MustParseAddrPort("10.0.0.1:40000") // whose request id is believed
				all = append(all, in)
			}
		}
	}
	return all
}()

var policies = map[string]string{
	"everything public": "version: 1\nservice: example_service\nroutes: { /**: { accept: [encoded_slash, semicolon, empty_segment, method_override, query_token], upgrade: [websocket], ANY: public, GET: public } }\n",
	"everything closed": "version: 1\nservice: example_service\nroutes: { /**: { ANY: nobody } }\n",
	"any token":         "version: 1\nservice: example_service\nroutes: { /**: { ANY: authenticated } }\n",
	"billing":           billing,
	"next billing":      nextBilling,
}

// What a candidate says is what the gate will say once it is the policy, of whatever policy it is the
// candidate; it is undecided only where a token was sent and not looked at. So a policy that is its
// own candidate never differs from itself.
func TestACandidateSaysWhatItWillSayOncePromoted(t *testing.T) {
	for is, text := range policies {
		promoted, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, text)})
		for of, active := range policies {
			g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, active), Candidate: loadPolicy(t, text)})
			for _, in := range requests {
				var now, then gate.Exchange
				admitted := func(g *gate.Gate, x *gate.Exchange) bool {
					g.Begin(x, in)
					err := x.Admit(t.Context())
					if err != nil {
						x.Refuse(t.Context(), err)
					}
					return err == nil
				}
				admitted(g, &now)
				allows := admitted(promoted, &then)
				c, judged := now.Candidate()
				switch {
				case !judged:
					if now.Service() != nil { // else it has no reading
						t.Errorf("%s of %s: %s %s is not judged", is, of, in.Method, in.Target)
					}
				case c.Verdict == gate.CandidateUndecided:
					if is == of || in.Header.Values("Authorization") == nil || now.Token() != nil || then.Token() == nil && !strings.HasPrefix(string(then.Reason()), "token_") {
						t.Errorf("%s of %s: %s %s %v is undecided", is, of, in.Method, in.Target, in.Header)
					}
				case (c.Verdict == gate.CandidateAllows) != allows || c.Reason != then.Reason():
					t.Errorf("%s of %s: %s %s %v: the candidate says %v %s, and once promoted %t %s", is, of, in.Method, in.Target, in.Header, c.Verdict, c.Reason, allows, then.Reason())
				}
			}
		}
	}
}

// A candidate decides about nothing: whatever it says, the answer, what the service is told of
// the caller and what the record says are the same, byte for byte, as without it.
func TestACandidateChangesNothing(t *testing.T) {
	cors := &gate.CORS{Origins: []string{"https://app.example"}, MaxAge: time.Hour}
	claims := []gate.ClaimHeader{{Header: "X-Org", Claim: "org_id"}}
	for _, hide := range []bool{false, true} {
		service := func(candidate *policy.Policy) *gate.Service {
			return &gate.Service{Policy: loadPolicy(t, billing), Candidate: candidate, CORS: cors, HideRoutes: hide, ClaimHeaders: claims}
		}
		for name, text := range policies {
			with, _ := newGate(t, service(loadPolicy(t, text)))
			without, _ := newGate(t, service(nil))
			for _, in := range requests {
				if d := cmp.Diff(outcomeOf(t, without, in), outcomeOf(t, with, in)); d != "" {
					t.Errorf("%s, %s %s %v: %s", name, in.Method, in.Target, in.Header, d)
				}
			}
		}
	}
}

// outcomeOf is all that client and service see of a request.
func outcomeOf(t *testing.T, g *gate.Gate, in *gate.Request) map[string]any {
	t.Helper()
	var x gate.Exchange
	g.Begin(&x, in)
	out := map[string]any{}
	if err := x.Admit(t.Context()); err != nil {
		a := x.Refuse(t.Context(), err)
		out["status"], out["body"], out["fields"] = a.Status, string(a.Body), slices.Clone(a.Fields)
	} else {
		var sent []gate.Field
		x.Add(func(name, value string) { sent = append(sent, gate.Field{Name: name, Value: value}) })
		out["sent"], out["method"], out["path"] = sent, x.Method(), x.Request().Path
	}
	x.Candidate() // as a recorder does
	out["reason"], out["anonymous"], out["allow"] = x.Reason(), x.Anonymous(), x.Decision().Allow
	return out
}

// What never came as far as a policy, and what announces another request, is not compared.
func TestWhatNoCandidateIsAskedAbout(t *testing.T) {
	open := loadPolicy(t, "version: 1\nservice: example_service\nroutes: { /**: { ANY: public } }\n")
	g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, billing), Candidate: open, Hosts: []string{"billing.test"}, CORS: &gate.CORS{Origins: []string{"https://app.example"}}})
	elsewhere := request("GET /billing/")
	elsewhere.Hosts = []string{"other.test"}
	for name, in := range map[string]*gate.Request{
		"no reading":                            request("GET /billing/../x"),
		"no such method":                        request("TRACE /billing/"),
		"no service":                            elsewhere,
		"a preflight":                           request("OPTIONS /billing/", "Origin: https://app.example", "Access-Control-Request-Method: POST"),
		"a preflight for nothing that there is": request("OPTIONS /nowhere", "Origin: https://app.example", "Access-Control-Request-Method: POST"),
	} {
		var x gate.Exchange
		g.Begin(&x, in)
		err := x.Admit(t.Context())
		if err == nil {
			t.Fatal(name, "admitted")
		}
		x.Refuse(t.Context(), err)
		if c, judged := x.Candidate(); judged {
			t.Errorf("%s: %v", name, c.Verdict)
		}
	}
}

// A candidate costs a remembered token's request no allocation.
func TestJudgingByACandidateAllocatesNothing(t *testing.T) {
	for name, c := range candidateRequests() {
		t.Run(name, func(t *testing.T) {
			x := admittedWithCandidate(t, c)
			if n := testing.AllocsPerRun(1000, func() { x.Candidate() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// BenchmarkCandidate is what a candidate adds to a request, but for counting what it says: at most 1 µs.
func BenchmarkCandidate(b *testing.B) {
	for name, c := range candidateRequests() {
		b.Run(name, func(b *testing.B) {
			x := admittedWithCandidate(b, c)
			b.ReportAllocs()
			for b.Loop() {
				x.Candidate()
			}
		})
	}
}

func candidateRequests() map[string]*gate.Request {
	return map[string]*gate.Request{
		"by scope":     request("GET /billing/?page=2", "Authorization: Bearer reader"),
		"by claim":     request("POST /billing/acme/close", "Authorization: Bearer all"),
		"of no token":  request("GET /billing/"),
		"of bad token": request("GET /billing/", "Authorization: Bearer fails:token_expired"),
		"public":       request("GET /healthz", "Authorization: Bearer reader"),
		"no route":     request("GET /nowhere"),
	}
}

func admittedWithCandidate(tb testing.TB, in *gate.Request) *gate.Exchange {
	tb.Helper()
	g, _ := newGate(tb, &gate.Service{Policy: loadPolicy(tb, billing), Candidate: loadPolicy(tb, nextBilling)})
	x := &gate.Exchange{}
	g.Begin(x, in)
	if err := x.Admit(tb.Context()); err != nil {
		x.Refuse(tb.Context(), err)
	}
	return x
}
