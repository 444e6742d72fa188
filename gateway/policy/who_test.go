package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/policy"
)

// atoms are the conditions of these tests, as the policy writes them, as Way
// words them, and by their definition. Some bring others along, some exclude
// each other.
var atoms = []struct {
	yaml, text string
	met        func(c *policy.Caller) bool
}{
	{"claims: { tier: gold }", "claim tier = gold", func(c *policy.Caller) bool { return says(c, "tier", "gold") }},
	{"claims: { tier: [gold, silver] }", "claim tier = gold or silver",
		func(c *policy.Caller) bool { return says(c, "tier", "gold") || says(c, "tier", "silver") }},
	{`claims: { org: "{org}" }`, "claim org = {org} (here x)", func(c *policy.Caller) bool { return says(c, "org", "x") }},
	{"max_age: 15m", "max_age 15m", func(c *policy.Caller) bool { return c.AuthAgeKnown && c.AuthAge <= 15*time.Minute }},
	{"max_age: 1h", "max_age 1h", func(c *policy.Caller) bool { return c.AuthAgeKnown && c.AuthAge <= time.Hour }},
	{"issuer: https://a.example", "issuer https://a.example", func(c *policy.Caller) bool { return c.Issuer == "https://a.example" }},
	{"issuer: https://b.example", "issuer https://b.example", func(c *policy.Caller) bool { return c.Issuer == "https://b.example" }},
	{"acr: [p, q]", "acr p or q", func(c *policy.Caller) bool { return c.ACR == "p" || c.ACR == "q" }},
	{"acr: q", "acr q", func(c *policy.Caller) bool { return c.ACR == "q" }},
}

func says(c *policy.Caller, claim, text string) bool {
	if list, ok := c.Claims[claim].([]any); ok {
		return slices.Contains(list, any(text))
	}
	return c.Claims[claim] == text
}

// everyCaller lists tokens that meet the atoms in every way in which they can
// be met.
func everyCaller() (all []*policy.Caller) {
	for _, tier := range []any{nil, "gold", "silver"} {
		for _, org := range []any{nil, "x"} {
			for _, age := range []time.Duration{-1, time.Minute, 30 * time.Minute} {
				for _, issuer := range []string{"", "https://a.example", "https://b.example"} {
					for _, acr := range []string{"", "p", "q"} {
						c := &policy.Caller{Issuer: issuer, ACR: acr, AuthAge: age, AuthAgeKnown: age >= 0, Claims: map[string]any{}}
						if tier != nil {
							c.Claims["tier"] = tier
						}
						if org != nil {
							c.Claims["org"] = org
						}
						all = append(all, c)
					}
				}
			}
		}
	}
	return all
}

// drawRule writes a requirement of scopes and atoms, nested.
func drawRule(t *rapid.T, depth int) string {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case depth > 0 && kind == 0:
		return "{ " + rapid.SampledFrom(atoms).Draw(t, "atom").yaml + " }"
	case depth > 0 && (kind < 3 || depth > 2):
		return rapid.SampledFrom(words).Draw(t, "scope")
	}
	var kids []string
	for range rapid.IntRange(1, 3).Draw(t, "kids") {
		if kid := drawRule(t, depth+1); !slices.Contains(kids, kid) {
			kids = append(kids, kid)
		}
	}
	beside := ""
	if rapid.IntRange(0, 3).Draw(t, "beside") == 0 {
		beside = ", " + rapid.SampledFrom(atoms).Draw(t, "condition").yaml
	}
	return "{ " + rapid.SampledFrom([]string{"any", "all"}).Draw(t, "op") + ": [" + strings.Join(kids, ", ") + "]" + beside + " }"
}

func subsets() (all [][]string) {
	for bits := range 1 << len(words) {
		set := []string{}
		for i, w := range words {
			if bits>>i&1 != 0 {
				set = append(set, w)
			}
		}
		all = append(all, set)
	}
	return all
}

func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

func request(t interface{ Fatal(...any) }, method, target string) *policy.Request {
	req, err := policy.NewRequest(&policy.Received{Method: method, Target: target, Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &req
}

// TestWhoIsBruteForce asks Decide about every subset of the vocabulary with
// every kind of token, and wants Who to say the same: exactly the minimal sets
// are listed, and whoever is let in comes one of the ways.
func TestWhoIsBruteForce(t *testing.T) {
	callers := everyCaller()
	rapid.Check(t, func(t *rapid.T) {
		src := "version: 1\nservice: s\n" + vocabulary + "routes:\n  /{org}/thing:\n    GET: " + drawRule(t, 0) + "\n"
		p, findings := policy.Load("p", []byte(src))
		if p == nil {
			t.Fatalf("%s\n%s", src, findings)
		}
		req := request(t, "GET", "/x/thing")
		got := p.Who(req)
		if !got.Exact {
			t.Fatalf("%s\nis small, and was not answered exactly", src)
		}
		var may [][]string
		for _, set := range subsets() {
			held := p.Scopes(set)
			for _, c := range callers {
				c.Scopes = held
				d := p.Decide(req, c)
				if d.Allow && !slices.ContainsFunc(may, func(m []string) bool { return slices.Equal(m, set) }) {
					may = append(may, set)
				}
				if comes := slices.ContainsFunc(got.Ways, func(w policy.Way) bool { return within(w.Scopes, set) && meets(t, w, c) }); comes != d.Allow {
					t.Fatalf("%s\n%v with %+v is let in: %t, and comes one of the ways: %t\n%+v", src, set, c, d.Allow, comes, got.Ways)
				}
			}
		}
		var want [][]string
		for _, m := range may {
			if !slices.ContainsFunc(may, func(o []string) bool { return len(o) < len(m) && within(o, m) }) {
				want = append(want, m)
			}
		}
		if g, w := sorted(got.Scopes), sorted(want); !slices.Equal(g, w) {
			t.Fatalf("%s\nwho says %v, brute force %v", src, g, w)
		}
	})
}

func meets(t *rapid.T, w policy.Way, c *policy.Caller) bool {
	for _, condition := range w.Conditions {
		known := false
		for _, a := range atoms {
			if a.text == condition.Text {
				known = true
				if !a.met(c) {
					return false
				}
			}
		}
		if !known {
			t.Fatalf("unknown condition %q", condition.Text)
		}
	}
	return true
}

func sorted(sets [][]string) (out []string) {
	for _, s := range sets {
		out = append(out, strings.Join(s, " "))
	}
	slices.Sort(out)
	return out
}

func TestWho(t *testing.T) {
	const src = `version: 1
service: s
scopes:
  read: Read
  write: Write
  del: Delete
  all: { about: All, implies: [read, write, del] }
routes:
  /a:
    GET: read
    POST: { all: [write, del] }
    PUT: authenticated
    PATCH: public
    DELETE: nobody
    ANY: { any: [{ all: [read], max_age: 15m }, write] }
  /both:
    GET: { all: [{ issuer: "https://a.example" }, { issuer: "https://b.example" }] }
`
	p, findings := policy.Load("p", []byte(src))
	if p == nil {
		t.Fatal(findings)
	}
	for _, test := range []struct{ request, scopes, conditions string }{
		{"GET /a", "read;all", ""},
		{"HEAD /a", "read;all", ""},
		{"POST /a", "del write;all", ""},
		{"PUT /a", "", ""},
		{"PATCH /a", "public ", ""},
		{"DELETE /a", "nobody", ""},
		{"OPTIONS /a", "read;write;all", "max_age 15m"},
		{"GET /nope", "nobody", ""},
		{"POST /both", "nobody", ""},
		{"GET /both", "nobody", ""},
	} {
		method, target, _ := strings.Cut(test.request, " ")
		a := p.Who(request(t, method, target))
		var sets, conditions []string
		for _, s := range a.Scopes {
			sets = append(sets, strings.Join(s, " "))
		}
		for _, c := range a.Conditions() {
			conditions = append(conditions, c.Text)
		}
		got := strings.Join(sets, ";")
		if a.Public {
			got = "public " + got
		}
		if len(sets) == 0 {
			got = "nobody"
		}
		if got != test.scopes || strings.Join(conditions, ";") != test.conditions {
			t.Errorf("%s: %q under %q, want %q under %q", test.request, got, conditions, test.scopes, test.conditions)
		}
	}
}

// TestWhoOfTooManyWaysSaysSo has a rule of 3^8 minimal sets.
func TestWhoOfTooManyWaysSaysSo(t *testing.T) {
	var scopes, all strings.Builder
	for i := range 8 {
		fmt.Fprintf(&scopes, "  s%da: S\n  s%db: S\n  s%dc: S\n", i, i, i)
		fmt.Fprintf(&all, "{ any: [s%da, s%db, s%dc] },", i, i, i)
	}
	p, findings := policy.Load("p", []byte("version: 1\nservice: s\nscopes:\n"+scopes.String()+"routes:\n  /:\n    GET: { all: ["+strings.TrimSuffix(all.String(), ",")+"] }\n"))
	if p == nil {
		t.Fatal(findings)
	}
	req := request(t, "GET", "/")
	a := p.Who(req)
	if a.Exact || len(a.Scopes) == 0 {
		t.Fatalf("exact %t, %d sets", a.Exact, len(a.Scopes))
	}
	named := map[string]bool{}
	for _, set := range a.Scopes {
		for i, s := range set {
			named[s] = true
			part := slices.Delete(slices.Clone(set), i, i+1)
			if d := p.Decide(req, &policy.Caller{Scopes: p.Scopes(part)}); d.Allow {
				t.Errorf("%s can be left out of %v", s, set)
			}
		}
	}
	if len(named) != 24 {
		t.Errorf("%d of 24 scopes are in a set that is listed", len(named))
	}
}
