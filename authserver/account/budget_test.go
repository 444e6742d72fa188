package account

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetSlowsAndNeverLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudgets[string](Budget{Burst: 3, Every: time.Minute})
		for i := range 3 {
			if wait := b.take("ann"); wait != 0 {
				t.Fatalf("attempt %d waits %v", i, wait)
			}
		}
		if wait := b.take("ann"); wait != time.Minute {
			t.Errorf("the fourth waits %v, want a minute", wait)
		}
		for range 1000 { // hammering at an empty budget does not lengthen the wait
			b.take("ann")
		}
		if wait := b.take("bob"); wait != 0 {
			t.Errorf("another key waits %v", wait)
		}
		time.Sleep(time.Minute)
		if wait := b.take("ann"); wait != 0 {
			t.Errorf("after a minute one is free again, but it waits %v", wait)
		}
		if wait := b.take("ann"); wait != time.Minute {
			t.Errorf("and only one: the next waits %v", wait)
		}
		time.Sleep(time.Hour)
		for range 3 {
			if wait := b.take("ann"); wait != 0 {
				t.Errorf("after an hour the budget is not full: %v", wait)
			}
		}
	})
}

func TestBudgetGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudgets[string](Budget{Burst: 2, Every: time.Minute})
		for range 100 { // successes cost nothing
			if wait := b.take("ann"); wait != 0 {
				t.Fatalf("waits %v", wait)
			}
			b.giveBack("ann")
		}
		b.giveBack("ann") // more than was taken adds nothing
		b.take("ann")
		b.take("ann")
		if b.take("ann") == 0 {
			t.Error("giving back grew the budget beyond its burst")
		}
	})
}

// The attack: an attempt from each of endless addresses.
func TestBudgetMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudgets[int](Budget{Burst: 2, Every: time.Minute})
		for range 2 {
			b.take(-1)
		}
		for i := range 2 * maxTracked {
			b.take(i)
		}
		if len(b.full) > maxTracked {
			t.Errorf("%d keys are kept, want at most %d", len(b.full), maxTracked)
		}
		time.Sleep(time.Hour)
		for i := range 1000 {
			b.take(-1 - i)
		}
		if len(b.full) > maxTracked {
			t.Errorf("%d keys are kept, want at most %d", len(b.full), maxTracked)
		}
	})
}

func TestWhatCountsAsOneAddress(t *testing.T) {
	for _, c := range []struct{ peer, address, network string }{
		{"192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"},
		{"::ffff:192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"}, // mapped is the same caller
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"fe80::1%eth0", "fe80::/64", "fe80::/48"},
		{"127.0.0.1", "127.0.0.1/32", "127.0.0.0/24"},
	} {
		peer := netip.MustParseAddr(c.peer)
		if got := address(peer).String(); got != c.address {
			t.Errorf("%s: address %s, want %s", c.peer, got, c.address)
		}
		if got := network(peer).String(); got != c.network {
			t.Errorf("%s: network %s, want %s", c.peer, got, c.network)
		}
	}
	if address(netip.Addr{}) != network(netip.Addr{}) {
		t.Error("callers without an address are not one")
	}
}
