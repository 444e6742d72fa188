package learn_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/learn"
)

// values draws what stands in the place of a parameter.
var values = map[string]func(r *rand.Rand) string{
	"number": func(r *rand.Rand) string { return fmt.Sprint(r.IntN(100_000)) },
	"uuid": func(r *rand.Rand) string {
		return fmt.Sprintf("%08x-%04x-4%03x-9%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
	},
	"code": func(r *rand.Rand) string {
		return fmt.Sprintf("%s-%04d", []string{"INV", "ord", "usr"}[r.IntN(3)], r.IntN(10_000))
	},
	"name of hundreds": func(r *rand.Rand) string { return word(r.IntN(500), 3) },
	"name of sixty":    func(r *rand.Rand) string { return word(r.IntN(60), 4) },
	"name of five":     func(r *rand.Rand) string { return word(r.IntN(5), 5) },
}

// word is the n-th of some words without digits.
func word(n, length int) string {
	b := make([]byte, length)
	for i := range b {
		b[i] = "bcdfghklmnprstvw"[(n*7+i*5+n/16*3)%16]
		n /= 2
	}
	return string(b) + strings.Repeat("a", 1+n%3)
}

// TestTemplatesAreRecovered draws policies with resources and parameters, makes calls to them,
// and counts which of the templates come back: found of those that were called, and right of
// those that were found. One scope is for each resource, as people write them.
func TestTemplatesAreRecovered(t *testing.T) {
	for _, c := range []struct {
		kind  string
		calls int // to each template
		found float64
		right float64
	}{
		{"number", 30, 1, 1},
		{"uuid", 30, 1, 1},
		{"code", 30, 1, 1},
		{"name of hundreds", 200, 1, 1},
		{"name of hundreds", 30, 0.95, 0.95},
		{"name of sixty", 60, 0.95, 0.9},
		{"name of sixty", 600, 0, 0}, // names that come again and again are taken for names
		{"name of five", 30, 0, 0},   // five names are five names: each has a route of its own, and nothing is opened
	} {
		t.Run(fmt.Sprintf("%s, %d calls", c.kind, c.calls), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			found, wanted, right, drafts := 0, 0, 0, 0
			for range 8 {
				want, log := traffic(r, values[c.kind], c.calls)
				d, p := drafted(t, learn.Config{}, log)
				allowsAll(t, d, p, log)
				var got []string
				for _, route := range d.Routes {
					got = append(got, route.Path)
				}
				for _, template := range want {
					if slices.Contains(got, template) {
						found++
					}
				}
				for _, template := range got {
					if slices.Contains(want, template) {
						right++
					}
				}
				wanted, drafts = wanted+len(want), drafts+len(got)
			}
			recall, precision := float64(found)/float64(wanted), float64(right)/float64(drafts)
			t.Logf("found %.3f of the templates; %.3f of what was found is right", recall, precision)
			if recall < c.found || precision < c.right {
				t.Errorf("want at least %.2f and %.2f", c.found, c.right)
			}
		})
	}
}

// Many resources, each with a scope of its own, are no parameter, however seldom they are called.
func TestResourcesAreNoParameter(t *testing.T) {
	for _, calls := range []int{1, 30} {
		var log strings.Builder
		for i := range 60 {
			for range calls {
				log.WriteString(call("GET", "/api/"+word(i, 4)+"/17", "profile", word(i, 4)+".read"))
			}
		}
		d, p := drafted(t, learn.Config{}, log.String())
		if len(d.Routes) != 60 {
			t.Errorf("%d calls to each: %d routes\n%s", calls, len(d.Routes), d.YAML)
		}
		allowsAll(t, d, p, log.String())
	}
}

// traffic is a policy's templates, each with a parameter at least, and calls to them in any order.
func traffic(r *rand.Rand, value func(*rand.Rand) string, calls int) (templates []string, log string) {
	resources := []string{"orders", "invoices", "users", "teams", "reports", "v1", "oauth2-clients"}
	r.Shuffle(len(resources), func(i, j int) { resources[i], resources[j] = resources[j], resources[i] })
	var lines []string
	for _, resource := range resources[:4] {
		for _, rest := range []string{"/{id}", "/{id}/items", "/{id}/items/{id2}"}[:1+r.IntN(3)] {
			template := "/" + resource + rest
			templates = append(templates, template)
			for range calls {
				path := strings.NewReplacer("{id}", value(r), "{id2}", value(r)).Replace(template)
				lines = append(lines, call("GET", path, "profile", resource+".read"))
			}
		}
	}
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return templates, strings.Join(lines, "")
}
