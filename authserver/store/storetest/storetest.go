// Package storetest is the contract of account.Store as tests: one exported
// function that runs every claim against a store that the caller opens. An
// engine's own test file is a few lines. It owns no engine and no fixture files.
package storetest

import (
	"net/netip"
	"testing"

	"github.com/scopegate/scopegate/authserver/account"
)

// Run checks every claim of account.Store, each on a store of its own. open
// returns an empty, migrated store and closes it by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) account.Store) {
	for _, group := range [][]claim{demoClaims, tenantClaims, atomicClaims, keyClaims} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) { c.check(t, open(t)) })
		}
	}
	t.Run("a scope is issued only where its service is owned or it was granted", func(t *testing.T) {
		invariant(t, open)
	})
}

type claim struct {
	name  string
	check func(t *testing.T, s account.Store)
}

var (
	cheap = account.Params{MemoryKiB: 8, Passes: 1, Lanes: 1} // hashing is not what is tested here
	peer  = netip.MustParseAddr("127.0.0.1")
)

const password = "test1234@"

// rules is the service over a store, open to everybody.
func rules(t testing.TB, s account.Store) *account.Service {
	t.Helper()
	svc, err := account.New(s, account.Config{
		Signup: account.SignupOpen, Claim: account.ClaimFirstCome, Password: cheap,
		SignupBudget: account.Budget{Burst: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}
