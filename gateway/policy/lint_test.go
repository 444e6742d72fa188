package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/policy"
)

// need is a requirement as it is written: a scope, or a mapping.
type need struct {
	scope   string
	word    string // any or all
	entries []need
	beside  []string // conditions
}

func (n need) String() string {
	if n.scope != "" {
		return n.scope
	}
	parts := slices.Clone(n.beside)
	if len(n.entries) > 0 {
		var list []string
		for _, e := range n.entries {
			list = append(list, e.String())
		}
		parts = append(parts, n.word+": ["+strings.Join(list, ", ")+"]")
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// shorter lists what the requirement can become by leaving out one part that has others beside it.
func (n need) shorter() (out []need) {
	parts := len(n.beside)
	if len(n.entries) > 0 {
		parts++
	}
	for i := range n.beside {
		if parts > 1 {
			one := n
			one.beside = slices.Delete(slices.Clone(n.beside), i, i+1)
			out = append(out, one)
		}
	}
	if len(n.entries) > 0 && parts > 1 {
		one := n
		one.entries = nil
		out = append(out, one)
	}
	for i, e := range n.entries {
		if len(n.entries) > 1 {
			one := n
			one.entries = slices.Delete(slices.Clone(n.entries), i, i+1)
			out = append(out, one)
		}
		for _, less := range e.shorter() {
			one := n
			one.entries = slices.Clone(n.entries)
			one.entries[i] = less
			out = append(out, one)
		}
	}
	return out
}

func drawNeed(t *rapid.T, depth int) need {
	if depth > 0 && rapid.Bool().Draw(t, "scope") || depth == 3 {
		return need{scope: rapid.SampledFrom([]string{"read", "write", "all"}).Draw(t, "word")}
	}
	n := need{word: rapid.SampledFrom([]string{"any", "all"}).Draw(t, "list")}
	for _, c := range []string{"issuer: https://a.example", "claims: { org: one }", "acr: gold", "claims: { org: [one, two] }", "acr: [gold, silver]", "issuer: https://b.example"} {
		key, _, _ := strings.Cut(c, ":")
		taken := slices.ContainsFunc(n.beside, func(b string) bool { return strings.HasPrefix(b, key) })
		if !taken && rapid.IntRange(0, 5).Draw(t, "beside") == 0 {
			n.beside = append(n.beside, c)
		}
	}
	least := 1
	if len(n.beside) > 0 {
		least = 0
	}
	seen := map[string]bool{}
	for range rapid.IntRange(least, 3).Draw(t, "entries") {
		if e := drawNeed(t, depth+1); e.scope == "" || !seen[e.scope] {
			seen[e.scope] = true
			n.entries = append(n.entries, e)
		}
	}
	return n
}

// letIn says of every token that matters whether it passes.
func letIn(t *rapid.T, n need) (answers string, findings policy.Findings) {
	src := "version: 1\nservice: s\nscopes: { read: R, write: W, all: { implies: [read, write] } }\nroutes:\n  /: { GET: " + n.String() + " }\n"
	p, findings := policy.Load("p", []byte(src))
	if p == nil {
		t.Fatalf("%v\n%s", findings, src)
	}
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: "/", Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, scopes := range [][]string{{}, {"read"}, {"write"}, {"read", "write"}, {"all"}} {
		for _, issuer := range []string{"https://a.example", "https://b.example", "https://c.example"} {
			for _, acr := range []string{"", "gold", "silver"} {
				for _, org := range [][]any{{}, {"one"}, {"two"}} {
					d := p.Decide(&req, &policy.Caller{Scopes: p.Scopes(scopes), Issuer: issuer, ACR: acr, Claims: map[string]any{"org": org}})
					fmt.Fprintf(&out, "%t ", d.Allow)
				}
			}
		}
	}
	return out.String(), findings
}

// A requirement is called impossible if no token passes, and a part of it idle if the same tokens
// pass without it: exactly then, by asking Decide about all tokens.
func TestRemarksOnRequirementsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNeed(t, 0)
		answers, findings := letIn(t, n)
		has := func(id string) bool {
			return slices.ContainsFunc(findings, func(f policy.Finding) bool { return f.ID == id })
		}
		impossible := !strings.Contains(answers, "true")
		if impossible != has("SG112") {
			t.Fatalf("nobody passes %s: %t, and the findings are\n%v", n, impossible, findings)
		}
		idle := false
		for _, less := range n.shorter() {
			without, _ := letIn(t, less)
			idle = idle || without == answers
		}
		if !impossible && idle != has("SG113") {
			t.Fatalf("a part of %s counts for nothing: %t, and the findings are\n%v", n, idle, findings)
		}
	})
}
