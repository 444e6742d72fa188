package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/policy"
)

// TestDiffIsBruteForce holds Compare against brute force: every path over a few
// segments, every method, every token over a few words and values is put to both
// policies. Each pair of rules that answer together must be reported with the
// kinds that were seen, and no other.
func TestDiffIsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawer{t, rapid.IntRange(0, 4).Draw(t, "extras") == 0}
		old := d.policy("old", nil)
		new := d.policy("new", old)
		checkDiff(t, old.load(t), new.load(t), old.src+"\n"+new.src)
	})
}

// pairing is what brute force tells apart: the rules that answer, or the routes
// and the exception that only one of them accepts.
type pairing struct {
	old, new           *policy.Rule
	oldRoute, newRoute *policy.Route
	exception          policy.GuardRule
	upgrade            string
}

type seen struct {
	before, after, wider, narrower bool
}

func (s seen) kinds() (out []string) {
	if s.wider {
		out = append(out, "loosened")
		if !s.before {
			out[0] = "opened"
		}
	}
	if s.narrower {
		out = append(out, "tightened")
		if !s.after {
			out[len(out)-1] = "closed"
		}
	}
	return out
}

func checkDiff(t *rapid.T, old, new *policy.Policy, src string) {
	want := bruteForce(t, old, new, src)
	diff := policy.Compare(old, new)
	if !diff.Exact {
		t.Fatalf("%s\nnot exact: %v", src, diff.Changes)
	}
	got := map[pairing][]string{}
	for i := range diff.Changes {
		x := &diff.Changes[i]
		checkWitness(t, old, new, x, src)
		got[pairingOf(x)] = append(got[pairingOf(x)], x.Kind.String())
	}
	for key, s := range want {
		if !slices.Equal(s.kinds(), got[key]) {
			t.Fatalf("%s\n%s: brute force says %v, Compare %v", src, key, s.kinds(), got[key])
		}
		delete(got, key)
	}
	for key, kinds := range got {
		t.Fatalf("%s\n%s: Compare says %v, and brute force never met the two", src, key, kinds)
	}
}

func pairingOf(x *policy.Change) pairing {
	if x.Exception != 0 || x.Upgrade != "" {
		return pairing{oldRoute: x.Old.Route, newRoute: x.New.Route, exception: x.Exception, upgrade: x.Upgrade}
	}
	return pairing{old: x.Old.Rule, new: x.New.Rule}
}

func (p pairing) String() string {
	text := func(r *policy.Rule) string {
		if r == nil {
			return "nothing"
		}
		return r.Method() + " " + r.Route().Template() + " (" + r.Position() + ")"
	}
	if p.oldRoute != nil {
		return fmt.Sprintf("%s and %s, exception %s, upgrade %s", p.oldRoute.Template(), p.newRoute.Template(), p.exception, p.upgrade)
	}
	return text(p.old) + " and " + text(p.new)
}

type fataler interface{ Fatalf(string, ...any) }

// checkWitness asks both policies about the witness as an outsider would.
func checkWitness(t fataler, old, new *policy.Policy, x *policy.Change, src string) {
	if x.Who == nil || !x.Kind.Proven() {
		t.Fatalf("%s\n%s without a witness", src, x.Kind)
	}
	req, err := policy.NewRequest(&x.Received)
	if err != nil {
		t.Fatalf("%s\nthe witness has no reading: %v", src, err)
	}
	before, after := old.Decide(&req, x.Who.Caller(old)), new.Decide(&req, x.Who.Caller(new))
	if x.Upgrade != "" {
		before.Allow = before.Allow && before.Match.Route.Upgrade(x.Upgrade)
		after.Allow = after.Allow && after.Match.Route.Upgrade(x.Upgrade)
	}
	if x.Exception == policy.RuleQueryToken {
		before.Allow = before.Allow && before.Match.Route.Accepts(x.Exception)
		after.Allow = after.Allow && after.Match.Route.Accepts(x.Exception)
	}
	if widens := x.Kind.Widens(); before.Allow == widens || after.Allow != widens || x.Old.Allow != before.Allow || x.New.Allow != after.Allow {
		t.Fatalf("%s\n%s, and the witness %s %s %v is answered %s and %s", src, x.Kind, req.Method, req.Path, *x.Who, before.Reason, after.Reason)
	}
}

// force is brute force at work.
type force struct {
	old, new *policy.Policy
	callers  [][2]*policy.Caller
	out      map[pairing]seen
	done     map[kind]bool
}

// kind is all that the two answers to a request depend on.
type kind struct {
	old, new *policy.Rule
	pairing
	bound   string
	refused [2]bool
	broken  policy.GuardRules
}

// bruteForce asks both policies everything.
func bruteForce(t *rapid.T, old, new *policy.Policy, src string) map[pairing]seen {
	f := force{old: old, new: new, out: map[pairing]seen{}, done: map[kind]bool{}}
	for _, persona := range allTokens(src) {
		f.callers = append(f.callers, [2]*policy.Caller{persona.Caller(old), persona.Caller(new)})
	}
	extras := strings.Contains(src, "accept:") || strings.Contains(src, "upgrade:")
	for _, target := range everyPath() {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
			req := f.ask(t, method, target, "")
			if !extras {
				continue
			}
			f.ask(t, method, target+"?access_token=x", "")
			f.ask(t, "PUT", target, "", method)
			if method == "GET" {
				f.ask(t, method, target, "websocket")
			}
			last := strings.LastIndexByte(target, '/')
			for _, odd := range []string{"zz%2Fy", "zz%5Cy", "zz;y", "zz%2541"} {
				f.ask(t, method, strings.Replace(target, "zz", odd, 1), "")
				f.ask(t, method, target[:last]+"/"+odd, "")
			}
			for i := 1; i < len(req.Path); i++ {
				if req.Path[i] == '/' {
					f.ask(t, method, target[:i]+"/"+target[i:], "")
				}
			}
		}
	}
	return f.out
}

func (f *force) ask(t *rapid.T, method, target, upgrade string, overrides ...string) policy.Request {
	req, err := policy.NewRequest(&policy.Received{Method: method, Target: target, Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1, Overrides: overrides})
	if err != nil {
		t.Fatal(err)
	}
	a, b := f.old.Match(&req), f.new.Match(&req)
	key, by := f.pairing(&req, &a, &b, upgrade)
	at := kind{a.Rule, b.Rule, key, bound(req.Path, a.Rule, b.Rule), by, req.Broken}
	if a.Rule == nil && b.Rule == nil || f.done[at] {
		return req
	}
	f.done[at] = true
	s := f.out[key]
	for _, c := range f.callers {
		before, after := f.old.Permit(&a, &req, c[0]), f.new.Permit(&b, &req, c[1])
		was, is := before.Allow && !by[0], after.Allow && !by[1]
		s.before, s.after = s.before || was, s.after || is
		s.wider = s.wider || is && !was
		s.narrower = s.narrower || was && !is
	}
	f.out[key] = s
	return req
}

// pairing says to what a request belongs, and which of the two sides refuses it
// whatever the policy says.
func (f *force) pairing(req *policy.Request, a, b *policy.Match, upgrade string) (key pairing, refused [2]bool) {
	plain := *req
	plain.Broken = 0
	old, new := f.old.Match(&plain).Route, f.new.Match(&plain).Route
	key = pairing{old: a.Rule, new: b.Rule}
	odd := pairing{oldRoute: old, newRoute: new, upgrade: upgrade, exception: req.Broken.First()}
	switch {
	case old == nil || new == nil:
	case upgrade != "":
		refused = [2]bool{!old.Upgrade(upgrade), !new.Upgrade(upgrade)}
		if refused[0] != refused[1] && a.Reason == policy.ReasonNone && b.Reason == policy.ReasonNone {
			return odd, refused
		}
		refused = [2]bool{}
	case req.QueryToken && a.NeedsToken() && b.NeedsToken() && old.Accepts(policy.RuleQueryToken) != new.Accepts(policy.RuleQueryToken):
		odd.exception = policy.RuleQueryToken
		return odd, [2]bool{!old.Accepts(policy.RuleQueryToken), !new.Accepts(policy.RuleQueryToken)}
	case old.Accepts(odd.exception) != new.Accepts(odd.exception):
		return odd, refused
	}
	return key, refused
}

// bound are the segments of a path that the rules' conditions look at: the
// drawn patterns call the segment n {xn}.
func bound(path string, rules ...*policy.Rule) string {
	var out strings.Builder
	if !slices.ContainsFunc(rules, func(r *policy.Rule) bool { return r != nil && strings.Contains(r.Requirement(), "{") }) {
		return ""
	}
	for n, segment := range strings.Split(path[1:], "/") {
		for _, r := range rules {
			if r != nil && strings.Contains(r.Requirement(), fmt.Sprintf("{x%d}", n)) {
				fmt.Fprintf(&out, "%d=%s ", n, segment)
			}
		}
	}
	return out.String()
}

func everyPath() []string {
	var out []string
	level := []string{""}
	for range 5 {
		var next []string
		for _, p := range level {
			out = append(out, p+"/")
			for _, s := range []string{"a", "b", "c", "zz"} {
				next = append(next, p+"/"+s)
			}
		}
		out = append(out, next...)
		level = next
	}
	return out
}

// allTokens is nobody's token, and every token over the words, claims, issuers,
// classes and ages of the drawn policies, as far as src names them.
func allTokens(src string) []policy.Persona {
	all := []policy.Persona{{Anonymous: true}}
	orgs, issuers, classes, ages := [][]any{nil}, []string{""}, []string{""}, []time.Duration{0}
	if strings.Contains(src, "org:") {
		orgs = choices("a", "b", "c", "zz", "g")
	}
	if strings.Contains(src, "issuer:") {
		issuers = append(issuers, "https://one", "https://two")
	}
	if strings.Contains(src, "acr:") {
		classes = append(classes, "gold", "silver")
	}
	if strings.Contains(src, "max_age:") {
		ages = append(ages, 5*time.Minute, 15*time.Minute)
	}
	for _, set := range choices("a", "b", "c", "d", "e") {
		var held []string
		for _, word := range set {
			held = append(held, word.(string))
		}
		for _, org := range orgs {
			for _, issuer := range issuers {
				for _, acr := range classes {
					for _, age := range ages {
						all = append(all, policy.Persona{Scopes: held, Claims: map[string]any{"org": org}, Issuer: issuer, ACR: acr,
							AuthAge: age, AuthAgeKnown: age > 0})
					}
				}
			}
		}
	}
	return all
}

func choices(of ...any) [][]any {
	var out [][]any
	for set := range 1 << len(of) {
		var one []any
		for i, x := range of {
			if set>>i&1 != 0 {
				one = append(one, x)
			}
		}
		out = append(out, one)
	}
	return out
}

// drawn is a policy as text, in parts that the second policy of a pair keeps.
type drawn struct {
	name   string
	scopes string
	routes map[string]string // by template
	src    string
}

type drawer struct {
	t      *rapid.T
	extras bool // routes may have accept: and upgrade:
}

func (d drawer) pick(what string, from ...string) string {
	return rapid.SampledFrom(from).Draw(d.t, what)
}

// policy draws one, most of it like another.
func (d drawer) policy(name string, like *drawn) *drawn {
	p := &drawn{name: name, routes: map[string]string{}}
	p.scopes = d.pick("scopes", vocabulary, "scopes: { a: A, b: B, c: C, d: D, e: E }\n", "scopes: { a: { implies: [b] }, b: B, c: C, d: { implies: e }, e: E }\n")
	if like != nil {
		if d.pick("vocabulary", "same", "same", "other") == "same" {
			p.scopes = like.scopes
		}
		for _, template := range slices.Sorted(maps.Keys(like.routes)) {
			if d.pick("route", "keep", "keep", "drop") == "keep" {
				p.routes[template] = like.routes[template]
			}
		}
	}
	shapes := map[string]bool{}
	for template := range p.routes {
		shapes[shape(strings.Split(template[1:], "/"))] = true
	}
	for _, r := range drawRoutes(d.t) {
		if len(p.routes) >= 6 || shapes[shape(r)] {
			continue
		}
		shapes[shape(r)] = true
		p.routes["/"+strings.Join(r, "/")] = d.rules(r)
	}
	var src strings.Builder
	fmt.Fprintf(&src, "version: 1\nservice: s\n%sroutes:\n", p.scopes)
	for _, template := range slices.Sorted(maps.Keys(p.routes)) {
		fmt.Fprintf(&src, "  %s:\n%s", template, p.routes[template])
	}
	p.src = src.String()
	return p
}

func (d drawer) rules(r naiveRoute) string {
	var out strings.Builder
	for _, method := range []string{"GET", "POST", "HEAD", "ANY"} {
		if out.Len() == 0 && method == "ANY" || d.pick("has "+method, "yes", "no") == "yes" {
			fmt.Fprintf(&out, "    %s: %s\n", method, d.requirement(r))
		}
	}
	if d.extras && d.pick("extras", "no", "yes") == "yes" {
		names := policy.Waivable.Names()
		fmt.Fprintf(&out, "    accept: [%s]\n", strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID[string]).Draw(d.t, "accept"), ", "))
		if d.pick("upgrade", "no", "yes") == "yes" {
			out.WriteString("    upgrade: [websocket]\n")
		}
	}
	return out.String()
}

func (d drawer) requirement(r naiveRoute) string {
	switch d.pick("kind", "word", "word", "tree", "tree", "tree", "public", "authenticated", "nobody") {
	case "public", "authenticated", "nobody":
		return d.pick("special", "public", "authenticated", "nobody")
	case "word":
		return d.pick("word", words...)
	}
	return d.tree(r, 2)
}

func (d drawer) tree(r naiveRoute, depth int) string {
	values := []string{"g", "a", "[g, a]"}
	for _, s := range r {
		if strings.HasPrefix(s, "{") {
			values = append(values, `"`+s+`"`, `[g, "`+s+`"]`)
		}
	}
	switch d.pick("part", "scope", "scope", "list", "list", "claim", "issuer", "age", "acr") {
	case "claim":
		return "{ claims: { org: " + d.pick("value", values...) + " } }"
	case "issuer":
		return "{ issuer: " + d.pick("issuer", "https://one", "https://two") + " }"
	case "age":
		return "{ max_age: " + d.pick("age", "5m", "15m") + " }"
	case "acr":
		return "{ acr: " + d.pick("acr", "gold", "silver", "[gold, silver]") + " }"
	case "list":
		if depth > 0 {
			var items []string
			used := map[string]bool{}
			for range rapid.IntRange(1, 3).Draw(d.t, "items") {
				if item := d.tree(r, depth-1); !used[item] {
					used[item] = true
					items = append(items, item)
				}
			}
			return "{ " + d.pick("op", "any", "all") + ": [" + strings.Join(items, ", ") + "] }"
		}
	}
	if depth == 2 {
		return d.pick("word", words...)
	}
	return d.pick("word", words...)
}

func (p *drawn) load(t *rapid.T) *policy.Policy {
	loaded, findings := policy.Load(p.name, []byte(p.src))
	if loaded == nil {
		t.Fatalf("%s\n%s", p.src, findings)
	}
	return loaded
}
