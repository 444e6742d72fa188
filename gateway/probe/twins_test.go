package probe

import (
	"testing"

	"github.com/scopegate/scopegate/gateway/policy"
)

// What the ambiguity guard has a rule for never gets through, unless a route
// accepts it; and no twin is the path itself, or stands twice.
func TestTwins(t *testing.T) {
	for _, path := range []string{"/", "/a", "/billing/", "/admin/users", "/r%C3%A9sum%C3%A9s/k", "/Shop/s/x.html", "/~a/1/2/3/"} {
		seen := map[string]bool{}
		for _, twin := range Twins(path) {
			if twin.Target == path || seen[twin.Target] || twin.Target[0] != '/' {
				t.Errorf("%s: the twin %q", path, twin.Target)
			}
			seen[twin.Target] = true
			if twin.Family.About() == "" {
				t.Errorf("%s has no text", twin.Family)
			}
			req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: twin.Target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
			if _, guarded := policy.GuardRuleNamed(string(twin.Family)); guarded && err == nil && req.Broken == 0 {
				t.Errorf("%s: the guard lets %q through, of the family %s", path, twin.Target, twin.Family)
			}
			if err == nil && req.Path == path {
				t.Errorf("%s: %q is the same to the policy too", path, twin.Target)
			}
		}
		if n := len(seen); n < 35 {
			t.Errorf("%s has %d twins", path, n)
		}
	}
}
