package account

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawEntitlement makes any row a store could hand over, false ones too.
func drawEntitlement(r *rapid.T) Entitlement {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(r, name) }
	return Entitlement{
		Permission: Permission{
			Service: pick("service", "auth", "shop", "bank"), Resource: pick("resource", "a", "b"),
			Action: pick("action", "read", "write", "all"), OrgID: OrgID(pick("owner", "", "org1", "org2")),
		},
		Source: Source(pick("source", "owner", "grant", "system", "", "bogus")),
	}
}

// TestIssueProperty: whatever the store says, a scope is issued only if a row
// says that it is owned or granted, exactly this one, and that it is attached,
// or covered by an attached "all".
func TestIssueProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		org := OrgID(rapid.SampledFrom([]string{"", "org1", "org2"}).Draw(r, "org"))
		rows := rapid.SliceOfN(rapid.Custom(drawEntitlement), 0, 6)
		attached, siblings := rows.Draw(r, "attached"), rows.Draw(r, "siblings")
		got := issue(org, attached, siblings)
		for _, scope := range got.sorted() {
			isIt := func(e Entitlement) bool {
				owned := e.Source == FromOwner && e.Permission.OrgID == org && org != ""
				granted := e.Source == FromGrant && e.Permission.Service != "auth"
				builtin := e.Source == FromSystem && e.Permission.Service == "auth" && e.Permission.OrgID == ""
				return e.Permission.Slug() == scope && (owned || granted || builtin)
			}
			whole := scope[:strings.LastIndexByte(scope, '.')] + ".all"
			direct := slices.ContainsFunc(attached, isIt)
			if !direct && !(slices.ContainsFunc(siblings, isIt) && got.has(whole)) {
				r.Fatalf("issued %s to %q without a row for it", scope, org)
			}
		}
	})
}

func TestNarrow(t *testing.T) {
	held := []string{"a.b.all", "a.b.read", "c.d.read"}
	for _, c := range []struct{ asked, want []string }{
		{[]string{"a.b.read"}, []string{"a.b.read"}},
		{[]string{"c.d.read", "a.b.read", "a.b.read"}, []string{"a.b.read", "c.d.read"}}, // order of held, no repeats
		{[]string{"x.y.z"}, []string{}},
		{[]string{"x.y.z", "a.b.all"}, []string{"a.b.all"}},
		{[]string{"A.B.READ"}, []string{}},
		{[]string{"a.b.*"}, []string{}},
	} {
		if got := narrow(held, c.asked); !slices.Equal(got, c.want) {
			t.Errorf("asked %v: got %v, want %v", c.asked, got, c.want)
		}
	}
	if !slices.Equal(held, []string{"a.b.all", "a.b.read", "c.d.read"}) {
		t.Error("narrowing changed what is held")
	}
}

func TestHoldsIsLiveAndToken(t *testing.T) {
	c := &Caller{
		live:  newScopeSet([]string{"shop.orders.read", "shop.orders.all", "shop.stock.read", "bank.x.read"}),
		token: newScopeSet([]string{"shop.orders.all", "shop.stock.write", "bank.x.all"}),
	}
	for scope, want := range map[string]bool{
		"shop.orders.all":   true,
		"shop.orders.read":  true,  // by "all" in the token, and live
		"shop.orders.write": false, // "all" reaches only what is live
		"shop.stock.read":   false, // live, not in the token
		"shop.stock.write":  false, // in the token, taken away since
		"bank.x.read":       false, // the token's "all" is not live any more
		"":                  false,
	} {
		if got := c.Holds(scope); got != want {
			t.Errorf("%q: %v, want %v", scope, got, want)
		}
	}
}
