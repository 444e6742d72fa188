package account_test

import (
	"database/sql"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/store"
)

const password = "test1234@"

var (
	peer  = netip.MustParseAddr("192.0.2.7")
	cheap = account.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}
)

// world is the rules over a real store.
type world struct {
	*account.Service
	t     testing.TB
	store *store.SQLite
	path  string
}

func newWorld(t testing.TB, change ...func(*account.Config)) *world {
	t.Helper()
	cfg := account.Config{Signup: account.SignupOpen, Claim: account.ClaimFirstCome, Password: cheap}
	for _, c := range change {
		c(&cfg)
	}
	w := &world{t: t, path: filepath.Join(t.TempDir(), "data", "auth.db")}
	var err error
	if w.store, err = store.OpenSQLite(t.Context(), w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	if w.Service, err = account.New(w.store, cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) join(name string) account.SignedUp {
	w.t.Helper()
	made, err := w.Signup(w.t.Context(), peer, account.Signup{
		Username: name, Password: password, PrimaryEmail: name + "@example.com", OrgName: "org of " + name})
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

func (w *world) try(name, pass string, scopes ...string) (account.Granted, error) {
	return w.Login(w.t.Context(), peer, account.Login{Username: name, Password: pass, Scopes: scopes})
}

// token logs in and is what the token would say.
func (w *world) token(name string, scopes ...string) account.Identity {
	w.t.Helper()
	got, err := w.try(name, password, scopes...)
	if err != nil {
		w.t.Fatal(err)
	}
	return account.Identity{User: got.User.ID, Org: got.User.OrgID, Scopes: got.Scopes}
}

func (w *world) make(id account.Identity, service, resource, action string) {
	w.t.Helper()
	_, err := w.CreatePermission(w.t.Context(), id,
		account.NewPermission{Service: service, Resource: resource, Action: action})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) role(id account.Identity, name string) account.RoleID {
	w.t.Helper()
	var out account.RoleID
	err := w.store.View(w.t.Context(), func(tx account.Tx) error {
		roles, err := tx.Roles(w.t.Context(), id.Org)
		for _, r := range roles {
			if r.Name == name {
				out = r.ID
			}
		}
		return err
	})
	if err != nil || out == 0 {
		w.t.Fatalf("role %s: %v", name, err)
	}
	return out
}

// colleague adds a user to an organization with a custom role of their own that
// holds the slugs.
func (w *world) colleague(org account.OrgID, name string, slugs ...string) {
	w.t.Helper()
	ctx, by := w.t.Context(), account.Stamp{At: time.Now()}
	err := w.store.Update(ctx, func(tx account.Tx) error {
		like, err := tx.Credential(ctx, "boss")
		if err != nil {
			return err
		}
		user := account.User{ID: account.UserID(account.NewID()), OrgID: org, Username: name,
			PrimaryEmail: name + "@example.com", Active: true, CreatedAt: by.At}
		if err := tx.InsertUser(ctx, user, like.PHC, by); err != nil {
			return err
		}
		role, err := tx.InsertRole(ctx, account.Role{OrgID: org, Name: "role of " + name, Type: account.CustomRole}, by)
		if err != nil {
			return err
		}
		for _, slug := range slugs {
			e, err := tx.Entitlement(ctx, org, slug)
			if err != nil {
				return err
			}
			if err := tx.AttachPermission(ctx, org, role, e.Permission.ID, by); err != nil {
				return err
			}
		}
		return tx.AssignRole(ctx, org, user.ID, role, by)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// raw changes the database behind the rules' back.
func (w *world) raw(query string, args ...any) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+w.path+"?_busy_timeout=5000&_foreign_keys=on")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query, args...); err != nil {
		w.t.Fatal(err)
	}
}

func want(t testing.TB, what string, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: got %v, want %v", what, err, sentinel)
	}
}

// TestDelegation is hardening against escalation around "hands out".
func TestDelegation(t *testing.T) {
	w := newWorld(t)
	boss := w.join("boss")
	owner := w.token("boss")
	for _, action := range []string{"read", "write", "all"} {
		w.make(owner, "shop", "orders", action)
	}
	w.colleague(boss.OrgID, "clerk", "auth.role.write", "shop.orders.read")
	w.colleague(boss.OrgID, "chief", "auth.role.write", "shop.orders.all")
	w.colleague(boss.OrgID, "guest")
	eve := w.join("eve")
	w.make(w.token("eve"), "evil", "thing", "read")
	clerk, chief := w.token("clerk"), w.token("chief")
	guestRole, ownerRole := w.role(owner, "role of guest"), w.role(owner, "owner")

	for _, c := range []struct {
		claim string
		who   account.Identity
		role  account.RoleID
		slug  string
		want  error
	}{
		{"what one holds may be handed out", clerk, guestRole, "shop.orders.read", nil},
		{"what one does not hold may not", clerk, guestRole, "shop.orders.write", account.ErrDelegation},
		{"holding one action is not holding all", clerk, guestRole, "shop.orders.all", account.ErrDelegation},
		{"not to oneself either", clerk, w.role(owner, "role of clerk"), "shop.orders.write", account.ErrDelegation},
		{"auth permissions are handed out by the same rule", clerk, guestRole, "auth.user.delete", account.ErrDelegation},
		{"a role that holds more is not edited", clerk, w.role(owner, "role of chief"), "shop.orders.read", account.ErrDelegation},
		{"the admin role holds more, too", clerk, w.role(owner, "admin"), "shop.orders.read", account.ErrDelegation},
		{"only owners touch the owner role", clerk, ownerRole, "shop.orders.read", account.ErrOwnersOnly},
		{"holding all is holding each action", chief, guestRole, "shop.orders.write", nil},
		{"an owner hands out what was created a moment ago", owner, ownerRole, "shop.orders.write", nil},
		{"an owner hands out auth that the token holds", owner, guestRole, "auth.user.read", nil},
		{"a narrow token of an owner does not hand out auth", w.token("boss", "auth.role.write"), guestRole, "auth.user.delete", account.ErrDelegation},
		{"a narrow token of an owner still owns the services", w.token("boss", "auth.role.write"), w.role(owner, "role of chief"), "shop.orders.read", nil},
		{"a narrow token of an owner does not edit what holds auth", w.token("boss", "auth.role.write"), ownerRole, "shop.orders.read", account.ErrDelegation},
		{"a token without the right to write roles", w.token("boss", "auth.role.read"), guestRole, "shop.orders.read", account.ErrForbidden},
		{"a role that is not there", owner, 999_999, "shop.orders.read", account.ErrRoleNotFound},
		{"a permission that is not there", owner, guestRole, "shop.orders.fly", account.ErrPermissionNotFound},
		{"a permission of another organization", owner, guestRole, "evil.thing.read", account.ErrPermissionNotFound},
		{"a role of another organization", owner, w.role(account.Identity{Org: eve.OrgID}, "user"), "shop.orders.read", account.ErrRoleNotFound},
		{"a slug without dots", owner, guestRole, "shop", account.ErrPermissionNotFound},
	} {
		t.Run(c.claim, func(t *testing.T) {
			want(t, "attach", w.AttachPermission(t.Context(), c.who, c.role, c.slug), c.want)
		})
	}
}

// An owner is whoever has the system role: its name proves nothing.
func TestOwnerIsNoName(t *testing.T) {
	w := newWorld(t)
	boss := w.join("boss")
	w.make(w.token("boss"), "shop", "orders", "read")
	w.colleague(boss.OrgID, "mallory", "auth.role.write")
	w.raw(`UPDATE role SET name = 'owner ' WHERE name = 'role of mallory'`)
	id := w.token("mallory")
	want(t, "attach", w.AttachPermission(t.Context(), id, w.role(id, "owner "), "shop.orders.read"), account.ErrDelegation)
}

// A right that is taken away between login and call is gone, and one that was
// given since does not widen an old token.
func TestRightsAreLiveAndInTheToken(t *testing.T) {
	w := newWorld(t)
	boss := w.join("boss")
	w.colleague(boss.OrgID, "clerk", "auth.role.read")
	clerk := w.token("clerk")
	_, err := w.ListRoles(t.Context(), clerk)
	want(t, "list while held", err, nil)
	w.raw(`DELETE FROM account_role WHERE account_id = ?`, string(clerk.User))
	_, err = w.ListRoles(t.Context(), clerk)
	want(t, "list after the role was taken away", err, account.ErrForbidden)
	var refusal *account.Refusal
	if !errors.As(err, &refusal) || !slices.Contains(refusal.Scopes, "auth.role.read") {
		t.Errorf("the refusal does not name what would do: %+v", refusal)
	}
	owner := w.token("boss", "auth.role.read")
	_, err = w.Me(t.Context(), owner)
	want(t, "me with a token narrowed to roles", err, account.ErrForbidden)
	w.raw(`UPDATE account SET deleted_at = 1 WHERE id = ?`, string(boss.UserID))
	_, err = w.ListRoles(t.Context(), owner)
	want(t, "list by a deleted user", err, account.ErrUnknownCaller)
}

func TestClaimRules(t *testing.T) {
	operator := func(c *account.Config) { c.Claim, c.Reserved = account.ClaimOperator, []string{"payroll"} }
	w := newWorld(t, operator)
	boss := w.join("boss")
	id := w.token("boss")
	create := func(service string) error {
		_, err := w.CreatePermission(t.Context(), id, account.NewPermission{Service: service, Resource: "r", Action: "a"})
		return err
	}
	for _, name := range []string{"auth", "oauth", "openid", "system", "admin", "internal", "payroll"} {
		want(t, "create in "+name, create(name), account.ErrServiceReserved)
		want(t, "register "+name, w.RegisterService(t.Context(), boss.OrgID, name), account.ErrServiceReserved)
	}
	for _, name := range []string{"", "Auth", "auth.user", "a b", "\u0430uth"} {
		want(t, "create in "+name, create(name), account.ErrInvalid)
		want(t, "register "+name, w.RegisterService(t.Context(), boss.OrgID, name), account.ErrInvalid)
	}
	want(t, "create before the operator registered", create("shop"), account.ErrServiceOperator)
	for range 2 { // repeating is no error
		want(t, "register", w.RegisterService(t.Context(), boss.OrgID, "shop"), nil)
	}
	want(t, "create after", create("shop"), nil)
	eve := w.join("eve")
	want(t, "register for another", w.RegisterService(t.Context(), eve.OrgID, "shop"), account.ErrServiceForeign)
	w.raw(`UPDATE service SET retired_at = 1 WHERE name = 'shop'`)
	want(t, "create under a retired name, its last owner", create("shop"), account.ErrServiceForeign)
	want(t, "register a retired name", w.RegisterService(t.Context(), boss.OrgID, "shop"), account.ErrServiceForeign)
}

func TestRetiredServiceIsNotIssued(t *testing.T) {
	w := newWorld(t)
	w.join("boss")
	id := w.token("boss")
	w.make(id, "shop", "orders", "read")
	want(t, "attach", w.AttachPermission(t.Context(), id, w.role(id, "owner"), "shop.orders.read"), nil)
	w.raw(`UPDATE service SET retired_at = 1 WHERE name = 'shop'`)
	if got := w.token("boss").Scopes; slices.Contains(got, "shop.orders.read") {
		t.Errorf("issued %v", got)
	}
}

func TestPermissionLimit(t *testing.T) {
	w := newWorld(t, func(c *account.Config) { c.MaxPermissions = 2 })
	w.join("boss")
	id := w.token("boss")
	w.make(id, "shop", "orders", "read")
	w.make(id, "shop", "orders", "write")
	_, err := w.CreatePermission(t.Context(), id, account.NewPermission{Service: "shop", Resource: "orders", Action: "fly"})
	want(t, "the third of two", err, account.ErrLimit)
}

func TestConfigThatContradictsItself(t *testing.T) {
	good := account.Config{Signup: account.SignupOpen, Claim: account.ClaimFirstCome}
	for name, change := range map[string]func(*account.Config){
		"no signup mode":          func(c *account.Config) { c.Signup = "" },
		"another claim mode":      func(c *account.Config) { c.Claim = "approved" },
		"a reserved word with .":  func(c *account.Config) { c.Reserved = []string{"a.b"} },
		"a cost without memory":   func(c *account.Config) { c.Password = account.Params{Passes: 1, Lanes: 1} },
		"a cost beyond the bound": func(c *account.Config) { c.Password = account.Params{MemoryKiB: 1 << 30, Passes: 1, Lanes: 1} },
	} {
		cfg := good
		change(&cfg)
		if _, err := account.New(nil, cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
