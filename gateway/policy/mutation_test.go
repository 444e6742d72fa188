package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/policy"
)

// mutants writes a policy's mutants, one a line: where, kind, change, and who gets in with what.
func mutants(p *policy.Policy) string {
	var b strings.Builder
	for m := range p.Mutants(nil) {
		who := "[" + strings.Join(m.Who.Scopes, " ") + "]"
		if m.Who.Anonymous {
			who = "nobody"
		}
		fmt.Fprintf(&b, "%d %s %s, %s: %s: %s %s %s\n", m.Line, m.Method, m.Path, m.Kind, m.Change, who, m.Request.Method, m.Request.Path)
	}
	return b.String()
}

// TestMistakesInARule states, requirement by requirement, what can be got wrong in it.
func TestMistakesInARule(t *testing.T) {
	for _, test := range []struct {
		rule string
		want []string // kind and change, of the rule alone
	}{
		{"public", nil},
		{"nobody", []string{
			"nobody_opened any valid token will do instead of nobody",
			"made_public no token is needed, instead of nobody",
		}},
		{"authenticated", []string{"made_public no token is needed"}},
		{"b", []string{
			"scope_dropped b is not needed",
			"alternative_added c will do too",
			"alternative_added d will do too",
			"alternative_added e will do too",
			"made_public no token is needed",
		}},
		{"{ all: [b, d] }", []string{
			"scope_dropped b is not needed",
			"scope_dropped d is not needed",
			"all_to_any any of b, d will do instead of all",
			"alternative_added a will do too",
			"alternative_added c will do too",
			"alternative_added e will do too",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
		}},
		{"{ any: [d, e] }", []string{
			"alternative_added c will do too",
			"alternative_added b will do too",
			"alternative_added a will do too",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
		}},
		{"{ all: [d, { any: [b, e] }] }", []string{
			"scope_dropped d is not needed",
			"all_to_any any of b, d, e will do instead of all",
			"alternative_added a will do too",
			"alternative_added c will do too",
			"alternative_added c will do too, beside b, e",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
			"scope_dropped none of b, e is needed",
		}},
		{"{ any: [d, { all: [c, e] }] }", []string{
			"scope_dropped c is not needed",
			"scope_dropped e is not needed",
			"alternative_added b will do too",
			"alternative_added a will do too",
			"all_to_any any of c, e will do instead of all",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
		}},
		{"{ all: [e], claims: { org: x }, issuer: 'https://a.example', acr: [gold], max_age: 15m }", []string{
			"scope_dropped e is not needed",
			"condition_dropped issuer https://a.example is not asked for",
			"condition_dropped claim org = x is not asked for",
			"condition_dropped max_age 15m is not asked for",
			"condition_dropped acr gold is not asked for",
			"max_age_doubled max_age is 30m instead of 15m",
			"alternative_added d will do too",
			"alternative_added c will do too",
			"alternative_added b will do too",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
		}},
		{"{ max_age: 1h }", []string{
			"condition_dropped max_age 1h is not asked for",
			"max_age_doubled max_age is 2h instead of 1h",
			"made_public no token is needed",
		}},
		{"{ any: [e, { max_age: 1h }] }", []string{ // an alternative without its condition is none that the language has
			"max_age_doubled max_age is 2h instead of 1h",
			"alternative_added d will do too",
			"alternative_added c will do too",
			"alternative_added b will do too",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
		}},
		{"{ all: [{ max_age: 1h }, { max_age: 2h }] }", []string{ // the wider limit says nothing
			"condition_dropped max_age 1h is not asked for",
			"max_age_doubled max_age is 2h instead of 1h",
			"all_to_any any of  will do instead of all",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
		}},
		{"{ all: [a, b] }", []string{ // a implies b
			"scope_dropped a is not needed",
			"all_to_any any of a, b will do instead of all",
			"alternative_added c will do too",
			"alternative_added d will do too",
			"alternative_added e will do too",
			"made_authenticated any valid token will do",
			"made_public no token is needed",
		}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			p := load(t, "version: 1\nservice: s\n"+vocabulary+"routes:\n  /**: { ANY: "+test.rule+" }\n")
			var got []string
			for m := range p.Mutants(nil) {
				if m.Kind != policy.ImplicationAdded {
					got = append(got, m.Kind.String()+" "+m.Change)
				}
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("%s", strings.Join(got, "\n"))
			}
		})
	}
}

// TestMistakesInPathsMethodsAndScopes: what is wider, and through which rule somebody gets in.
func TestMistakesInPathsMethodsAndScopes(t *testing.T) {
	p := load(t, `version: 1
service: s
scopes:
  a: { implies: b }
  b: B
  c: C
routes:
  /v1/{x}: { GET: a, PUT: nobody }
  /v1/{id}/own: { GET: { all: [b], claims: { sub: "{id}" } } }
  /v2/**: { ANY: c }
  /v2/x: { GET: authenticated }
  /v2/y: { GET: { all: [c], claims: { d: e } } }
`)
	const want = `9 GET /v1/{id}/own, scope_dropped: b is not needed: [] GET /v1/x/own
9 GET /v1/{id}/own, condition_dropped: claim sub = {id} is not asked for: [b] GET /v1/x/own
9 GET /v1/{id}/own, alternative_added: c will do too: [c] GET /v1/x/own
9 GET /v1/{id}/own, made_authenticated: any valid token will do: [] GET /v1/x/own
9 GET /v1/{id}/own, made_public: no token is needed: [] GET /v1/x/own
9 GET /v1/{id}/own, method_widened: every method that is not listed is treated like GET: [b] POST /v1/x/own
9 GET /v1/{id}/own, literal_widened: the path is /{x}/{id}/own: [b] GET /x/x2/own
9 GET /v1/{id}/own, literal_widened: the path is /v1/{id}/{x}: [b] GET /v1/x/x2
9 GET /v1/{id}/own, path_widened: the path is /v1/{id}/**: [b] GET /v1/x/x
8 GET /v1/{x}, scope_dropped: a is not needed: [] GET /v1/x
8 GET /v1/{x}, alternative_added: b will do too: [b] GET /v1/x
8 GET /v1/{x}, alternative_added: c will do too: [c] GET /v1/x
8 GET /v1/{x}, made_public: no token is needed: [] GET /v1/x
8 PUT /v1/{x}, nobody_opened: any valid token will do instead of nobody: [] PUT /v1/x
8 PUT /v1/{x}, made_public: no token is needed, instead of nobody: [] PUT /v1/x
8 GET /v1/{x}, method_widened: every method that is not listed is treated like GET: [a] POST /v1/x
8 GET /v1/{x}, literal_widened: the path is /{x2}/{x}: [a] GET /x/x2
8 GET /v1/{x}, path_widened: the path is /v1/**: [a] GET /v1/
10 ANY /v2/**, scope_dropped: c is not needed: [] GET /v2/
10 ANY /v2/**, alternative_added: b will do too: [b] GET /v2/
10 ANY /v2/**, alternative_added: a will do too: [a] GET /v2/
10 ANY /v2/**, made_public: no token is needed: [] GET /v2/
10 ANY /v2/**, literal_widened: the path is /{x}/**: [c] GET /x/x
11 GET /v2/x, made_public: no token is needed: nobody GET /v2/x
11 GET /v2/x, method_widened: every method that is not listed is treated like GET: [] POST /v2/x
11 GET /v2/x, literal_widened: the path is /{x}/x: [] GET /x/x
11 GET /v2/x, literal_widened: the path is /v2/{x}: [] GET /v2/1
12 GET /v2/y, scope_dropped: c is not needed: [] GET /v2/y
12 GET /v2/y, condition_dropped: claim d = e is not asked for: [c] GET /v2/y
12 GET /v2/y, alternative_added: b will do too: [b] GET /v2/y
12 GET /v2/y, alternative_added: a will do too: [a] GET /v2/y
12 GET /v2/y, made_authenticated: any valid token will do: [] GET /v2/y
12 GET /v2/y, made_public: no token is needed: [] GET /v2/y
12 GET /v2/y, method_widened: every method that is not listed is treated like GET: [c] POST /v2/y
12 GET /v2/y, literal_widened: the path is /{x}/y: [c] GET /x/y
4 ANY /v2/**, implication_added: a implies c: [a] GET /v2/
5 ANY /v2/**, implication_added: b implies c: [b] GET /v2/
6 GET /v1/{id}/own, implication_added: c implies b: [c] GET /v1/x/own
6 GET /v1/{x}, implication_added: c implies a: [c] GET /v1/x
`
	if got := mutants(p); got != want {
		t.Errorf("%s", got)
	}
}

// drawPolicy makes a small policy with everything that the language has, without personas.
func drawPolicy(t *rapid.T) string {
	src := "version: 1\nservice: s\n" + vocabulary + "routes:\n"
	for i, r := range drawRoutes(t) {
		src += fmt.Sprintf("  /%s:\n", strings.Join(r, "/"))
		for j, method := range []string{"GET", "HEAD", "ANY"} {
			if j > 0 && rapid.IntRange(0, 2).Draw(t, "more") > 0 {
				continue
			}
			rule := drawRule(t, 0)
			if names(r) {
				rule = strings.ReplaceAll(rule, "{org}", strings.Trim(r[place(r)], "{}"))
				rule = strings.ReplaceAll(rule, `"`+strings.Trim(r[place(r)], "{}")+`"`, `"`+r[place(r)]+`"`)
			} else {
				rule = strings.ReplaceAll(rule, `"{org}"`, "x")
			}
			if i%4 == 3 {
				rule = rapid.SampledFrom([]string{"public", "authenticated", "nobody"}).Draw(t, "word")
			}
			src += "    " + method + ": " + rule + "\n"
		}
	}
	return src
}

// TestEveryMutantIsWeaker: somebody gets in whom the policy refuses, by Decide, and but for wider
// paths the comparison finds nobody who is kept out.
func TestEveryMutantIsWeaker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawPolicy(t)
		p := load(t, src)
		for m := range p.Mutants(nil) {
			before, after := p.Decide(&m.Request, m.Who.Caller(p)), m.Policy.Decide(&m.Request, m.Who.Caller(m.Policy))
			if before.Allow || !after.Allow {
				t.Fatalf("%s\n%s %s %s: %s before, %s after for %+v", src, m.Kind, m.Path, m.Change, before.Reason, after.Reason, m.Who)
			}
			for _, change := range compared(p, m.Policy) {
				if !change.Kind.Widens() && m.Kind != policy.LiteralWidened && m.Kind != policy.PathWidened {
					t.Fatalf("%s\n%s %s %s: %s", src, m.Kind, m.Path, m.Change, change.Kind)
				}
			}
		}
	})
}

func compared(old, new *policy.Policy) []policy.Change {
	c := policy.Compare(old, new)
	return c.Changes
}

// TestPastingTheProposalLeavesNoSurvivor: of a policy without personas, and of one with half of
// those that were proposed, each survivor's persona notices it and the policy bears it out; with
// all of them nothing survives, nothing is uncovered, and there are as many mutants as before.
func TestPastingTheProposalLeavesNoSurvivor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawPolicy(t)
		p := load(t, src)
		none := p.Test()
		first := p.Mutate(&none, nil)
		for pasted := range []int{0, 1} {
			half := src + "personas:\n" + policy.YAML(first.Proposed[:len(first.Proposed)*pasted/2]) + "  idle: { scopes: [] }\n"
			p := load(t, half)
			report := p.Test(p.OwnTests())
			some := p.Mutate(&report, nil)
			for range min(len(some.Survivors), 2) {
				s := rapid.SampledFrom(some.Survivors).Draw(t, "survivor")
				noticed(t, half, s, some.Survivors)
			}
			full := load(t, half+policy.YAML(some.Proposed))
			report = full.Test(full.OwnTests())
			all := full.Mutate(&report, nil)
			if len(report.Failed()) > 0 || len(all.Survivors) > 0 || report.Coverage.Percent() != 100 || all.Killed != len(first.Survivors)+first.Killed {
				t.Fatalf("%s\n%s\n%d fail, %d survive, %d killed of %d, coverage %v", half, policy.YAML(some.Proposed), len(report.Failed()),
					len(all.Survivors), all.Killed, len(first.Survivors)+first.Killed, report.Coverage.Percent())
			}
		}
	})
}

// noticed pastes the persona of one survivor and wants that one dead.
func noticed(t *rapid.T, src string, s policy.Survivor, before []policy.Survivor) {
	p := load(t, src+policy.YAML([]policy.Persona{s.Persona}))
	report := p.Test(p.OwnTests())
	again := p.Mutate(&report, nil)
	if len(report.Failed()) > 0 {
		t.Fatalf("%s\n%s\nfails", src, policy.YAML([]policy.Persona{s.Persona}))
	}
	if alike(again.Survivors, s.Mistake) >= alike(before, s.Mistake) {
		t.Fatalf("%s\n%s\nleaves %+v", src, policy.YAML([]policy.Persona{s.Persona}), s.Mistake)
	}
}

// alike counts the survivors that are told in the same words: one list may stand twice in a rule.
func alike(survivors []policy.Survivor, mistake policy.Mistake) int {
	n := 0
	for _, s := range survivors {
		if s.Mistake == mistake {
			n++
		}
	}
	return n
}

// BenchmarkMutate weakens 1,000 routes with 2,000 rules and 50 scopes, which 5,000 expectations
// look at: seconds at most.
func BenchmarkMutate(b *testing.B) {
	p := load(b, string(manyPersonas()))
	for b.Loop() {
		report := p.Test(p.OwnTests())
		m := p.Mutate(&report, nil)
		if m.Killed == 0 || len(m.Survivors) == 0 {
			b.Fatal(m.Killed)
		}
		b.ReportMetric(float64(m.Killed+len(m.Survivors)), "mutants")
	}
}
