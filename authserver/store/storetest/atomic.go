package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/scopegate/scopegate/authserver/account"
)

var atomicClaims = []claim{
	{"an Update that fails leaves nothing", failedUpdate},
	{"an Update that panics leaves nothing and blocks nobody", panickedUpdate},
	{"a View cannot write", readOnlyView},
	{"a View is one snapshot", snapshot},
	{"of two signups with one name exactly one wins", signupRace},
	{"of many claims of one name exactly one wins", claimRace},
	{"concurrent Updates do not lose each other's writes", concurrentUpdates},
	{"a password is replaced only if it is the one that was read", passwordSwap},
}

var errStop = errors.New("stop here")

func failedUpdate(t *testing.T, s account.Store) {
	org := account.Org{ID: account.OrgID(account.NewID()), Name: "n", Type: account.Teams, CreatedAt: stamp.At}
	err := s.Update(t.Context(), func(tx account.Tx) error {
		if err := tx.InsertOrg(t.Context(), org); err != nil {
			return err
		}
		if err := tx.InsertClaim(t.Context(), account.Claim{Service: "shop", Owner: org.ID}, stamp); err != nil {
			return err
		}
		return errStop
	})
	wantErr(t, "update", err, errStop)
	view(t, s, func(tx account.Tx) error {
		_, err := tx.Claim(t.Context(), "shop")
		wantErr(t, "claim after a failed update", err, account.ErrServiceNotFound)
		return nil
	})
}

func panickedUpdate(t *testing.T, s account.Store) {
	func() {
		defer func() { recover() }()
		s.Update(t.Context(), func(tx account.Tx) error { panic("in the middle") })
	}()
	signup(t, rules(t, s), "ann")
}

func readOnlyView(t *testing.T, s account.Store) {
	err := s.View(t.Context(), func(tx account.Tx) error {
		return tx.InsertOrg(t.Context(), account.Org{ID: "x", Name: "n", Type: account.Teams})
	})
	if err == nil {
		t.Error("a View wrote")
	}
}

func snapshot(t *testing.T, s account.Store) {
	svc := rules(t, s)
	view(t, s, func(tx account.Tx) error {
		if _, err := tx.Credential(t.Context(), "ann"); !errors.Is(err, account.ErrUserNotFound) {
			t.Errorf("before: %v", err)
		}
		signup(t, svc, "ann") // another transaction, complete before the next line
		if _, err := tx.Credential(t.Context(), "ann"); !errors.Is(err, account.ErrUserNotFound) {
			t.Errorf("the snapshot moved: %v", err)
		}
		return nil
	})
	view(t, s, func(tx account.Tx) error {
		_, err := tx.Credential(t.Context(), "ann")
		return err
	})
}

// race runs n calls at once and returns their errors.
func race(n int, call func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call(i) })
	}
	wg.Wait()
	return errs
}

// oneWinner wants a single nil among the errors, and loss in all others.
func oneWinner(t *testing.T, errs []error, loss error) {
	t.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantErr(t, "a loser", err, loss)
		}
	}
	if won != 1 {
		t.Errorf("%d winners, want 1", won)
	}
}

func signupRace(t *testing.T, s account.Store) {
	svc := rules(t, s)
	oneWinner(t, race(8, func(i int) error {
		_, err := svc.Signup(t.Context(), peer, account.Signup{Username: "ann", Password: password,
			PrimaryEmail: "ann@example.com", OrgName: fmt.Sprint("org ", i)})
		return err
	}), account.ErrUsernameTaken)
	login(t, svc, member{name: "ann"})
}

func claimRace(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ids := make([]account.Identity, 6)
	for i := range ids {
		ids[i] = login(t, svc, signup(t, svc, fmt.Sprint("user", i)))
	}
	oneWinner(t, race(len(ids), func(i int) error {
		_, err := svc.CreatePermission(t.Context(), ids[i],
			account.NewPermission{Service: "example_service", Resource: "billing", Action: "read"})
		return err
	}), account.ErrServiceForeign)
}

func concurrentUpdates(t *testing.T, s account.Store) {
	svc := rules(t, s)
	ann := signup(t, svc, "ann")
	id := login(t, svc, ann)
	owner := roleOf(t, s, ann.org, account.Owner)
	var want []string
	for i := range 8 {
		want = append(want, fmt.Sprintf("shop.orders.act%d", i))
	}
	for i, err := range race(len(want), func(i int) error {
		p, err := svc.CreatePermission(t.Context(), id,
			account.NewPermission{Service: "shop", Resource: "orders", Action: fmt.Sprintf("act%d", i)})
		if err != nil {
			return err
		}
		return svc.AttachPermission(t.Context(), id, owner.ID, p.Slug())
	}) {
		if err != nil {
			t.Errorf("%s: %v", want[i], err)
		}
	}
	got := login(t, svc, ann).Scopes
	for _, slug := range want {
		if !slices.Contains(got, slug) {
			t.Errorf("%s was lost", slug)
		}
	}
}

func passwordSwap(t *testing.T, s account.Store) {
	ann := signup(t, rules(t, s), "ann")
	var old account.Credential
	view(t, s, func(tx account.Tx) (err error) {
		old, err = tx.Credential(t.Context(), "ann")
		return err
	})
	oneWinner(t, race(4, func(i int) error {
		return s.Update(t.Context(), func(tx account.Tx) error {
			return tx.SetPassword(t.Context(), ann.user, old.PHC, fmt.Sprint("new ", i), stamp.At)
		})
	}), account.ErrConflict)
}
