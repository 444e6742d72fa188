package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/policy"
)

func load(t interface{ Fatalf(string, ...any) }, src string) *policy.Policy {
	p, findings := policy.Load("p.yaml", []byte(src))
	if p == nil {
		t.Fatalf("%s\n%s", src, findings)
	}
	return p
}

// gaps writes what a report misses, one a line.
func gaps(c *policy.Coverage) string {
	var b strings.Builder
	for _, g := range c.Gaps {
		fmt.Fprintf(&b, "%s %s %s %s\n", g.Rule.Method(), g.Rule.Route().Template(), g.Kind, g.Scope)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

const shop = `version: 1
service: shop
scopes:
  read: Read
  write: Write
  all: { about: All, implies: [read, write] }
routes:
  /a: { GET: read, POST: { all: [read, write] }, PUT: authenticated, PATCH: public, DELETE: nobody }
`

// TestCoverage states what counts and what does not, persona by persona.
func TestCoverage(t *testing.T) {
	const none = `DELETE /a denied
GET /a scope read
GET /a allowed
GET /a denied
PATCH /a allowed
POST /a scope read
POST /a scope write
POST /a allowed
POST /a denied
PUT /a allowed
PUT /a denied
`
	for _, test := range []struct {
		name, personas string
		covered        int
		without        []string // the lines of none that are covered
	}{
		{"nobody asks", "", 0, nil},
		{"a reader", "r: { scopes: [read], allow: [GET /a] }", 1, []string{"GET /a allowed"}},
		{"HEAD counts for GET", "r: { scopes: [read], allow: [HEAD /a] }", 1, []string{"GET /a allowed"}},
		{"no token is a denied persona, and no half of a pair", "none: { anonymous: true, deny: [GET /a] }\n  r: { scopes: [read], allow: [GET /a] }",
			2, []string{"GET /a allowed", "GET /a denied"}},
		{"two that differ in a scope", "none: { scopes: [], deny: [GET /a] }\n  r: { scopes: [read], allow: [GET /a] }",
			3, []string{"GET /a allowed", "GET /a denied", "GET /a scope read"}},
		{"two that differ in more than a scope", "none: { scopes: [], deny: [POST /a] }\n  r: { scopes: [read, write], allow: [POST /a] }",
			2, []string{"POST /a allowed", "POST /a denied"}},
		{"an umbrella is not the scope", "none: { scopes: [], deny: [GET /a] }\n  r: { scopes: [all], allow: [GET /a] }",
			2, []string{"GET /a allowed", "GET /a denied"}},
		{"both halves of all", "w: { scopes: [write], deny: [POST /a] }\n  r: { scopes: [read], deny: [POST /a] }\n  b: { scopes: [read, write], allow: [POST /a] }",
			4, []string{"POST /a allowed", "POST /a denied", "POST /a scope read", "POST /a scope write"}},
		{"what fails covers nothing", "r: { scopes: [read], deny: [GET /a] }", 0, nil},
		{"neither path nor method covers nothing", "r: { scopes: [read], deny: [GET /b, TRACK /a, GET /a/../a] }", 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := shop
			if test.personas != "" {
				src += "personas:\n  " + test.personas + "\n"
			}
			p := load(t, src)
			report := p.Test(p.OwnTests())
			want := none
			for _, line := range test.without {
				want = strings.Replace(want, line+"\n", "", 1)
			}
			if got := gaps(&report.Coverage); got != want || report.Coverage.Covered != test.covered || report.Coverage.Total != 11 {
				t.Errorf("covered %d of %d, not covered:\n%s", report.Coverage.Covered, report.Coverage.Total, got)
			}
		})
	}
}

// TestWhatCannotBeShownIsNotCounted: redundant scopes, unreachable paths and
// doors that nobody can open or close would keep every policy below 100 %.
func TestWhatCannotBeShownIsNotCounted(t *testing.T) {
	p := load(t, `version: 1
service: s
scopes: { a: A, b: B, u: { about: U, implies: a } }
routes:
  /x: { GET: { any: [a, { all: [a, b] }] } }
  /y: { GET: { all: [{ issuer: "https://a.example" }, { issuer: "https://b.example" }] } }
  /z: { GET: { any: [a, u] } }
  /{p}/{q}: { GET: { any: [{ all: [a, b], claims: { t: "{p}" } }, { all: [b], claims: { t: "{q}" } }] } }
  /t/: { GET: public }
  /t/{x}: { GET: public }
  /t/{x}/**: { GET: public }
  /t/**: { GET: a }
`)
	report := p.Test()
	const want = `GET /t/ allowed
GET /t/{x} allowed
GET /t/{x}/** allowed
GET /x scope a
GET /x allowed
GET /x denied
GET /y denied
GET /z scope a
GET /z scope u
GET /z allowed
GET /z denied
GET /{p}/{q} scope a
GET /{p}/{q} scope b
GET /{p}/{q} allowed
GET /{p}/{q} denied
`
	if got := gaps(&report.Coverage); got != want {
		t.Errorf("not covered:\n%s", got)
	}
}

// TestPastingTheProposalCoversEverything takes policies of all kinds without
// personas, pastes what is proposed, and wants all of it to pass and nothing to
// be left; and again where half of the proposal stands already.
func TestPastingTheProposalCoversEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawPolicy(t)
		p := load(t, src)
		first := p.Test()
		proposed := first.Coverage.Proposed
		for pasted := range []int{0, 1} {
			half := proposed[:len(proposed)*pasted/2]
			withHalf := load(t, src+"personas:\n"+policy.YAML(half)+"  idle: { scopes: [] }\n")
			report := withHalf.Test(withHalf.OwnTests())
			full := load(t, src+"personas:\n"+policy.YAML(half)+policy.YAML(report.Coverage.Proposed)+"  idle: { scopes: [] }\n")
			result := full.Test(full.OwnTests())
			if failed := result.Failed(); len(failed) > 0 || result.Coverage.Covered != result.Coverage.Total || result.Coverage.Total != first.Coverage.Total {
				t.Fatalf("%s\n%s\n%d fail, covered %d of %d, of %d before; not covered:\n%s", src, policy.YAML(report.Coverage.Proposed),
					len(failed), result.Coverage.Covered, result.Coverage.Total, first.Coverage.Total, gaps(&result.Coverage))
			}
		}
	})
}

func names(r naiveRoute) bool { return place(r) >= 0 }

// place is the first {name} of a pattern, or -1.
func place(r naiveRoute) int {
	for i, s := range r {
		if strings.HasPrefix(s, "{") {
			return i
		}
	}
	return -1
}

// TestProposalsAreYAMLForAnyText: words that YAML takes for something else, and
// characters that it acts on.
func TestProposalsAreYAMLForAnyText(t *testing.T) {
	p := load(t, `version: 1
service: s
scopes: { "on": A, "a:b": B, "1": C, "{x}": D, "#": E, "null": F }
routes:
  "/a b,c/'q'": { GET: { all: ["on", "a:b", "1", "{x}", "#", "null"], claims: { "y": ["no", "é \"q\" \\"] }, issuer: "https://a.example/#x" } }
`)
	report := p.Test()
	full := load(t, `version: 1
service: s
scopes: { "on": A, "a:b": B, "1": C, "{x}": D, "#": E, "null": F }
routes:
  "/a b,c/'q'": { GET: { all: ["on", "a:b", "1", "{x}", "#", "null"], claims: { "y": ["no", "é \"q\" \\"] }, issuer: "https://a.example/#x" } }
personas:
`+policy.YAML(report.Coverage.Proposed))
	result := full.Test(full.OwnTests())
	if len(result.Failed()) > 0 || result.Coverage.Percent() != 100 || len(result.Outcomes) == 0 {
		t.Errorf("%s\n%+v", policy.YAML(report.Coverage.Proposed), result.Failed())
	}
}

func TestOutcomes(t *testing.T) {
	p := load(t, shop+`personas:
  r:
    scopes: [read]
    allow: [GET /a, POST /a]
    deny: [PATCH /a, { request: POST /a, reason: claim_mismatch }, { request: DELETE /a, reason: forbidden }, GET /../a]
`)
	report := p.Test(p.OwnTests())
	var b strings.Builder
	for _, o := range report.Failed() {
		fmt.Fprintf(&b, "%s:%d %s %s: want %s, got %s, %s\n", o.File, o.Line, o.Persona, o.Request, o.Wanted(), o.Got(), o.Decision.Reason)
	}
	const want = `p.yaml:12 r POST /a: want allow, got deny, insufficient_scope
p.yaml:13 r PATCH /a: want deny, got allow, public
p.yaml:13 r POST /a: want deny claim_mismatch, got deny insufficient_scope, insufficient_scope
`
	if b.String() != want || len(report.Outcomes) != 6 {
		t.Errorf("%d outcomes, failed:\n%s", len(report.Outcomes), b.String())
	}
}

func TestSuites(t *testing.T) {
	p := load(t, shop)
	for _, test := range []struct{ name, src, fault string }{
		{"good", "version: 1\npolicy: p.yaml\npersonas:\n  r: { scopes: [read], allow: [GET /a] }\n", ""},
		{"a word that the policy does not have", "version: 1\npolicy: p.yaml\npersonas:\n  r: { scopes: [reed], allow: [GET /a] }\n", "s.test.yaml:4:17: error SG013"},
		{"no policy", "version: 1\npersonas:\n  r: { scopes: [read], allow: [GET /a] }\n", "s.test.yaml:1:1: error SG007"},
		{"no version", "policy: p.yaml\npersonas: {}\n", "SG007"},
		{"routes", "version: 1\npolicy: p.yaml\npersonas: {}\nroutes: {}\n", "s.test.yaml:4:1: error SG006"},
		{"no YAML", "version: [", "SG001"},
	} {
		t.Run(test.name, func(t *testing.T) {
			suite, findings := policy.ReadSuite("s.test.yaml", []byte(test.src))
			if suite != nil {
				var tests policy.Tests
				if tests, findings = suite.Bind(p); len(tests.Personas) > 0 && (suite.PolicyPath() != "p.yaml" || tests.Personas[0].Name != "r") {
					t.Errorf("%+v of %s", tests, suite.PolicyPath())
				}
			}
			if findings.HasErrors() != (test.fault != "") || !strings.Contains(findings.Error(), test.fault) {
				t.Errorf("findings: %v", findings)
			}
		})
	}
}

// manyPersonas is a policy of 1,000 routes and 5,000 expectations.
func manyPersonas() []byte {
	var routes, personas strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&routes, "  /svc%d/{id}/items: { GET: s%d, POST: { all: [s%d, s%d] } }\n", i, i%50, i%50, (i+1)%50)
	}
	var scopes strings.Builder
	for i := range 50 {
		fmt.Fprintf(&scopes, "  s%d: S\n", i)
		fmt.Fprintf(&personas, "  p%d:\n    scopes: [s%d]\n    allow: [", i, i)
		for j := i; j < 1000; j += 50 {
			fmt.Fprintf(&personas, "GET /svc%d/7/items, ", j)
		}
		personas.WriteString("]\n    deny: [")
		for j := range 80 {
			fmt.Fprintf(&personas, "GET /svc%d/7/items, ", (i+1+j%49)%50+50*(j/49))
		}
		personas.WriteString("]\n")
	}
	return []byte("version: 1\nservice: s\nscopes:\n" + scopes.String() + "routes:\n" + routes.String() + "personas:\n" + personas.String())
}

// BenchmarkSuite runs 5,000 expectations over 1,000 routes and measures what
// they cover, loading included: the promise is well under two seconds.
func BenchmarkSuite(b *testing.B) {
	src := manyPersonas()
	for b.Loop() {
		p, findings := policy.Load("p", src)
		if p == nil {
			b.Fatal(findings)
		}
		report := p.Test(p.OwnTests())
		if len(report.Outcomes) != 5000 || len(report.Failed()) != 0 {
			b.Fatalf("%d outcomes, %d failed", len(report.Outcomes), len(report.Failed()))
		}
	}
}

// TestARuleWithTooManyWaysIsCoverable: where not all ways can be listed, each
// scope is looked for by itself.
func TestARuleWithTooManyWaysIsCoverable(t *testing.T) {
	var scopes, all strings.Builder
	for i := range 8 {
		fmt.Fprintf(&scopes, "  s%da: S\n  s%db: S\n  s%dc: S\n", i, i, i)
		fmt.Fprintf(&all, "{ any: [s%da, s%db, s%dc] },", i, i, i)
	}
	src := "version: 1\nservice: s\nscopes:\n" + scopes.String() + "routes:\n  /:\n    GET: { all: [" + strings.TrimSuffix(all.String(), ",") + "] }\n"
	p := load(t, src)
	report := p.Test()
	if report.Coverage.Total != 24+2 {
		t.Errorf("%d things to show, want a pair for each of 24 scopes and two sides", report.Coverage.Total)
	}
	full := load(t, src+"personas:\n"+policy.YAML(report.Coverage.Proposed))
	if result := full.Test(full.OwnTests()); len(result.Failed()) > 0 || result.Coverage.Percent() != 100 {
		t.Errorf("%d fail, not covered:\n%s", len(result.Failed()), gaps(&result.Coverage))
	}
}
