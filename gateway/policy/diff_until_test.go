package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Whoever runs out of patience, at whatever moment, is never told that nothing widens where
// something does: what was not looked at may.
func TestAComparisonThatIsGivenUpSaysSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawer{t, false}
		old := d.policy("old", nil)
		new := d.policy("new", old)
		a, b := old.load(t), new.load(t)
		whole := policy.Compare(a, b)
		left := rapid.IntRange(0, 12).Draw(t, "patience")
		given := false
		part := policy.CompareUntil(a, b, func() bool {
			left--
			given = given || left < 0
			return given
		})
		switch {
		case given && (part.Exact || !part.MayWiden()):
			t.Fatalf("given up, and exact %t, may widen %t", part.Exact, part.MayWiden())
		case !given && (part.Exact != whole.Exact || len(part.Changes) != len(whole.Changes)):
			t.Fatalf("not given up, and %d changes of %d", len(part.Changes), len(whole.Changes))
		}
	})
}

// Policies larger than people write, in which every route meets every other: whoever compares is
// asked again and again, and the comparison ends soon after it was given up.
func TestALargeComparisonCanBeGivenUp(t *testing.T) {
	large := func(scope string) *policy.Policy {
		var b strings.Builder
		b.WriteString("version: 1\nservice: s\nscopes: { a: A, b: B }\nroutes:\n")
		for i := range 1000 {
			fmt.Fprintf(&b, "  /{x}/p%d/**: { GET: %s }\n  /p%d/{y}/**: { GET: a }\n", i, scope, i)
		}
		p, findings := policy.Load("large.yaml", []byte(b.String()))
		if p == nil {
			t.Fatal(findings)
		}
		return p
	}
	old, new := large("a"), large("b")
	asked := 0
	c := policy.CompareUntil(old, new, func() bool { asked++; return asked >= 10 })
	if c.Exact || !c.MayWiden() || asked < 10 || asked > 5000 {
		t.Errorf("asked %d times, exact %t, may widen %t", asked, c.Exact, c.MayWiden())
	}
}
