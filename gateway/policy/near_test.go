package policy_test

import (
	"reflect"
	"testing"

	"github.com/scopegate/scopegate/gateway/policy"
)

func TestClaimsAreFoundByNameAndByPath(t *testing.T) {
	claims := map[string]any{
		"org":                       "acme",
		"https://example.com/roles": []any{"admin"},
		"realm":                     map[string]any{"tenant": map[string]any{"id": "7"}, "": "unnamed", "null": nil},
		"realm.null":                nil,
		"realm.tenant.id":           "whole",
	}
	for name, want := range map[string]any{
		"org":                       "acme",
		"org.x":                     nil,
		"https://example.com/roles": []any{"admin"},
		"realm.tenant":              map[string]any{"id": "7"},
		"realm.tenant.id":           "whole", // before the path
		"realm.":                    "unnamed",
		"realm.null":                nil,
		"realm.none.id":             nil,
		".realm":                    nil,
		"":                          nil,
		".":                         nil,
	} {
		if got := policy.Claim(claims, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %v, want %v", name, got, want)
		}
	}
	delete(claims, "realm.tenant.id")
	if got := policy.Claim(claims, "realm.tenant.id"); got != "7" {
		t.Errorf("along the path: %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { policy.Claim(claims, "realm.tenant.id") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
