package token

import (
	"context"
	"fmt"
	"time"
)

// Bounds on what tokens with unknown key ids may cost.
const (
	maxWaiting    = 64              // requests of one issuer that wait at a time
	maxWait       = 3 * time.Second // for how long each waits
	maxRemembered = 1024            // ids, asked for and absent each
	burst         = 2               // loads at once, before one per interval
)

// unknownIDs is the account of the key ids that an issuer's keys lack. One budget serves
// all of them together: an id is cheap to invent.
type unknownIDs struct {
	budget  int
	refill  time.Time            // since when the budget grows again; meaningless while it is full
	ordered time.Time            // when the next load for unknown ids may begin; zero: none is wanted
	asked   map[string]struct{}  // ids that the next load will answer
	absent  map[string]time.Time // ids that a load did not bring, and when it began
	waiting int
}

func newUnknownIDs() unknownIDs {
	return unknownIDs{budget: burst, asked: map[string]struct{}{}, absent: map[string]time.Time{}}
}

// order makes sure that a load is under way for the id, and returns when it may begin.
func (u *unknownIDs) order(id string, now time.Time, interval time.Duration) time.Time {
	if len(u.asked) < maxRemembered {
		u.asked[id] = struct{}{}
	}
	if !u.ordered.IsZero() {
		return u.ordered
	}
	u.grow(now, interval)
	u.ordered = now
	if u.budget == 0 {
		u.ordered = u.refill.Add(interval)
	}
	return u.ordered
}

func (u *unknownIDs) grow(now time.Time, interval time.Duration) {
	for u.budget < burst && !now.Before(u.refill.Add(interval)) {
		u.budget++
		u.refill = u.refill.Add(interval)
	}
}

// begin is called when a load begins, which answers all ids asked for until now. Only a load
// on their behalf costs budget.
func (u *unknownIDs) begin(now time.Time, spend bool, interval time.Duration) map[string]struct{} {
	if spend {
		u.grow(now, interval)
		if u.budget == burst {
			u.refill = now
		}
		u.budget = max(0, u.budget-1)
	}
	asked := u.asked
	u.asked = map[string]struct{}{}
	u.ordered = time.Time{}
	return asked
}

// restore takes back a begin whose load was broken off.
func (u *unknownIDs) restore(asked map[string]struct{}) {
	for id := range asked {
		if len(u.asked) < maxRemembered {
			u.asked[id] = struct{}{}
		}
	}
	if len(u.asked) > 0 && u.ordered.IsZero() {
		u.ordered = time.Now()
	}
}

// settle remembers the ids that a load, begun at that time, did not bring.
func (u *unknownIDs) settle(set *keySet, asked map[string]struct{}, began time.Time) {
	for id := range asked {
		if set.byID[id] == nil && len(u.absent) < maxRemembered {
			u.absent[id] = began
		}
	}
}

// forget drops all remembered ids: whoever guessed the next id before it was
// published must not lock it out.
func (u *unknownIDs) forget() { clear(u.absent) }

// isAbsent reports whether a load within the interval lacked the id.
func (u *unknownIDs) isAbsent(id string, now time.Time, interval time.Duration) bool {
	for other, began := range u.absent {
		if now.Sub(began) >= interval {
			delete(u.absent, other)
		}
	}
	_, there := u.absent[id]
	return there
}

// await returns nil when the id may be looked up again with a chance, after a load if need
// be. It refuses with token_unknown_key only when a load that began after the id was first seen,
// and within the interval, succeeded without bringing it; otherwise nobody knows yet, and
// that is keys_unavailable. An empty id stands for a token without one, which never orders a load.
func (s *source) await(ctx context.Context, id string) *Error {
	now := time.Now()
	s.mu.Lock()
	snap := s.snapshot()
	if snap.usable(now) && (id == "" || snap.set.byID[id] != nil) {
		s.mu.Unlock()
		return nil
	}
	wait, err := s.join(id, snap, now)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.unknown.waiting++
	s.mu.Unlock()
	err = wait.until(ctx)
	s.mu.Lock()
	s.unknown.waiting--
	s.mu.Unlock()
	return err
}

// join decides whether a request may wait for a load. The caller holds mu.
func (s *source) join(id string, snap *snapshot, now time.Time) (*waiter, *Error) {
	interval := s.config.JWKS.UnknownKidInterval
	switch {
	case s.load == nil:
		return nil, s.absent(id, OutcomeAbsent)
	case snap.usable(now) && s.unknown.isAbsent(id, now, interval):
		return nil, s.absent(id, OutcomeRemembered)
	case !snap.usable(now) && s.finished > 0:
		return nil, s.unavailable(OutcomeUnavailable, "the issuer's keys could not be fetched: "+s.report.lastError, s.due.Sub(now))
	}
	var at time.Time
	if snap.usable(now) {
		at = s.unknown.order(id, now, interval)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	if s.unknown.waiting >= maxWaiting {
		return nil, s.unavailable(OutcomeCrowded, fmt.Sprintf("%d requests wait for this issuer's keys already", maxWaiting), maxWait)
	}
	if at.Sub(now) > maxWait {
		return nil, s.unavailable(OutcomeBudget, fmt.Sprintf("key %q is unknown, the next fetch is in %s", clip(id), at.Sub(now)), at.Sub(now))
	}
	return &waiter{source: s, id: id, load: s.started + 1, changed: s.changed, first: snap == nil}, nil
}

// waiter is a request that waits for one load.
type waiter struct {
	source  *source
	id      string
	load    uint64 // its number
	changed chan struct{}
	first   bool // any keys will do: there were none
}

func (w *waiter) until(ctx context.Context) *Error {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	for {
		var ended bool
		select {
		case <-w.changed:
		case <-timer.C:
			ended = true
		case <-ctx.Done():
			ended = true
		}
		if done, err := w.look(ended); done {
			return err
		}
	}
}

// look reports whether the waiting is over, and how.
func (w *waiter) look(ended bool) (done bool, err *Error) {
	s := w.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if snap := s.snapshot(); snap.usable(time.Now()) && (w.first || snap.set.byID[w.id] != nil) {
		s.report.unknown[OutcomeFetched]++
		return true, nil
	}
	if s.finished >= w.load || (w.first && s.finished > 0) {
		if s.lastOK {
			return true, s.absent(w.id, OutcomeAbsent)
		}
		return true, s.unavailable(OutcomeUnavailable, "the issuer's keys could not be fetched: "+s.report.lastError, time.Second)
	}
	if ended {
		return true, s.unavailable(OutcomeUnavailable, "waited too long for the issuer's keys", time.Second)
	}
	w.changed = s.changed
	return false, nil
}

// absent and unavailable count an outcome and name it. The caller holds mu.
func (s *source) absent(id string, outcome Outcome) *Error {
	s.report.unknown[outcome]++
	return refuse(ReasonUnknownKey, fmt.Sprintf("the issuer has no usable key %q", clip(id)))
}

func (s *source) unavailable(outcome Outcome, detail string, after time.Duration) *Error {
	s.report.unknown[outcome]++
	return &Error{Reason: ReasonKeysUnavailable, Detail: detail, RetryAfter: max(after, time.Second)}
}
