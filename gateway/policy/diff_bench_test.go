package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/policy"
)

// shapes are policies of n routes in the shapes that services have, and in some
// that are meant to hurt. The word says what one rule in ten needs.
var shapesOfPolicies = map[string]func(n int, word string) string{
	"flat": func(n int, word string) string {
		return lines(n, word, func(i int) string { return fmt.Sprintf("/resource%d", i) })
	},
	"names": func(n int, word string) string {
		return lines(n, word, func(i int) string { return fmt.Sprintf("/r%d/{id}/items/{item}", i) })
	},
	"deep": func(n int, word string) string {
		return lines(n, word, func(i int) string {
			return fmt.Sprintf("/api/v1/t%d/{org}/u%d/{id}/v/w/x/y/z%d/{last}", i%10, i/10%10, i/100)
		})
	},
	"tenant": func(n int, word string) string { // a name at the root, and literals beside it
		return lines(n, word, func(i int) string {
			if i%20 == 0 {
				return fmt.Sprintf("/static%d/{x}", i)
			}
			return fmt.Sprintf("/{tenant}/r%d/{id}", i)
		})
	},
	"tails": func(n int, word string) string {
		return lines(n, word, func(i int) string { return fmt.Sprintf("/a%d/b%d/c%d/**", i%10, i/10%10, i/100) }) +
			"  /**: { GET: w9, ANY: nobody }\n" + lines(10, word, func(i int) string { return fmt.Sprintf("/a%d/**", i) })
	},
	"crosstails": func(n int, word string) string {
		return lines(n/2, word, func(i int) string { return fmt.Sprintf("/a%d/{x}/**", i) }) +
			lines(n/2, word, func(i int) string { return fmt.Sprintf("/{x}/c%d/**", i) })
	},
	"crossed": func(n int, word string) string { // every path of one half meets every one of the other
		return lines(n/2, word, func(i int) string { return fmt.Sprintf("/a%d/{x}/b", i) }) +
			lines(n/2, word, func(i int) string { return fmt.Sprintf("/{x}/c%d/{y}", i) })
	},
}

func lines(n int, word string, path func(i int) string) string {
	var out strings.Builder
	for i := range n {
		needs := fmt.Sprintf("{ any: [w%d, w%d], claims: { org: [o%d, o%d] } }", i%50, (i+1)%50, i%7, i%5+7)
		if i%10 == 0 {
			needs = word
		}
		fmt.Fprintf(&out, "  %s: { GET: w%d, POST: %s }\n", path(i), i%50, needs)
	}
	return out.String()
}

func wordy(routes string) string {
	var out strings.Builder
	out.WriteString("version: 1\nservice: s\nscopes:\n  all: { implies: [w1, w2, w3] }\n")
	for i := range 50 {
		fmt.Fprintf(&out, "  w%d: W\n", i)
	}
	return out.String() + "routes:\n" + routes
}

func shaped(tb testing.TB, name string, n int, word string) *policy.Policy {
	tb.Helper()
	p, findings := policy.Load("p", []byte(wordy(shapesOfPolicies[name](n, word))))
	if p == nil {
		tb.Fatal(findings.Errors())
	}
	return p
}

// BenchmarkCompare: two policies in which one rule in ten differs, of a thousand
// and of ten thousand routes.
func BenchmarkCompare(b *testing.B) {
	for _, name := range []string{"flat", "names", "deep", "tenant", "tails", "crossed", "crosstails"} {
		for _, n := range []int{1000, 10_000} {
			old, new := shaped(b, name, n, "w1"), shaped(b, name, n, "{ all: [w1, w2] }")
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					diff := policy.Compare(old, new)
					if !diff.Exact || len(diff.Changes) < n/10 {
						b.Fatal(len(diff.Changes), diff.Exact)
					}
					b.ReportMetric(float64(len(diff.Changes)), "changes")
				}
			})
		}
	}
}
