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

// TestMistakesInARuleAreBruteForce makes every mistake in a requirement by its definition, on a
// tree, and puts every token to it: those that let somebody in whom the requirement refuses are
// the mutants, and no others. Which alternatives are added is a choice, and left out here.
func TestMistakesInARuleAreBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := tree{op: rapid.SampledFrom([]string{"any", "all"}).Draw(t, "op"), kids: []tree{drawTree(t, 2)}}
		if k := drawTree(t, 2); k.op != "scope" || k.scope != n.kids[0].scope {
			n.kids = append(n.kids, k)
		}
		src := "version: 1\nservice: s\n" + vocabulary + "routes:\n  /: { ANY: " + n.yaml() + " }\n"
		p := load(t, src)
		original := n.table(15 * time.Minute)
		want := map[string]bool{"public": true}
		for _, one := range append(n.mistakes(), tree{op: "all"}) {
			want[one.table(15*time.Minute)] = true
		}
		if n.has("age") {
			want[n.table(30*time.Minute)] = true
		}
		delete(want, original)
		got := map[string]bool{}
		for m := range p.Mutants(nil) {
			switch m.Kind {
			case policy.AlternativeAdded, policy.ImplicationAdded, policy.PathWidened:
			case policy.MadePublic:
				got["public"] = true
			default:
				got[tableOf(t, m.Policy)] = true
			}
		}
		if !maps.Equal(want, got) {
			t.Fatalf("%s\nthe definition makes %d mutants, Mutants %d:\n%s", src, len(want), len(got), mutants(p))
		}
	})
}

// mistakes lists the tree with one member less of some all:, and with some all: as any:.
func (n tree) mistakes() (out []tree) {
	with := func(i int, kid tree) tree {
		c := n
		c.kids = slices.Clone(n.kids)
		c.kids[i] = kid
		return c
	}
	if n.op == "all" {
		out = append(out, tree{op: "any", kids: n.kids})
	}
	for i, kid := range n.kids {
		for _, worse := range kid.mistakes() {
			out = append(out, with(i, worse))
		}
		for len(kid.kids) == 1 {
			kid = kid.kids[0]
		}
		if n.op != "all" && len(n.kids) > 1 || kid.op == "all" {
			continue // an alternative less is no hole; the members of an all: go one by one
		}
		out = append(out, tree{op: "all", kids: slices.Delete(slices.Clone(n.kids), i, i+1)})
	}
	return out
}

func (n tree) has(op string) bool {
	return n.op == op || slices.ContainsFunc(n.kids, func(k tree) bool { return k.has(op) })
}

// ages of a login, none being unknown.
var ages = []time.Duration{0, 10 * time.Minute, 20 * time.Minute}

// table writes whom the tree lets in, token by token.
func (n tree) table(limit time.Duration) string {
	var b strings.Builder
	for _, held := range subsets() {
		closed := map[string]bool{}
		for _, w := range held {
			closed[w] = true
			for _, x := range implied[w] {
				closed[x] = true
			}
		}
		for _, claim := range []bool{false, true} {
			for _, age := range ages {
				fmt.Fprintf(&b, "%v ", n.holds(closed, claim, age > 0 && age <= limit))
			}
		}
	}
	return b.String()
}

// tableOf is the same of a policy.
func tableOf(t *rapid.T, p *policy.Policy) string {
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: "/", Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, held := range subsets() {
		for _, claims := range []map[string]any{nil, {"tier": "gold"}} {
			for _, age := range ages {
				d := p.Decide(&req, &policy.Caller{Scopes: p.Scopes(held), Claims: claims, AuthAge: age, AuthAgeKnown: age > 0})
				fmt.Fprintf(&b, "%v ", d.Allow)
			}
		}
	}
	return b.String()
}

// TestWiderPathsAreBruteForce writes each path wider in the file, loads it, and puts every short
// path and every kind of caller to it: where somebody gets in there is a mutant, else there is none.
func TestWiderPathsAreBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines, templates []string
		for _, r := range drawRoutes(t) {
			word := func(what string) string {
				return rapid.SampledFrom([]string{"public", "authenticated", "nobody", "c", "d"}).Draw(t, what)
			}
			methods := rapid.SampledFrom([]string{"{ GET: " + word("get") + " }", "{ ANY: " + word("any") + " }", "{ GET: " + word("get") + ", ANY: " + word("any") + " }"}).Draw(t, "methods")
			templates = append(templates, "/"+strings.Join(r, "/"))
			lines = append(lines, "  "+templates[len(templates)-1]+": "+methods+"\n")
		}
		src := func(lines []string) string {
			return "version: 1\nservice: s\n" + vocabulary + "routes:\n" + strings.Join(lines, "")
		}
		p := load(t, src(lines))
		before := doors(p)
		want := map[string]bool{}
		for i, template := range templates {
			for _, wider := range widerThan(template) {
				changed := slices.Clone(lines)
				changed[i] = strings.Replace(lines[i], template+":", wider+":", 1)
				q, _ := policy.Load("q", []byte(src(changed)))
				if q != nil && opens(before, doors(q)) {
					want[template+" the path is "+wider] = true
				}
			}
		}
		got := map[string]bool{}
		for m := range p.Mutants(nil) {
			if m.Kind == policy.LiteralWidened || m.Kind == policy.PathWidened {
				got[m.Path+" "+m.Change] = true
			}
		}
		if !maps.Equal(want, got) {
			t.Fatalf("%s\nby brute force %v\nMutants        %v", src(lines), slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
		}
	})
}

// widerThan lists a template with each literal as {x}, and with its last segment as **.
func widerThan(template string) (out []string) {
	segments := strings.Split(template[1:], "/")
	for i, s := range segments {
		if s != "" && s != "**" && s[0] != '{' {
			c := slices.Clone(segments)
			c[i] = "{x}"
			out = append(out, "/"+strings.Join(c, "/"))
		}
	}
	if last := len(segments) - 1; segments[last] != "**" {
		out = append(out, "/"+strings.Join(append(slices.Clone(segments[:last]), "**"), "/"))
	}
	return out
}

// doors are the answers to every caller, by request.
func doors(p *policy.Policy) (out []bool) {
	callers := []*policy.Caller{{Anonymous: true}, {Scopes: p.Scopes(nil)}, {Scopes: p.Scopes([]string{"c"})}, {Scopes: p.Scopes([]string{"d"})}}
	for _, path := range shortPaths {
		for _, method := range []string{"GET", "PUT"} {
			req, err := policy.NewRequest(&policy.Received{Method: method, Target: path, Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
			if err != nil {
				panic(err)
			}
			for _, c := range callers {
				d := p.Decide(&req, c)
				out = append(out, d.Allow)
			}
		}
	}
	return out
}

// shortPaths are the paths of up to five segments over the texts that drawRoutes uses and one more.
var shortPaths = func() (out []string) {
	level := []string{""}
	for range 5 {
		var next []string
		for _, path := range level {
			for _, s := range []string{"a", "b", "c", "z"} {
				next = append(next, path+"/"+s)
			}
			out = append(out, path+"/")
		}
		out = append(out, next...)
		level = next
	}
	return out
}()

// opens reports whether somebody gets in who did not.
func opens(before, after []bool) bool {
	for i := range before {
		if after[i] && !before[i] {
			return true
		}
	}
	return false
}
