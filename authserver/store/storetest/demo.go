package storetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/scopegate/scopegate/authserver/account"
)

// member is somebody who signed up.
type member struct {
	name string
	org  account.OrgID
	user account.UserID
}

func signup(t testing.TB, svc *account.Service, name string) member {
	t.Helper()
	made, err := svc.Signup(t.Context(), peer, account.Signup{
		Username: name, Password: password, PrimaryEmail: name + "@example.com", OrgName: "org of " + name,
	})
	if err != nil {
		t.Fatalf("signup %s: %v", name, err)
	}
	return member{name: name, org: made.OrgID, user: made.UserID}
}

// login is the identity that a fresh token would carry.
func login(t testing.TB, svc *account.Service, m member, scopes ...string) account.Identity {
	t.Helper()
	got, err := svc.Login(t.Context(), peer, account.Login{Username: m.name, Password: password, Scopes: scopes})
	if err != nil {
		t.Fatalf("login %s: %v", m.name, err)
	}
	return account.Identity{User: got.User.ID, Org: got.User.OrgID, Scopes: got.Scopes}
}

// roleOf finds a system role of a member's organization.
func roleOf(t testing.TB, s account.Store, org account.OrgID, kind account.Builtin) account.Role {
	t.Helper()
	var out account.Role
	view(t, s, func(tx account.Tx) error {
		roles, err := tx.Roles(t.Context(), org)
		for _, r := range roles {
			if r.Builtin == kind {
				out = r
			}
		}
		return err
	})
	if out.ID == 0 {
		t.Fatalf("organization %s has no role %s", org, kind)
	}
	return out
}

func view(t testing.TB, s account.Store, fn func(account.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func update(t testing.TB, s account.Store, fn func(account.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, svc *account.Service, id account.Identity, service, resource, action string) account.Permission {
	t.Helper()
	p, err := svc.CreatePermission(t.Context(), id,
		account.NewPermission{Service: service, Resource: resource, Action: action})
	if err != nil {
		t.Fatalf("create %s.%s.%s: %v", service, resource, action, err)
	}
	return p
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

var demoClaims = []claim{
	{"attach, log in again, and the scope is there", attachThenLogin},
	{"an organization is born with three system roles and their permissions", bornWith},
	{"roles are listed by id", rolesByID},
	{"all stands for every action of its resource, also those made later", allExpands},
	{"a right that was taken away is gone at once", goneAtOnce},
}

func attachThenLogin(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann := signup(t, svc, "test_user")
	id := login(t, svc, ann)
	const slug = "example_service.billing.read"
	p := create(t, svc, id, "example_service", "billing", "read")
	if p.Slug() != slug || p.OrgID != ann.org || p.ID == 0 {
		t.Errorf("created %+v", p)
	}
	if slices.Contains(login(t, svc, ann).Scopes, slug) {
		t.Error("the scope is held before it is attached")
	}
	owner := roleOf(t, s, ann.org, account.Owner)
	for range 2 { // repeating is no error
		if err := svc.AttachPermission(t.Context(), id, owner.ID, slug); err != nil {
			t.Fatal(err)
		}
	}
	if got := login(t, svc, ann).Scopes; !slices.Contains(got, slug) || !slices.IsSorted(got) {
		t.Errorf("scopes after attaching: %v", got)
	}
}

func bornWith(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann := signup(t, svc, "ann")
	want := map[account.Builtin][]string{
		account.Owner: {"auth.user.read", "auth.user.write", "auth.user.delete", "auth.user.all",
			"auth.role.read", "auth.role.write", "auth.role.delete", "auth.role.all",
			"auth.permission.read", "auth.permission.write", "auth.permission.delete", "auth.permission.all"},
		account.Admin: {"auth.user.read", "auth.user.write", "auth.user.delete", "auth.user.all",
			"auth.role.read", "auth.permission.read"},
		account.Member: {"auth.user.read"},
	}
	for kind, slugs := range want {
		role := roleOf(t, s, ann.org, kind)
		var got []string
		view(t, s, func(tx account.Tx) error {
			attached, err := tx.RolePermissions(t.Context(), ann.org, role.ID)
			for _, e := range attached {
				got = append(got, e.Permission.Slug())
			}
			return err
		})
		if !slices.Equal(got, slugs) {
			t.Errorf("%s has %v, want %v", kind, got, slugs)
		}
	}
}

func rolesByID(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, bob := signup(t, svc, "ann"), signup(t, svc, "bob")
	for _, m := range []member{ann, bob} {
		roles, err := svc.ListRoles(t.Context(), login(t, svc, m))
		if err != nil || len(roles) != 3 {
			t.Fatalf("roles of %s: %v, %v", m.name, roles, err)
		}
		for i, r := range roles {
			if r.OrgID != m.org || r.Type != account.SystemRole || i > 0 && roles[i-1].ID >= r.ID {
				t.Errorf("roles of %s: %+v", m.name, roles)
			}
		}
	}
}

func allExpands(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann := signup(t, svc, "ann")
	id := login(t, svc, ann)
	create(t, svc, id, "shop", "orders", "read")
	create(t, svc, id, "shop", "orders", "all")
	create(t, svc, id, "shop", "stock", "read")
	owner := roleOf(t, s, ann.org, account.Owner)
	if err := svc.AttachPermission(t.Context(), id, owner.ID, "shop.orders.all"); err != nil {
		t.Fatal(err)
	}
	create(t, svc, id, "shop", "orders", "ship")
	got := login(t, svc, ann).Scopes
	for slug, want := range map[string]bool{
		"shop.orders.all": true, "shop.orders.read": true, "shop.orders.ship": true, "shop.stock.read": false,
	} {
		if slices.Contains(got, slug) != want {
			t.Errorf("%s held: %v, want %v", slug, !want, want)
		}
	}
}

func goneAtOnce(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann := signup(t, svc, "ann")
	id := login(t, svc, ann)
	if _, err := svc.Me(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx account.Tx) error { return tx.SetActive(t.Context(), ann.org, ann.user, false) })
	_, err := svc.Me(t.Context(), id)
	wantErr(t, "me with the token of a user who was switched off", err, account.ErrInactive)
	_, err = svc.Login(t.Context(), peer, account.Login{Username: "ann", Password: password})
	wantErr(t, "login of a user who was switched off", err, account.ErrCredentials)
}
