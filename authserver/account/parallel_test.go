package account

import "testing"

// A burst below a network's share of the hash queue would refuse right passwords
// that only come at the same time.
func TestParallelLoginsFitTheBudget(t *testing.T) {
	cfg := Config{}.withDefaults()
	if share := cfg.Login.Waiting / 4; cfg.AccountBudget.Burst < share || cfg.AddressBudget.Burst < share {
		t.Errorf("budgets of %d and %d attempts, but %d may be hashed at once",
			cfg.AccountBudget.Burst, cfg.AddressBudget.Burst, share)
	}
}
