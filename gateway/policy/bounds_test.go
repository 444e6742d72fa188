package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/scopegate/scopegate/gateway/policy"
)

func get(tb testing.TB, target string) policy.Request {
	tb.Helper()
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: target, Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// A decision that lets through allocates nothing, whatever the rule compares.
func TestAnAllowedRequestAllocatesNothing(t *testing.T) {
	p, findings := policy.Load("p", []byte("version: 1\nservice: s\n"+vocabulary+`routes:
  /plain: { GET: a }
  /open: { GET: public }
  /{org}/claims:
    GET: { any: [d, { all: [a, b] }], claims: { org: "{org}", realm.tenant: [x, 7] }, max_age: 1h, acr: [p, q], issuer: "https://i" }
  /files/**: { ANY: c }
`))
	if p == nil {
		t.Fatal(findings)
	}
	caller := &policy.Caller{
		Issuer: "https://i", Scopes: p.Scopes([]string{"a"}), ACR: "q", AuthAge: 1, AuthAgeKnown: true,
		Claims: map[string]any{"org": []any{"other", "caf\u00e9 one"}, "realm": map[string]any{"tenant": "x"}},
	}
	for _, target := range []string{"/plain", "/open", "/caf%C3%A9%20one/claims", "/files/a/b/c/d/e"} {
		req := get(t, target)
		if d := p.Decide(&req, caller); !d.Allow {
			t.Fatalf("%s: %s", target, d.Reason)
		}
		if n := testing.AllocsPerRun(100, func() { p.Decide(&req, caller) }); n != 0 {
			t.Errorf("%s: %v allocations", target, n)
		}
	}
}

// hurtful is a policy of 2^depth patterns that all begin alike for one path and
// none of which matches it: each of its segments may be the literal or a name.
func hurtful(tb testing.TB, depth int) *policy.Policy {
	tb.Helper()
	var src strings.Builder
	src.WriteString("version: 1\nservice: s\nroutes:\n")
	for set := range 1 << depth {
		src.WriteString("  ")
		for i := range depth {
			if set>>i&1 == 0 {
				src.WriteString("/a")
			} else {
				fmt.Fprintf(&src, "/{x%d}", i)
			}
		}
		src.WriteString("/end: { GET: public }\n")
	}
	p, findings := policy.Load("p", []byte(src.String()))
	if p == nil {
		tb.Fatal(findings)
	}
	return p
}

// The worst that a policy can do to matching is to have every node visited
// once: linear in the policy, not exponential in the path.
func BenchmarkMatchAgainstAHurtfulPolicy(b *testing.B) {
	for _, depth := range []int{6, 9, 12} {
		p := hurtful(b, depth)
		req := get(b, strings.Repeat("/a", depth)+"/no")
		b.Run(fmt.Sprintf("%d routes", 1<<depth), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if m := p.Match(&req); m.Reason != policy.ReasonNoRoute {
					b.Fatal(m.Reason)
				}
			}
		})
	}
}

// Files that took a minute and more to load, while they were as small as a
// policy may be: a reload must not stall on one. The test's own time is what
// holds them; none of them asserts a clock.
func TestHostileFilesAreNoWork(t *testing.T) {
	long := strings.Repeat("x", 240)
	cases := map[string]func(*strings.Builder){
		"a public tail beside every other": func(b *strings.Builder) {
			b.WriteString("routes:\n")
			for i := range 40_000 {
				fmt.Fprintf(b, " /a%d/**: {GET: public}\n", i)
			}
		},
		"long words that are nearly declared": func(b *strings.Builder) {
			b.WriteString("scopes:\n")
			for i := range 9_000 {
				fmt.Fprintf(b, " %s%d: x\n", long, i)
			}
			b.WriteString("routes: {/: {GET: {any: [")
			for i := range 500 {
				fmt.Fprintf(b, "y%s%d,", long, i)
			}
			b.WriteString("y]}}}\n")
		},
		"a chain of implications": func(b *strings.Builder) {
			b.WriteString("scopes:\n a0: x\n")
			for i := range 9_000 {
				fmt.Fprintf(b, " a%d: {implies: a%d}\n", i+1, i)
			}
			b.WriteString("routes: {/: {GET: a0}}\n")
		},
		"a chain of implications below many rules": func(b *strings.Builder) {
			b.WriteString("scopes:\n a0: x\n")
			for i := range 9_000 {
				fmt.Fprintf(b, " a%d: {implies: a%d}\n", i+1, i)
			}
			b.WriteString("routes:\n")
			for i := range 5_000 {
				fmt.Fprintf(b, " /%d: {GET: {any: [a0, a1]}, HEAD: a2}\n", i)
			}
		},
		"brackets": func(b *strings.Builder) { b.WriteString(strings.Repeat("[", 1<<20)) },
		"keys":     func(b *strings.Builder) { b.WriteString(strings.Repeat("? ", 1<<20)) },
	}
	for name, write := range cases {
		t.Run(name, func(t *testing.T) {
			var src strings.Builder
			src.WriteString("version: 1\nservice: s\n")
			write(&src)
			policy.Load("p", []byte(src.String()))
		})
	}
}

// A refusal proposes scopes within bounded work, however many ways a rule has:
// whoever is refused could ask for it again and again.
func TestARuleWithTooManyWaysStillProposesASetThatDoes(t *testing.T) {
	var src strings.Builder
	src.WriteString("version: 1\nservice: s\nscopes:\n")
	for i := range 200 {
		fmt.Fprintf(&src, "  s%d: x\n", i)
	}
	src.WriteString("routes:\n  /:\n    GET:\n      all:\n")
	for i := range 20 {
		src.WriteString("        - any: [")
		for j := range 10 {
			fmt.Fprintf(&src, "s%d, ", i*10+j)
		}
		src.WriteString("]\n")
	}
	p, findings := policy.Load("p", []byte(src.String()))
	if p == nil {
		t.Fatal(findings)
	}
	req := get(t, "/")
	d := p.Decide(&req, &policy.Caller{Scopes: p.Scopes([]string{"s0"})})
	missing := d.Missing()
	if len(missing) != 19 {
		t.Errorf("%d scopes are proposed, 19 would do: %v", len(missing), missing)
	}
	if again := p.Decide(&req, &policy.Caller{Scopes: p.Scopes(append(missing, "s0"))}); !again.Allow {
		t.Errorf("with what was missing it is still %s", again.Reason)
	}
}

// A large policy may be remarked upon at each of its routes, and is usable all
// the same.
func TestAThousandRemarksAreNoFault(t *testing.T) {
	var src strings.Builder
	src.WriteString("version: 1\nservice: s\nroutes:\n")
	for i := range 3000 {
		fmt.Fprintf(&src, "  /r%d: { GET: authenticated }\n", i)
	}
	p, findings := policy.Load("p", []byte(src.String()))
	if p == nil || len(findings) != 1001 || findings[1000].ID != "SG030" && findings[0].ID != "SG030" {
		t.Errorf("loaded: %v, %d findings", p != nil, len(findings))
	}
}

// Findings go to terminals and to the logs of build servers, which obey escape
// sequences and take lines that begin with :: or ## as commands.
func TestFindingsAreOneBoundedLineEach(t *testing.T) {
	hostile := `"\x1b]0;owned\x07\n::error::\r\u202e` + strings.Repeat("k", 900) + `"`
	_, findings := policy.Load("p", []byte("version: 1\nservice: "+hostile+"\nroutes:\n  "+hostile+": { GET: "+hostile+" }\n"+hostile+": 1\n"))
	if len(findings) < 4 {
		t.Fatalf("%d findings", len(findings))
	}
	for _, f := range findings {
		text := f.String()
		if strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) || c == '\u202e' }) {
			t.Errorf("%s lets control characters through: %q", f.ID, text)
		}
		if len(text) > 1400 {
			t.Errorf("%s has %d bytes", f.ID, len(text))
		}
	}
}

// A set of scopes counts for the policy that made it only: after a reload the
// numbers of the old vocabulary mean other words.
func TestScopesOfAnotherPolicyOpenNothing(t *testing.T) {
	load := func(src string) *policy.Policy {
		p, findings := policy.Load("p", []byte("version: 1\nservice: s\n"+src))
		if p == nil {
			t.Fatal(findings)
		}
		return p
	}
	before := load("scopes: { harmless: x }\nroutes: { /: { GET: harmless } }\n")
	after := load("scopes: { admin: x }\nroutes: { /: { GET: admin } }\n")
	req := get(t, "/")
	if d := after.Decide(&req, &policy.Caller{Scopes: before.Scopes([]string{"harmless"})}); d.Allow {
		t.Error("an old set opened a new door")
	}
	if d := after.Decide(&req, nil); d.Reason != policy.ReasonTokenMissing {
		t.Errorf("nobody at all: %s", d.Reason)
	}
}
