package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/policy"
)

// hard is a rule for which every diagram is too large, in the order of the words
// that another rule of its kind dictates: each a stands beside a b, shifted.
func hard(n, shift int, extra string) string {
	var out strings.Builder
	out.WriteString("version: 1\nservice: s\nscopes:\n  extra: { implies: [a0] }\n")
	for i := range n {
		fmt.Fprintf(&out, "  a%d: A\n  b%d: B\n", i, i)
	}
	out.WriteString(extra + "routes:\n  /hard: { GET: { all: [")
	for i := range n {
		fmt.Fprintf(&out, "{ any: [a%d, b%d] }, ", i, (i*shift+shift)%n)
	}
	out.WriteString("] } }\n  /easy: { GET: a0 }\n")
	return out.String()
}

func mustLoad(t testing.TB, name, src string) *policy.Policy {
	t.Helper()
	p, findings := policy.Load(name, []byte(src))
	if p == nil {
		t.Fatal(findings.Errors())
	}
	return p
}

// What is too hard is said to be undecided in both directions, and all else is
// decided all the same.
func TestWhatIsTooHardMayWiden(t *testing.T) {
	old, new := mustLoad(t, "old", hard(61, 1, "")), mustLoad(t, "new", strings.Replace(hard(61, 17, ""), "/easy: { GET: a0 }", "/easy: { GET: public }", 1))
	diff := policy.Compare(old, new)
	if got, want := written(&diff), `loosened GET,HEAD /easy -> /easy: GET /easy
may_widen GET,HEAD /hard -> /hard: GET /hard
may_tighten GET,HEAD /hard -> /hard: GET /hard
not exact
`; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if !diff.NewAccess() || !diff.MayWiden() {
		t.Error("new access is proven by the easy route")
	}
}

// However hard a rule is, it is equal to itself, also where other words changed.
func TestAHardRuleIsEqualToItself(t *testing.T) {
	old := mustLoad(t, "old", hard(61, 17, ""))
	for name, src := range map[string]string{
		"the same":              hard(61, 17, ""),
		"with a word beside it": hard(61, 17, "  other: O\n"),
	} {
		if diff := policy.Compare(old, mustLoad(t, "new", src)); len(diff.Changes) > 0 || !diff.Exact {
			t.Errorf("%s: %s", name, written(&diff))
		}
	}
}

// A policy that is not there allows nothing.
func TestNoPolicyAllowsNothing(t *testing.T) {
	p := mustLoad(t, "p", "version: 1\nservice: s\nscopes: { a: A }\nroutes:\n  /x: { GET: a, POST: nobody }\n  /y/**: { ANY: public }\n")
	opened, closed := policy.Compare(nil, p), policy.Compare(p, nil)
	if got := written(&opened); got != "opened GET,HEAD - -> /x: GET /x a\nopened ANY - -> /y/**: GET /y/1\n" {
		t.Error(got)
	}
	if got := written(&closed); got != "closed GET,HEAD /x -> -: GET /x a\nclosed ANY /y/** -> -: GET /y/1\n" {
		t.Error(got)
	}
}

// FuzzCompare: whatever two policies load, comparing them ends, every witness
// holds, the way back has the same changes reversed, and none is left out where
// the policies decide some request of their own differently.
func FuzzCompare(f *testing.F) {
	f.Add("  /a/{b}/**: { GET: { all: [a, { any: [b, { acr: x }] }], claims: { t.u: [\"{b}\", 7] }, max_age: 15m }, ANY: nobody, accept: [semicolon] }\n",
		"  /a/**: { GET: { any: [b], issuer: https://one }, upgrade: [websocket] }\n  /a/x: { POST: public }\n")
	f.Add("  /: { ANY: a }\n  /a//b: { GET: b, accept: [empty_segment] }\n", "  /a/**: { GET: a, accept: [empty_segment] }\n")
	f.Add("  /{x}: { GET: { claims: { o: \"{x}\" } } }\n", "  /{y}: { GET: { claims: { o: [\"{y}\", z] } } }\n  /z: { GET: authenticated }\n")
	f.Fuzz(func(t *testing.T, oldRoutes, newRoutes string) {
		const head = "version: 1\nservice: s\nscopes: { a: A, b: { implies: a }, c: C }\nroutes:\n"
		old, _ := policy.Load("old", []byte(head+oldRoutes))
		new, _ := policy.Load("new", []byte(head+newRoutes))
		if old == nil || new == nil || len(oldRoutes)+len(newRoutes) > 4000 {
			return
		}
		diff, back := policy.Compare(old, new), policy.Compare(new, old)
		if there, again := kindsOf(&diff, false), kindsOf(&back, true); strings.Join(there, "\n") != strings.Join(again, "\n") {
			t.Fatalf("there\n%v\nand back\n%v", there, again)
		}
		for i := range diff.Changes {
			if diff.Changes[i].Kind.Proven() {
				checkWitness(t, old, new, &diff.Changes[i], oldRoutes+"\n"+newRoutes)
			}
		}
		if diff.Exact {
			checkSamples(t, old, new, &diff)
			checkSamples(t, new, old, &back)
		}
	})
}

// checkSamples asks both policies what reaches the rules of the first one.
func checkSamples(t *testing.T, old, new *policy.Policy, diff *policy.Comparison) {
	callers := []policy.Persona{{Anonymous: true}, {}, {Scopes: []string{"a"}}, {Scopes: []string{"a", "b", "c"}}}
	for _, route := range old.Routes() {
		for _, rule := range route.Rules() {
			req, ok := old.Sample(rule)
			if !ok {
				continue
			}
			for i := range callers {
				before, after := old.Decide(&req, callers[i].Caller(old)), new.Decide(&req, callers[i].Caller(new))
				if before.Allow == after.Allow {
					continue
				}
				if !reports(diff, before.Match.Rule, after.Match.Rule, after.Allow) {
					t.Fatalf("%s %s of %v goes from %s to %s, and no change says so:\n%s", req.Method, req.Path, callers[i], before.Reason, after.Reason, written(diff))
				}
			}
		}
	}
}

func reports(diff *policy.Comparison, old, new *policy.Rule, widens bool) bool {
	for i := range diff.Changes {
		x := &diff.Changes[i]
		if x.Old.Rule == old && x.New.Rule == new && x.Kind.Widens() == widens {
			return true
		}
	}
	return false
}
