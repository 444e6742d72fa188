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

// What was probably meant comes first; what is like everything does not come.
func TestNearPaths(t *testing.T) {
	p, findings := policy.Load("shop.yaml", []byte(`version: 1
service: shop
routes:
  /orders/: { GET: public }
  /orders/{id}: { GET: public }
  /orders/{id}/items: { GET: public }
  /admin/**: { GET: public }
  /{any}/{thing}/{else}/x: { GET: public }
  /Case: { GET: public }
`))
	if p == nil {
		t.Fatal(findings)
	}
	for path, want := range map[string][]string{
		"/orders":           {"/orders/"},
		"/Orders/":          {"/orders/"},
		"/order/7":          {"/orders/{id}"},
		"/v1/orders/":       {"/orders/"},
		"/orders/7/":        {"/orders/{id}"},
		"/orders/7/item":    {"/orders/{id}/items"},
		"/orders/7/items/":  {"/orders/{id}/items"},
		"/case":             {"/Case"},
		"/amdin/users/7":    {"/admin/**"},
		"/a/b/c/y":          nil,
		"/completely/other": nil,
		"/":                 nil,
	} {
		var got []string
		for _, r := range p.Near(path) {
			got = append(got, r.Template())
		}
		if len(got) < len(want) || !reflect.DeepEqual(got[:len(want)], want) || want == nil && got != nil {
			t.Errorf("%s: near are %q, want first %q", path, got, want)
		}
	}
}
