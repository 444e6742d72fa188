package policy_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/policy"
)

// naiveRoute is a pattern as the documentation explains it.
type naiveRoute []string

// matches is the definition of matching: segment by segment.
func (n naiveRoute) matches(path []string) bool {
	for i, s := range n {
		switch {
		case s == "**":
			return len(path) > i
		case i >= len(path):
			return false
		case strings.HasPrefix(s, "{"):
			if path[i] == "" {
				return false
			}
		case s != path[i]:
			return false
		}
	}
	return len(n) == len(path)
}

func rank(s string) int {
	switch {
	case s == "**":
		return 2
	case strings.HasPrefix(s, "{"):
		return 1
	}
	return 0
}

// naiveFind tries every pattern and compares those that match from the left.
func naiveFind(routes []naiveRoute, path []string) string {
	var won naiveRoute
	for _, r := range routes {
		if !r.matches(path) {
			continue
		}
		if won == nil || slices.CompareFunc(r, won, func(a, b string) int { return rank(a) - rank(b) }) < 0 {
			won = r
		}
	}
	if won == nil {
		return ""
	}
	return "/" + strings.Join(won, "/")
}

func shape(r naiveRoute) string {
	var b strings.Builder
	for _, s := range r {
		if strings.HasPrefix(s, "{") {
			s = "{}"
		}
		b.WriteString("/" + s)
	}
	return b.String()
}

// drawRoutes makes patterns over so few words that they collide often.
func drawRoutes(t *rapid.T) []naiveRoute {
	segment := rapid.SampledFrom([]string{"a", "b", "c", "{x}", "{x}"})
	seen := map[string]bool{}
	var routes []naiveRoute
	for range rapid.IntRange(1, 14).Draw(t, "routes") {
		r := naiveRoute(rapid.SliceOfN(segment, 0, 4).Draw(t, "pattern"))
		for i := range r {
			if r[i] == "{x}" {
				r[i] = fmt.Sprintf("{x%d}", i)
			}
		}
		switch rapid.IntRange(0, 3).Draw(t, "end") {
		case 0:
			r = append(r, "**")
		case 1:
			r = append(r, "")
		}
		if len(r) == 0 {
			r = naiveRoute{""}
		}
		if !seen[shape(r)] {
			seen[shape(r)] = true
			routes = append(routes, r)
		}
	}
	return routes
}

// TestTheIndexIsTheOracle holds the compiled index against a matcher that tries
// every pattern: never wider, never narrower, and the same winner.
func TestTheIndexIsTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		routes := drawRoutes(t)
		var src strings.Builder
		src.WriteString("version: 1\nservice: s\nroutes:\n")
		for _, r := range routes {
			fmt.Fprintf(&src, "  /%s:\n    GET: public\n", strings.Join(r, "/"))
		}
		p, findings := policy.Load("p", []byte(src.String()))
		if p == nil {
			t.Fatalf("%s\n%s", src.String(), findings)
		}
		for range 30 {
			path := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "a%20"}), 0, 5).Draw(t, "path")
			if len(path) == 0 || rapid.IntRange(0, 2).Draw(t, "slash") == 0 {
				path = append(path, "")
			}
			target := "/" + strings.Join(path, "/")
			req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: target, Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if m := p.Match(&req); m.Route != nil {
				got = m.Route.Template()
			}
			if want := naiveFind(routes, path); got != want {
				t.Fatalf("%s\n%s goes to %q, the oracle says %q", src.String(), target, got, want)
			}
		}
	})
}

// tree is a requirement as data, evaluated by its definition.
type tree struct {
	op    string // any, all, scope, claim, age
	kids  []tree
	scope string
}

var words = []string{"a", "b", "c", "d", "e"}

// implied is the vocabulary of these tests: a implies b, b implies c.
var implied = map[string][]string{"a": {"b", "c"}, "b": {"c"}}

const vocabulary = "scopes:\n  a: { implies: b }\n  b: { implies: [c] }\n  c: C\n  d: D\n  e: E\n"

func drawTree(t *rapid.T, depth int) tree {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	switch {
	case depth == 0 || kind < 2:
		return tree{op: "scope", scope: rapid.SampledFrom(words).Draw(t, "scope")}
	case kind == 2:
		return tree{op: "claim"}
	case kind == 3:
		return tree{op: "age"}
	}
	n := tree{op: "all"}
	if kind == 4 {
		n.op = "any"
	}
	used := map[string]bool{}
	for range rapid.IntRange(1, 3).Draw(t, "kids") {
		k := drawTree(t, depth-1)
		if k.op == "scope" && used[k.scope] {
			continue
		}
		used[k.scope] = k.op == "scope"
		n.kids = append(n.kids, k)
	}
	return n
}

func (n tree) yaml() string {
	switch n.op {
	case "scope":
		return n.scope
	case "claim":
		return "{ claims: { tier: gold } }"
	case "age":
		return "{ max_age: 15m }"
	}
	var parts []string
	for _, k := range n.kids {
		parts = append(parts, k.yaml())
	}
	return "{ " + n.op + ": [" + strings.Join(parts, ", ") + "] }"
}

func (n tree) holds(scopes map[string]bool, claim, age bool) bool {
	switch n.op {
	case "scope":
		return scopes[n.scope]
	case "claim":
		return claim
	case "age":
		return age
	case "any":
		return slices.ContainsFunc(n.kids, func(k tree) bool { return k.holds(scopes, claim, age) })
	}
	return !slices.ContainsFunc(n.kids, func(k tree) bool { return !k.holds(scopes, claim, age) })
}

// TestTheFormulaIsTheDefinition holds the compiled requirement, the order of
// its reasons and the proposed scopes against their definitions, over every
// set of scopes and every outcome of the conditions.
func TestTheFormulaIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := tree{op: rapid.SampledFrom([]string{"any", "all"}).Draw(t, "op"), kids: []tree{drawTree(t, 2)}}
		if k := drawTree(t, 2); k.op != "scope" || k.scope != n.kids[0].scope {
			n.kids = append(n.kids, k)
		}
		src := "version: 1\nservice: s\n" + vocabulary + "routes:\n  /:\n    GET: " + n.yaml() + "\n"
		p, findings := policy.Load("p", []byte(src))
		if p == nil {
			t.Fatalf("%s\n%s", src, findings)
		}
		req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: "/", Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
		if err != nil {
			t.Fatal(err)
		}
		for set := range 1 << len(words) {
			for conditions := range 4 {
				checkDecision(t, p, &req, n, src, set, conditions&1 != 0, conditions&2 != 0)
			}
		}
	})
}

func checkDecision(t *rapid.T, p *policy.Policy, req *policy.Request, n tree, src string, set int, claim, young bool) {
	var held []string
	closed := map[string]bool{}
	for i, w := range words {
		if set>>i&1 == 0 {
			continue
		}
		held = append(held, w)
		closed[w] = true
		for _, x := range implied[w] {
			closed[x] = true
		}
	}
	caller := &policy.Caller{Scopes: p.Scopes(held), AuthAge: 1, AuthAgeKnown: young, Claims: map[string]any{}}
	if claim {
		caller.Claims["tier"] = "gold"
	}
	want := policy.ReasonStepUpRequired
	switch {
	case n.holds(closed, claim, young):
		want = policy.ReasonAllowed
	case !n.holds(closed, true, true):
		want = policy.ReasonInsufficientScope
	case !n.holds(closed, claim, true):
		want = policy.ReasonClaimMismatch
	}
	d := p.Decide(req, caller)
	if d.Reason != want {
		t.Fatalf("%s\nheld %v claim %v young %v: %s, want %s", src, held, claim, young, d.Reason, want)
	}
	if want != policy.ReasonInsufficientScope {
		return
	}
	// The proposal does under the conditions as they are, where any scopes would; else with all of them met.
	if all := map[string]bool{"a": true, "b": true, "c": true, "d": true, "e": true}; !n.holds(all, claim, young) {
		caller.AuthAgeKnown, caller.Claims["tier"] = true, "gold"
	}
	proposed := p.Scopes(append(slices.Clone(held), d.Missing()...))
	for other := range 1 << len(words) { // no other set does with fewer rights
		more := slices.Clone(held)
		for i, w := range words {
			if other>>i&1 != 0 {
				more = append(more, w)
			}
		}
		caller.Scopes = p.Scopes(more)
		if again := p.Decide(req, caller); again.Allow && len(caller.Scopes.Words()) < len(proposed.Words()) {
			t.Fatalf("%s\nheld %v: %v was proposed, and %v does with fewer rights", src, held, d.Missing(), more)
		}
	}
	caller.Scopes = proposed
	if again := p.Decide(req, caller); !again.Allow {
		t.Fatalf("%s\nheld %v: with the missing %v it is still %s", src, held, d.Missing(), again.Reason)
	}
	for i := range d.Missing() {
		less := slices.Delete(d.Missing(), i, i+1)
		caller.Scopes = p.Scopes(append(slices.Clone(held), less...))
		if again := p.Decide(req, caller); again.Allow {
			t.Fatalf("%s\nheld %v: of the missing %v, %s is not needed", src, held, d.Missing(), d.Missing()[i])
		}
	}
}

// FuzzLoad: no bytes make the loader panic; what loads has routes that answer
// their own sample, and findings have places.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("version: 1\nservice: s\n" + vocabulary + "routes:\n  /a/{b}/**:\n    GET: { all: [a, { any: [b, { acr: x }] }], claims: { t.u: [\"{b}\", 7] }, max_age: 15m }\n    ANY: nobody\n    accept: [semicolon]\n  /:\n    GET: public\n    upgrade: [websocket]\npersonas:\n  p:\n    scopes: [a]\n    claims: { t: { u: 7 } }\n    allow: [GET /]\n    deny: [{ request: GET /a, reason: no_route }]\n"))
	f.Add([]byte("a: &x [*x]"))
	f.Add([]byte("? {a: b}\n: c"))
	f.Fuzz(func(t *testing.T, src []byte) {
		p, findings := policy.Load("f", src)
		for _, x := range findings {
			if x.Line < 1 || x.Column < 1 || x.Message == "" || x.ID == "" {
				t.Fatalf("a finding without a place: %#v", x)
			}
		}
		if (p == nil) != findings.HasErrors() {
			t.Fatalf("policy %v with findings %v", p != nil, findings)
		}
		if p == nil {
			return
		}
		checkLoaded(t, p, src)
	})
}

// checkLoaded: loading is a function of the bytes; every path answers its own
// sample unless a more specific one does; and nobody in particular passes only
// where the rule says public.
func checkLoaded(t *testing.T, p *policy.Policy, src []byte) {
	again, _ := policy.Load("f", src)
	if again == nil || again.Hash() != p.Hash() || !slices.Equal(facts(again), facts(p)) || !slices.Equal(again.Warnings(), p.Warnings()) {
		t.Fatal("the same bytes loaded twice differ")
	}
	for _, r := range p.Routes() {
		req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: sampleOf(r.Template()), Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
		if err != nil {
			t.Fatalf("%q loaded, and the guard refuses its sample: %v", r.Template(), err)
		}
		d := p.Decide(&req, &policy.Caller{Anonymous: true})
		if d.Match.Route == nil && (d.Reason != policy.ReasonAmbiguousRequest || r.Accepted() == 0) {
			t.Fatalf("%q does not answer its sample: %s", r.Template(), d.Reason)
		}
		if d.Allow && !d.Match.Rule.Public() {
			t.Fatalf("%q lets nobody in particular in without a public rule", r.Template())
		}
	}
}

// sampleOf is a request target that a template matches.
func sampleOf(template string) string {
	segments := strings.Split(template, "/")
	for i, s := range segments {
		if s == "**" || strings.HasPrefix(s, "{") {
			segments[i] = "~sample"
		} else {
			segments[i] = url.PathEscape(s)
		}
	}
	return strings.Join(segments, "/")
}

// facts are what a policy says, one line a rule.
func facts(p *policy.Policy) []string {
	var out []string
	for _, r := range p.Routes() {
		for _, rule := range r.Rules() {
			out = append(out, strings.Join([]string{r.Template(), r.Allow(), rule.Method(), rule.Position(), rule.Requirement()}, "\x00"))
		}
	}
	return out
}

// manyRoutes is a policy of n routes as services have them.
func manyRoutes(tb testing.TB, n int) *policy.Policy {
	tb.Helper()
	var src strings.Builder
	src.WriteString("version: 1\nservice: s\n" + vocabulary + "routes:\n")
	for i := range n / 4 {
		fmt.Fprintf(&src, "  /api/v1/resource%d:\n    GET: a\n    POST: b\n", i)
		fmt.Fprintf(&src, "  /api/v1/resource%d/{id}:\n    GET: a\n", i)
		fmt.Fprintf(&src, "  /api/v1/resource%d/{id}/items/{item}:\n    GET: { any: [a, d] }\n", i)
		fmt.Fprintf(&src, "  /api/v1/resource%d/admin/**:\n    ANY: e\n", i)
	}
	p, findings := policy.Load("p", []byte(src.String()))
	if p == nil {
		tb.Fatal(findings)
	}
	return p
}

// BenchmarkMatch: at most 300 ns on 1,000 routes, without allocation.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		p := manyRoutes(b, max(n, 12))
		req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: "/api/v1/resource2/7f3a/items/42", Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if m := p.Match(&req); m.Rule == nil {
					b.Fatal(m.Reason)
				}
			}
		})
	}
}

// BenchmarkDecide is match and permit of an allowed caller.
func BenchmarkDecide(b *testing.B) {
	p := manyRoutes(b, 1000)
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: "/api/v1/resource2/7f3a/items/42", Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		b.Fatal(err)
	}
	caller := &policy.Caller{Scopes: p.Scopes([]string{"d"})}
	b.ReportAllocs()
	for b.Loop() {
		if d := p.Decide(&req, caller); !d.Allow {
			b.Fatal(d.Reason)
		}
	}
}
