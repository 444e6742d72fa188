package policy_test

import (
	"fmt"
	"testing"

	"github.com/scopegate/scopegate/gateway/policy"
)

// BenchmarkLoad: reading, compiling and judging a policy, remarks included.
func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"flat", "names", "deep", "tenant", "tails", "crossed", "crosstails"} {
		for _, n := range []int{1000, 10_000} {
			src := []byte(wordy(shapesOfPolicies[name](n, "w1")))
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				remarks := 0
				for b.Loop() {
					p, findings := policy.Load("p", src)
					if p == nil {
						b.Fatal(findings.Errors())
					}
					remarks = len(findings)
				}
				b.ReportMetric(float64(remarks), "remarks")
			})
		}
	}
}
