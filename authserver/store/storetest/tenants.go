package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
)

var tenantClaims = []claim{
	{"a foreign role cannot be given a permission", foreignRole},
	{"a foreign permission cannot be attached", foreignPermission},
	{"a foreign role cannot be given to a user", foreignAssign},
	{"an organization is no owner of a service that it does not own", foreignEntitlement},
	{"a service name belongs to who claimed it first", squatting},
	{"usernames are unique over the server, in any case", usernames},
	{"e-mail addresses are unique inside an organization only", emails},
	{"role names are unique inside an organization, in any case", roleNames},
	{"an organization claims at most twenty services", claimLimit},
	{"another organization's user is not found", foreignUser},
	{"a grant reaches exactly what was granted", grants},
}

var stamp = account.Stamp{At: time.UnixMilli(1_700_000_000_000)}

func foreignRole(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, eve := signup(t, svc, "ann"), signup(t, svc, "eve")
	p := create(t, svc, login(t, svc, eve), "evil", "thing", "read")
	role := roleOf(t, s, ann.org, account.Owner)
	wantErr(t, "attach through the rules",
		svc.AttachPermission(t.Context(), login(t, svc, eve), role.ID, p.Slug()), account.ErrRoleNotFound)
	for _, org := range []account.OrgID{eve.org, ann.org} {
		err := s.Update(t.Context(), func(tx account.Tx) error {
			return tx.AttachPermission(t.Context(), org, role.ID, p.ID, stamp)
		})
		if err == nil {
			t.Errorf("the store attached across organizations as %s", org)
		}
	}
}

func foreignPermission(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, eve := signup(t, svc, "ann"), signup(t, svc, "eve")
	p := create(t, svc, login(t, svc, ann), "example_service", "billing", "delete")
	role := roleOf(t, s, eve.org, account.Owner)
	wantErr(t, "attach through the rules",
		svc.AttachPermission(t.Context(), login(t, svc, eve), role.ID, p.Slug()), account.ErrPermissionNotFound)
	wantErr(t, "attach in the store", s.Update(t.Context(), func(tx account.Tx) error {
		return tx.AttachPermission(t.Context(), eve.org, role.ID, p.ID, stamp)
	}), account.ErrPermissionNotFound)
}

func foreignAssign(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, eve := signup(t, svc, "ann"), signup(t, svc, "eve")
	role := roleOf(t, s, ann.org, account.Owner)
	for _, org := range []account.OrgID{eve.org, ann.org} {
		wantErr(t, "assign as "+string(org), s.Update(t.Context(), func(tx account.Tx) error {
			return tx.AssignRole(t.Context(), org, eve.user, role.ID, stamp)
		}), account.ErrRoleNotFound)
	}
}

func foreignEntitlement(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, eve := signup(t, svc, "ann"), signup(t, svc, "eve")
	p := create(t, svc, login(t, svc, ann), "example_service", "billing", "delete")
	wantErr(t, "entitle as owner", s.Update(t.Context(), func(tx account.Tx) error {
		return tx.Entitle(t.Context(), eve.org, p, account.FromOwner, stamp)
	}), account.ErrServiceForeign)
	for _, lie := range []string{"evil", "auth"} { // the row's service must be the permission's
		p := p
		p.Service = lie
		err := s.Update(t.Context(), func(tx account.Tx) error {
			return tx.Entitle(t.Context(), eve.org, p, account.FromSystem, stamp)
		})
		if err == nil {
			t.Errorf("entitled to a foreign permission by calling its service %q", lie)
		}
	}
}

func squatting(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, eve := signup(t, svc, "ann"), signup(t, svc, "eve")
	create(t, svc, login(t, svc, ann), "example_service", "billing", "read")
	for _, action := range []string{"read", "delete"} {
		_, err := svc.CreatePermission(t.Context(), login(t, svc, eve),
			account.NewPermission{Service: "example_service", Resource: "billing", Action: action})
		wantErr(t, "create "+action, err, account.ErrServiceForeign)
	}
	_, err := svc.CreatePermission(t.Context(), login(t, svc, ann),
		account.NewPermission{Service: "example_service", Resource: "billing", Action: "read"})
	wantErr(t, "create again", err, account.ErrPermissionExists)
}

func usernames(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann := signup(t, svc, "Ann")
	_, err := svc.Signup(t.Context(), peer, account.Signup{
		Username: "aNN", Password: password, PrimaryEmail: "other@example.com", OrgName: "other"})
	wantErr(t, "signup of the name in another case", err, account.ErrUsernameTaken)
	wantErr(t, "insert of the name in another case", s.Update(t.Context(), func(tx account.Tx) error {
		return tx.InsertUser(t.Context(), account.User{ID: "x", OrgID: ann.org, Username: "ANN", PrimaryEmail: "x@y"}, "", stamp)
	}), account.ErrUsernameTaken)
	if got := login(t, svc, member{name: "ANN"}); got.User != ann.user {
		t.Errorf("login in another case is user %s, want %s", got.User, ann.user)
	}
}

func emails(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, bob := signup(t, svc, "ann"), signup(t, svc, "bob")
	add := func(id string, org account.OrgID) error {
		return s.Update(t.Context(), func(tx account.Tx) error {
			return tx.InsertUser(t.Context(), account.User{ID: account.UserID(id), OrgID: org,
				Username: id, PrimaryEmail: "Ann@Example.com"}, "", stamp)
		})
	}
	wantErr(t, "the address in its own organization", add("u1", ann.org), account.ErrEmailTaken)
	if err := add("u2", bob.org); err != nil {
		t.Errorf("the address in another organization: %v", err)
	}
}

func roleNames(t *testing.T, s account.Store) {
	ann := signup(t, rules(t, s), "ann")
	for _, name := range []string{"owner", "OWNER"} {
		wantErr(t, "role "+name, s.Update(t.Context(), func(tx account.Tx) error {
			_, err := tx.InsertRole(t.Context(), account.Role{OrgID: ann.org, Name: name, Type: account.CustomRole}, stamp)
			return err
		}), account.ErrRoleExists)
	}
}

func claimLimit(t *testing.T, s account.Store) {
	svc := rules(t, s)
	id := login(t, svc, signup(t, svc, "ann"))
	for i := range 20 {
		create(t, svc, id, fmt.Sprintf("service%d", i), "thing", "read")
	}
	_, err := svc.CreatePermission(t.Context(), id, account.NewPermission{Service: "onemore", Resource: "thing", Action: "read"})
	wantErr(t, "the twenty-first claim", err, account.ErrLimit)
	view(t, s, func(tx account.Tx) error {
		_, err := tx.Claim(t.Context(), "onemore")
		wantErr(t, "what the refused claim left", err, account.ErrServiceNotFound)
		return nil
	})
	create(t, svc, id, "service7", "thing", "write") // its own ones stay usable
}

func foreignUser(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, eve := signup(t, svc, "ann"), signup(t, svc, "eve")
	view(t, s, func(tx account.Tx) error {
		_, err := tx.User(t.Context(), eve.org, ann.user)
		wantErr(t, "a foreign user by id", err, account.ErrUserNotFound)
		return nil
	})
	id := login(t, svc, ann)
	id.Org = eve.org
	_, err := svc.Me(t.Context(), id)
	wantErr(t, "a token with another organization", err, account.ErrUnknownCaller)
}

func grants(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann, bob, eve := signup(t, svc, "ann"), signup(t, svc, "bob"), signup(t, svc, "eve")
	id := login(t, svc, ann)
	for _, action := range []string{"read", "write", "all"} {
		create(t, svc, id, "shop", "orders", action)
	}
	for _, slug := range []string{"shop.orders.read", "shop.orders.all"} {
		if err := svc.GrantPermission(t.Context(), id, slug, bob.org); err != nil {
			t.Fatal(err)
		}
	}
	got := login(t, svc, bob).Scopes
	for slug, want := range map[string]bool{"shop.orders.read": true, "shop.orders.all": true, "shop.orders.write": false} {
		if slices.Contains(got, slug) != want {
			t.Errorf("%s held by the grantee: %v, want %v", slug, !want, want)
		}
	}
	wantErr(t, "handing a grant on", svc.GrantPermission(t.Context(), login(t, svc, bob), "shop.orders.read", eve.org),
		account.ErrDelegation)
	wantErr(t, "a grant to nobody", svc.GrantPermission(t.Context(), id, "shop.orders.read", "nobody"), account.ErrRoleNotFound)
	wantErr(t, "granting auth", svc.GrantPermission(t.Context(), id, "auth.user.all", bob.org), account.ErrDelegation)
}
