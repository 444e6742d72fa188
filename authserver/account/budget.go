package account

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// Budget is how many attempts are free at once, and how often another one
// becomes free after that. An empty budget slows; nothing ever locks.
type Budget struct {
	Burst int
	Every time.Duration
}

func (b Budget) withDefaults(burst int, every time.Duration) Budget {
	setInt(&b.Burst, burst)
	if b.Every == 0 {
		b.Every = every
	}
	return b
}

// maxTracked bounds the memory of one budget table. When it is full, whoever of
// a few looked at is closest to a full budget is forgotten.
const maxTracked = 1 << 16

// budgets counts attempts per key by GCRA: one instant per key says when its
// budget is full again.
type budgets[K comparable] struct {
	Budget
	mu   sync.Mutex      // guards full
	full map[K]time.Time // absent: full now
}

func newBudgets[K comparable](b Budget) *budgets[K] {
	return &budgets[K]{Budget: b, full: map[K]time.Time{}}
}

// take spends one attempt. A result above zero means that none is left: nothing
// was spent, and it is the time until there is one.
func (b *budgets[K]) take(key K) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	at := b.full[key]
	if at.Before(now) {
		at = now
	}
	at = at.Add(b.Every)
	if wait := at.Sub(now) - time.Duration(b.Burst)*b.Every; wait > 0 {
		return wait
	}
	if _, known := b.full[key]; !known && len(b.full) >= maxTracked {
		b.forget(now)
	}
	b.full[key] = at
	return 0
}

// giveBack returns an attempt that turned out to be no failure.
func (b *budgets[K]) giveBack(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, known := b.full[key]
	if !known {
		return
	}
	if at = at.Add(-b.Every); !at.After(time.Now()) {
		delete(b.full, key)
		return
	}
	b.full[key] = at
}

// forget makes room: all of a sample that are full again, and at least the one
// that is closest to it. Go's map order is random enough to sample by.
func (b *budgets[K]) forget(now time.Time) {
	var soonest K
	var when time.Time
	looked := 0
	for key, at := range b.full {
		if !at.After(now) {
			delete(b.full, key)
			continue
		}
		if when.IsZero() || at.Before(when) {
			soonest, when = key, at
		}
		if looked++; looked == 16 {
			break
		}
	}
	if len(b.full) >= maxTracked {
		delete(b.full, soonest)
	}
}

// accountKey is an account as seen from a network. The name is hashed, so that
// a long one costs no memory; a name nobody has is counted like any other.
type accountKey struct {
	name [16]byte
	net  netip.Prefix
}

func accountOf(username string, peer netip.Addr) accountKey {
	sum := sha256.Sum256([]byte(fold(username)))
	return accountKey{name: [16]byte(sum[:16]), net: network(peer)}
}

// address is what one caller has: an IPv4 address, or an IPv6 /64.
func address(peer netip.Addr) netip.Prefix { return prefix(peer, 32, 64) }

// network is what one caller may move in: an IPv4 /24, or an IPv6 /48.
func network(peer netip.Addr) netip.Prefix { return prefix(peer, 24, 48) }

// prefix cuts an address; those that are unknown (a unix socket) are one.
func prefix(peer netip.Addr, v4, v6 int) netip.Prefix {
	peer = peer.Unmap().WithZone("")
	bits := v6
	if peer.Is4() {
		bits = v4
	}
	p, _ := peer.Prefix(bits)
	return p
}
