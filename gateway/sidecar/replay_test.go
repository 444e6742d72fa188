package sidecar_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/learn"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/replay"
)

// storePolicy has a rule of every kind.
const storePolicy = `version: 1
service: store
scopes:
  store.read: Read
  store.write: Write
  store.all: { about: All of it, implies: [store.read, store.write] }
routes:
  /items/{id}:
    GET: store.read
    POST: { any: [store.write, store.all] }
    DELETE: { all: [store.read, store.write] }
  /items/new:
    GET: authenticated
  /orgs/{org}/bills:
    GET: { all: [store.read], claims: { org_id: "{org}" } }
  /teams/{team}:
    GET: { claims: { realm.teams: "{team}" } }
  /fresh:
    GET: { all: [store.read], max_age: 5m }
  /strong:
    GET: { all: [store.read], acr: strong }
  /closed:
    GET: nobody
  /open/**:
    ANY: public
  /odd/{name}:
    accept: [encoded_slash, semicolon, method_override, query_token]
    GET: store.read
    POST: store.write
    DELETE: store.all
`

// asked is a request of the log that TestALogIsReplayed makes.
type asked struct {
	method, target string
	token          string // a key of storeTokens; "" for none
	fields         string // more head fields
}

// storeTokens are who asks: scopes, and more claims.
var storeTokens = map[string]struct {
	scopes string
	more   map[string]any
}{
	"reader":  {"store.read", nil},
	"writer":  {"store.write", nil},
	"all":     {"store.all", nil},
	"both":    {"store.read store.write", nil},
	"nothing": {"", nil},
	"foreign": {"store.export other.read", nil},
	"acme":    {"store.read", map[string]any{"org_id": "acme", "realm": map[string]any{"teams": []string{"red", "blue"}}, "plan": "gold"}},
	"number":  {"store.read", map[string]any{"org_id": 7, "realm": "none", "acr": "strong", "auth_time": time.Now().Add(-time.Minute).Unix()}},
	"long":    {"store.read", map[string]any{"org_id": strings.Repeat("x", 600), "acr": "weak", "auth_time": time.Now().Add(-time.Hour).Unix()}},
	"early":   {"store.read", map[string]any{"auth_time": time.Now().Add(time.Hour).Unix()}},
	"expired": {"store.read", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}},
}

// storeRequests are all of: every rule, by everybody, and what no rule is for.
func storeRequests() (all []asked) {
	targets := []string{"/items/1", "/items/new", "/items/%E2%82%AC", "/orgs/acme/bills", "/orgs/7/bills", "/teams/red", "/fresh", "/strong", "/closed", "/open/x/y", "/open/", "/nowhere", "/odd/a%2Fb", "/odd/a;v=1"}
	for _, who := range []string{"", "reader", "writer", "all", "both", "nothing", "foreign", "acme", "number", "long", "early", "expired"} {
		for _, target := range targets {
			all = append(all, asked{"GET", target, who, ""})
		}
		for _, method := range []string{"POST", "DELETE", "HEAD", "PATCH"} {
			all = append(all, asked{method, "/items/1", who, ""})
		}
		all = append(all,
			asked{"POST", "/odd/x", who, "X-HTTP-Method-Override: DELETE\r\n"},
			asked{"POST", "/items/1", who, "X-HTTP-Method-Override: DELETE\r\n"},
			asked{"GET", "/odd/x?access_token=abc", who, ""},
			asked{"GET", "/items/1?access_token=abc", who, ""},
			asked{"GET", "/items/a%2Fb", who, ""},
			asked{"GET", "/items/a/../b", who, ""},
			asked{"GET", "/items/" + strings.Repeat("x", 600), who, ""},
			asked{"GET", "/items/1", who, "Authorization: Basic eDp5\r\n"},
			asked{"TRACE", "/items/1", who, ""},
		)
	}
	return all
}

// storeLog is the log of a gateway that was asked all of it over real sockets.
func storeLog(t *testing.T, hideRoutes bool) string {
	w := newWorld(t)
	w.write("policies/billing.yaml", storePolicy)
	w.write("gateway.yaml", w.config(fmt.Sprintf("hide_routes: %v\n", hideRoutes)))
	w.ready()
	tokens := map[string]string{}
	for who, token := range storeTokens {
		tokens[who] = w.issuer.token(t, token.scopes, token.more)
	}
	all := storeRequests()
	for _, x := range all {
		head := x.fields
		if x.token != "" {
			head += "Authorization: Bearer " + tokens[x.token] + "\r\n"
		}
		w.raw(x.method + " " + x.target + " HTTP/1.1\r\nHost: store.test\r\nContent-Length: 0\r\nConnection: close\r\n" + head + "\r\n")
	}
	w.eventually("every line", func() bool { return len(w.log.lines(t)) == len(all) })
	return w.log.String()
}

// raw sends bytes as they are and reads the answer.
func (w *world) raw(request string) {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.data, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		w.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.t.Fatalf("%.80q: %v", request, err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// learnedFrom wants the policy that is learned of a log to allow what the gateway allowed.
func learnedFrom(t *testing.T, log string) {
	g := learn.NewLog(learn.Config{})
	var r decisions.Reader
	if _, err := r.Read(t.Context(), []decisions.Source{decisions.Stream("log", strings.NewReader(log))}, func(_ int, r *decisions.Record) { g.Add(r) }); err != nil {
		t.Fatal(err)
	}
	d := g.Draft("store")
	report := replayed(t, log, d.YAML)
	if cut := always["GET : allowed, value_cut"]; report.Lost.Lines > 0 || report.OpenAllow.Lines != cut || d.Unplaced.Lines != cut {
		t.Errorf("%+v %+v %+v\n%s", report.Lost, report.OpenAllow, d.Unplaced, d.YAML)
	}
	for _, want := range []string{"accept: [encoded_slash, semicolon]\n", "accept: [method_override, query_token]\n", `claims: { org_id: "{id}" }`} {
		if !strings.Contains(d.YAML, want) {
			t.Errorf("%s is missing in\n%s", want, d.YAML)
		}
	}
}

// replayed puts a log to a policy.
func replayed(t *testing.T, log, src string) *replay.Report {
	t.Helper()
	p, findings := policy.Load("candidate.yaml", []byte(src))
	if p == nil {
		t.Fatal(findings)
	}
	cfg := replay.Config{Policies: map[string]*policy.Policy{"store": p}, Samples: 1}
	r, err := cfg.Run(t.Context(), &decisions.Reader{Jobs: 2}, []decisions.Source{decisions.Stream("log", strings.NewReader(log))})
	if err != nil {
		t.Fatal(err)
	}
	if r.Counts.Unreadable+r.Counts.Truncated > 0 {
		t.Errorf("the gateway's own lines cannot be read: %v", r.Counts.Faults)
	}
	return r
}

// What a gateway did with requests of every kind is what its own policy says to the lines of its
// log; another policy says otherwise to exactly the requests that it is about.
func TestALogIsReplayed(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		t.Run(fmt.Sprintf("hide_routes %v", hidden), func(t *testing.T) {
			log := storeLog(t, hidden)
			t.Run("learned", func(t *testing.T) { learnedFrom(t, log) })
			for _, c := range candidates {
				t.Run(c.name, func(t *testing.T) {
					r := replayed(t, log, strings.NewReplacer(c.edit...).Replace(storePolicy))
					if hidden && c.hidden != nil {
						c = *c.hidden
					}
					c.check(t, r)
				})
			}
		})
	}
}

// counts are lines: of changes, or of what cannot be told.
type counts map[string]int64

// otherPolicy is an edit of the policy, what it is to change, and which of its requests the log cannot
// tell.
type otherPolicy struct {
	name       string
	edit       []string
	want, open counts
	hidden     *otherPolicy // where routes are hidden, if it is otherwise then
}

// always are those that the log cannot tell under any policy: a path and a claim that were cut.
var always = counts{
	"GET /orgs/{org}/bills: claim_mismatch, claim_not_recorded": 2,
	"GET : allowed, value_cut":                                  7,
	"GET : insufficient_scope, value_cut":                       3,
	"GET : token_expired, value_cut":                            1,
	"GET : token_missing, value_cut":                            1,
}

var candidates = []otherPolicy{
	{name: "nothing", edit: nil},
	{
		name: "a scope renamed in the vocabulary",
		edit: []string{"store.write", "store.change"},
		want: counts{
			"allow_to_deny DELETE /items/{id}: allowed, now insufficient_scope": 1,
			"allow_to_deny POST /items/{id}: allowed, now insufficient_scope":   2,
		},
	},
	{
		name: "another vocabulary, the same meaning",
		edit: []string{"store.read: Read", "other.read: Other\n  store.read: Read"},
	},
	{
		name: "an implication dropped",
		edit: []string{"implies: [store.read, store.write]", "implies: [store.write]"},
		want: counts{
			"allow_to_deny DELETE /items/{id}: allowed, now insufficient_scope":    1,
			"allow_to_deny GET /items/{id}: allowed, now insufficient_scope":       2,
			"allow_to_deny GET /odd/{name}: allowed, now insufficient_scope":       3,
			"allow_to_deny HEAD /items/{id}: allowed, now insufficient_scope":      1,
			"reason GET /fresh: step_up_required, now insufficient_scope":          1,
			"reason GET /orgs/{org}/bills: claim_mismatch, now insufficient_scope": 2,
			"reason GET /strong: step_up_required, now insufficient_scope":         1,
		},
	},
	{
		name: "all becomes any",
		edit: []string{"all: [store.read, store.write]", "any: [store.read, store.write]"},
		want: counts{
			"deny_to_allow DELETE /items/{id}: insufficient_scope, now allowed": 6,
		},
	},
	{
		name: "a word of nobody's vocabulary",
		edit: []string{"store.read: Read", "store.export: Export\n  store.read: Read", "/items/new:\n    GET: authenticated", "/items/new:\n    GET: store.export"},
		want: counts{
			"allow_to_deny GET /items/new: allowed, now insufficient_scope": 9,
		},
	},
	{
		name: "a closed route opened",
		edit: []string{"GET: nobody", "GET: public"},
		want: counts{
			"deny_to_allow GET /closed: forbidden, now public": 12,
		},
	},
	{
		name: "a public route closed",
		edit: []string{"ANY: public", "ANY: authenticated"},
		open: counts{
			"GET /open/**: public, caller_unknown": 24,
		},
	},
	{
		name: "a claim that was not read",
		edit: []string{"/items/new:\n    GET: authenticated", "/items/new:\n    GET: { claims: { plan: gold } }"},
		open: counts{
			"GET /items/new: allowed, claim_not_recorded": 10,
		},
	},
	{
		name: "a claim of another segment",
		edit: []string{"org_id: \"{org}\"", "org_id: acme"},
		want: counts{
			"allow_to_deny GET /orgs/{org}/bills: allowed, now claim_mismatch": 1,
			"deny_to_allow GET /orgs/{org}/bills: claim_mismatch, now allowed": 1,
		},
	},
	{
		name: "a longer session",
		edit: []string{"max_age: 5m", "max_age: 2h"},
		want: counts{
			"deny_to_allow GET /fresh: step_up_required, now allowed": 1,
		},
	},
	{
		name: "a limit within a second",
		edit: []string{"max_age: 5m", "max_age: 60500ms"},
	},
	{
		name: "a weaker login",
		edit: []string{"acr: strong", "acr: [strong, weak]"},
		want: counts{
			"deny_to_allow GET /strong: step_up_required, now allowed": 1,
		},
	},
	{
		name: "exceptions to the guard dropped",
		edit: []string{"    accept: [encoded_slash, semicolon, method_override, query_token]\n", ""},
		want: counts{
			"allow_to_deny DELETE : allowed, now ambiguous_request":           1,
			"allow_to_deny GET /odd/{name}: allowed, now token_ambiguous":     7,
			"allow_to_deny GET : allowed, now ambiguous_request":              14,
			"reason DELETE : insufficient_scope, now ambiguous_request":       9,
			"reason DELETE : token_expired, now ambiguous_request":            1,
			"reason DELETE : token_missing, now ambiguous_request":            1,
			"reason GET /odd/{name}: insufficient_scope, now token_ambiguous": 3,
			"reason GET : insufficient_scope, now ambiguous_request":          6,
			"reason GET : token_expired, now ambiguous_request":               2,
			"reason GET : token_missing, now ambiguous_request":               2,
		},
	},
	{
		name: "an exception to the guard added",
		edit: []string{"  /items/{id}:\n", "  /items/{id}:\n    accept: [encoded_slash, method_override]\n"},
		open: counts{
			"GET /items/{id}: ambiguous_request, caller_unknown":         12,
			"POST /items/{id}: ambiguous_request, override_not_recorded": 12,
		},
	},
	{
		name: "a route for what had none",
		edit: []string{"/closed:", "/nowhere:\n    GET: store.read\n  /closed:"},
		open: counts{
			"GET /nowhere: no_route, caller_unknown": 12,
		},
		hidden: &otherPolicy{want: counts{
			"deny_to_allow GET /nowhere: no_route, now allowed":     7,
			"reason GET /nowhere: no_route, now insufficient_scope": 3,
		}, open: counts{}},
	},
	{
		name: "a route taken away",
		edit: []string{"  /items/new:\n    GET: authenticated\n", ""},
		want: counts{
			"allow_to_deny GET /items/{id}: allowed, now insufficient_scope": 3,
		},
	},
	{
		name: "a method added",
		edit: []string{"    POST: { any: [store.write, store.all] }", "    POST: { any: [store.write, store.all] }\n    PATCH: public"},
		want: counts{
			"deny_to_allow PATCH /items/{id}: method_not_allowed, now public": 12,
		},
		hidden: &otherPolicy{want: counts{
			"deny_to_allow PATCH /items/{id}: method_not_allowed, now public": 10,
			"deny_to_allow PATCH /items/{id}: token_expired, now public":      1,
			"deny_to_allow PATCH /items/{id}: token_missing, now public":      1,
		}, open: counts{}},
	},
}

func (c *otherPolicy) check(t *testing.T, r *replay.Report) {
	got, open := counts{}, counts{}
	for _, x := range r.Changes {
		got[fmt.Sprintf("%s %s %s: %s, now %s", x.Kind, x.Method, x.Route, x.From, x.To)] += x.Lines
	}
	for _, x := range r.Open {
		open[fmt.Sprintf("%s %s: %s, %s", x.Method, x.Route, x.From, x.Why)] += x.Lines
	}
	want := maps.Clone(always)
	maps.Copy(want, c.open)
	if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("changes: %s", d)
	}
	if d := cmp.Diff(want, open); d != "" {
		t.Errorf("cannot be told: %s", d)
	}
}
