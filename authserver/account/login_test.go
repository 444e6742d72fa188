package account_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
)

func TestLoginNarrows(t *testing.T) {
	w := newWorld(t)
	w.join("boss")
	all, err := w.try("boss", password)
	if err != nil || len(all.Scopes) != 12 || !slices.IsSorted(all.Scopes) || !slices.Equal(all.Roles, []string{"owner"}) {
		t.Fatalf("%+v, %v", all, err)
	}
	some, err := w.try("boss", password, "shop.x.y", "auth.user.read")
	if err != nil || !slices.Equal(some.Scopes, []string{"auth.user.read"}) {
		t.Errorf("asked for one that is held and one that is not: %v, %v", some.Scopes, err)
	}
	_, err = w.try("boss", password, "shop.x.y")
	want(t, "asked and nothing held", err, account.ErrScopesNotGranted)
	_, err = w.try("boss", "wrong", "shop.x.y")
	want(t, "asked and the password is wrong", err, account.ErrCredentials)
}

func TestLoginWithoutAnyScope(t *testing.T) {
	w := newWorld(t)
	boss := w.join("boss")
	w.colleague(boss.OrgID, "guest")
	got, err := w.try("guest", password)
	if err != nil || got.Scopes == nil || len(got.Scopes) != 0 {
		t.Errorf("scopes %#v, %v; want an empty list", got.Scopes, err)
	}
}

// TestEveryFailureCostsOneHash is the claim behind "equal time": it counts the
// work, because a clock on a shared machine proves nothing. The attack is
// finding out who has an account by how long a refusal takes.
func TestEveryFailureCostsOneHash(t *testing.T) {
	w := newWorld(t)
	boss := w.join("boss")
	for _, name := range []string{"gone", "locked", "off", "broken"} {
		w.colleague(boss.OrgID, name)
	}
	w.raw(`UPDATE account SET deleted_at = 1 WHERE username = 'gone'`)
	w.raw(`UPDATE account SET locked_at = 1 WHERE username = 'locked'`)
	w.raw(`UPDATE account SET active = 0 WHERE username = 'off'`)
	w.raw(`UPDATE account SET password_phc = 'x' WHERE username = 'broken'`)

	for _, c := range []struct{ claim, name, pass string }{
		{"a wrong password", "boss", "wrong password"},
		{"an unknown user", "nobody", password},
		{"a name that nobody can have", strings.Repeat("x", 60_000), password},
		{"no name", "", password},
		{"a deleted user", "gone", password},
		{"a locked user with the right password", "locked", password},
		{"a locked user with a wrong one", "locked", "wrong password"},
		{"an inactive user with the right password", "off", password},
		{"an inactive user with a wrong one", "off", "wrong password"},
		{"a row that was damaged", "broken", password},
		{"an empty password", "boss", ""},
		{"a password beyond the limit", "boss", password + strings.Repeat("x", 2000)},
	} {
		before := w.HashStats()
		_, err := w.try(c.name, c.pass)
		after := w.HashStats()
		want(t, c.claim, err, account.ErrCredentials)
		if err == nil || err.Error() != "Incorrect username or password" {
			t.Errorf("%s reads %q", c.claim, err)
		}
		if n, cost := after.Hashes-before.Hashes, after.Work-before.Work; n != 1 || cost != 64 {
			t.Errorf("%s cost %d hashes of work %d, want one of 64", c.claim, n, cost)
		}
	}
}

func TestHashIsRenewedWhenTheCostRises(t *testing.T) {
	w := newWorld(t)
	w.join("boss")
	dearer := account.Params{MemoryKiB: 128, Passes: 2, Lanes: 1}
	later, err := account.New(w.store, account.Config{
		Signup: account.SignupOpen, Claim: account.ClaimFirstCome, Password: dearer})
	if err != nil {
		t.Fatal(err)
	}
	phc := func() (s string) {
		w.store.View(t.Context(), func(tx account.Tx) error {
			c, err := tx.Credential(t.Context(), "boss")
			s = c.PHC
			return err
		})
		return s
	}
	old := phc()
	login := func(svc *account.Service, pass string) error {
		_, err := svc.Login(t.Context(), peer, account.Login{Username: "boss", Password: pass})
		return err
	}
	want(t, "a wrong password", login(later, "wrong"), account.ErrCredentials)
	if phc() != old {
		t.Error("a wrong password renewed the hash")
	}
	want(t, "the right one", login(later, password), nil)
	renewed := phc()
	if !strings.HasPrefix(renewed, "$argon2id$v=19$m=128,t=2,p=1$") {
		t.Errorf("the hash is %s", renewed)
	}
	want(t, "the right one again", login(later, password), nil)
	want(t, "with the old settings", login(w.Service, password), nil)
	if phc() != renewed {
		t.Error("the hash was made anew although its cost was enough, or lowered")
	}
}

// TestWrongPasswordsSlowButNeverLock: the attacker's network waits, the owner of
// the account does not.
func TestWrongPasswordsSlowButNeverLock(t *testing.T) {
	w := newWorld(t)
	w.join("boss")
	attacker, elsewhere := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.9")
	try := func(from netip.Addr, pass string) error {
		_, err := w.Login(t.Context(), from, account.Login{Username: "boss", Password: pass})
		return err
	}
	for i := range 64 {
		want(t, fmt.Sprint("guess ", i), try(attacker, "guess"), account.ErrCredentials)
	}
	before := w.HashStats().Hashes
	err := try(attacker, "guess")
	want(t, "the next guess", err, account.ErrThrottled)
	var refusal *account.Refusal
	if !errors.As(err, &refusal) || refusal.RetryAfter < time.Second || refusal.RetryAfter > time.Minute {
		t.Errorf("retry after %+v", refusal)
	}
	want(t, "a neighbour of the attacker", try(attacker.Next(), "guess"), account.ErrThrottled)
	want(t, "the name in another case", func() error {
		_, err := w.Login(t.Context(), attacker, account.Login{Username: "BOSS", Password: "guess"})
		return err
	}(), account.ErrThrottled)
	if w.HashStats().Hashes != before {
		t.Error("a throttled attempt was hashed")
	}
	want(t, "the user from elsewhere", try(elsewhere, password), nil)
	for range 100 { // right passwords spend nothing
		want(t, "the user again", try(elsewhere, password), nil)
	}
}

func TestGuessingManyNamesFromOneAddress(t *testing.T) {
	w := newWorld(t, func(c *account.Config) { c.AddressBudget = account.Budget{Burst: 5, Every: time.Hour} })
	for i := range 5 {
		_, err := w.try(fmt.Sprint("user", i), password)
		want(t, "guess", err, account.ErrCredentials)
	}
	_, err := w.try("user9", password)
	want(t, "the sixth name", err, account.ErrThrottled)
}

func TestSignupIsBudgetedAndClosable(t *testing.T) {
	w := newWorld(t, func(c *account.Config) { c.SignupBudget = account.Budget{Burst: 2, Every: time.Hour} })
	w.join("a1")
	w.join("a2")
	in := account.Signup{Username: "a3", Password: password, PrimaryEmail: "a@b", OrgName: "o"}
	before := w.HashStats().Hashes
	_, err := w.Signup(t.Context(), peer, in)
	want(t, "the third signup", err, account.ErrThrottled)
	closed := newWorld(t, func(c *account.Config) { c.Signup = account.SignupInvite })
	_, err = closed.Signup(t.Context(), peer, in)
	want(t, "signup by invitation", err, account.ErrSignupClosed)
	if w.HashStats().Hashes != before {
		t.Error("a refused signup was hashed")
	}
}

func TestTakenNameIsNotHashed(t *testing.T) {
	w := newWorld(t)
	w.join("boss")
	before := w.HashStats().Hashes
	_, err := w.Signup(t.Context(), peer, account.Signup{Username: "BOSS", Password: password, PrimaryEmail: "a@b", OrgName: "o"})
	want(t, "signup under a taken name", err, account.ErrUsernameTaken)
	if w.HashStats().Hashes != before {
		t.Error("it was hashed")
	}
}

// TestLoginFloodIsRefusedNotQueuedWithoutEnd: 200 logins at once from one
// network; those beyond its quarter are told to come back.
func TestLoginFloodIsRefusedNotQueuedWithoutEnd(t *testing.T) {
	var waits sync.Map
	w := newWorld(t, func(c *account.Config) {
		c.Login = account.Lanes{Workers: 1, Waiting: 40}
		c.AddressBudget = account.Budget{Burst: 1000}
		c.AccountBudget = account.Budget{Burst: 1000}
		c.HashWait = func(queue string, wait time.Duration) { waits.Store(queue, wait) }
	})
	w.join("boss")
	results := make([]error, 200)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { _, results[i] = w.try("boss", password) })
	}
	wg.Wait()
	served := 0
	for _, err := range results {
		var refusal *account.Refusal
		switch {
		case err == nil:
			served++
		case errors.Is(err, account.ErrBusy) && errors.As(err, &refusal) && refusal.RetryAfter >= time.Second:
		default:
			t.Errorf("got %v", err)
		}
	}
	if served == 0 {
		t.Error("nobody was served")
	}
	if got := w.HashStats(); got.LoginQueue != 0 || got.SignupQueue != 0 {
		t.Errorf("after the flood: %+v", got)
	}
	for _, queue := range []string{"login", "signup"} {
		if _, ok := waits.Load(queue); !ok {
			t.Errorf("no wait was reported for %s", queue)
		}
	}
}

// TestBudgetRefills on the bubble's clock, through the whole login.
func TestBudgetRefills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.join("boss")
		for range 64 {
			w.try("boss", "guess")
		}
		_, err := w.try("boss", password)
		want(t, "the right password while slowed", err, account.ErrThrottled)
		time.Sleep(time.Minute)
		_, err = w.try("boss", password)
		want(t, "a minute later", err, nil)
		w.store.Close()
	})
}
