package token

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Times is the timetable of one signing key. It is fixed when the key is made
// and sealed together with it, so that nobody who can only write to the
// database can lengthen a key's life.
type Times struct {
	PublishAt time.Time // in the JWKS from here on
	SignFrom  time.Time // may sign from here on
	SignUntil time.Time // may not sign from here on; the private part is erased
	RetireAt  time.Time // out of the JWKS from here on
}

// State says where a key stands in its life.
type State string

// The states of a key, in the order in which it passes through them.
const (
	Waiting   State = "waiting"   // made, not shown to anybody yet
	Published State = "published" // in the JWKS, so that verifiers learn it before they need it
	Signing   State = "signing"   // in the JWKS and allowed to sign
	Retiring  State = "retiring"  // in the JWKS for tokens that are still alive
	Retired   State = "retired"   // gone from the JWKS
)

// State returns where a key with these times stands at now.
func (t Times) State(now time.Time) State {
	switch {
	case !now.Before(t.RetireAt):
		return Retired
	case now.Before(t.PublishAt):
		return Waiting
	case now.Before(t.SignFrom):
		return Published
	case now.Before(t.SignUntil):
		return Signing
	}
	return Retiring
}

// Published reports whether the key belongs into the JWKS at now.
func (t Times) Published(now time.Time) bool {
	return !now.Before(t.PublishAt) && now.Before(t.RetireAt)
}

// revoked returns the times of a key that was withdrawn at a moment before
// its time: from then on it neither signs nor is it published.
func (t Times) revoked(at time.Time) Times {
	if at.IsZero() {
		return t
	}
	if at.Before(t.SignUntil) {
		t.SignUntil = at
	}
	if at.Before(t.RetireAt) {
		t.RetireAt = at
	}
	return t
}

// Timetable holds the durations from which keys get their times.
type Timetable struct {
	Period time.Duration // how long a key is the newest one
	Grace  time.Duration // how much longer it may sign when no successor is ready
	Lead   time.Duration // how long before its first use a successor is published
	MaxAge time.Duration // how long clients may keep a JWKS answer
	Reload time.Duration // how long a replica may take to see a new row
	Skew   time.Duration // largest difference between the clocks of any two machines
	TTL    time.Duration // longest life of a token
}

// DefaultTimetable changes keys every 30 days. A successor is published a day
// before it signs, which leaves room for a long outage of the database.
func DefaultTimetable() Timetable {
	return Timetable{
		Period: 30 * 24 * time.Hour,
		Grace:  7 * 24 * time.Hour,
		Lead:   24 * time.Hour,
		MaxAge: 5 * time.Minute,
		Reload: time.Minute,
		Skew:   time.Minute,
		TTL:    time.Hour,
	}
}

// MinLead is the shortest time between publishing a key and signing with it.
// A verifier may hold an answer of age MaxAge, given by a replica that had not
// seen the row for Reload, and the clocks of the two replicas and of whoever
// made the key may all differ.
func (tt Timetable) MinLead() time.Duration {
	return tt.MaxAge + tt.Reload + 2*tt.Skew
}

// Validate reports durations that cannot keep the promise of the timetable.
func (tt Timetable) Validate() error {
	if tt.MaxAge <= 0 || tt.Reload <= 0 || tt.Skew < 0 || tt.TTL <= 0 || tt.Grace < 0 {
		return fmt.Errorf("timetable: durations must be positive")
	}
	if tt.Lead < tt.MinLead() {
		return fmt.Errorf("timetable: lead %s is shorter than JWKS max-age, reload and skew need (%s)", tt.Lead, tt.MinLead())
	}
	if tt.Period <= tt.Lead {
		return fmt.Errorf("timetable: period %s is not longer than lead %s", tt.Period, tt.Lead)
	}
	return nil
}

// First returns the times of a key that signs at once. It is right only when
// no verifier can hold a JWKS answer without it: when there is no key at all,
// or when every key left the JWKS long enough ago.
func (tt Timetable) First(now time.Time) Times {
	return tt.times(now, now.Add(-tt.Skew))
}

// Rotated returns the times of a key made at now on an operator's wish: it
// takes over as soon as every verifier must have seen it.
func (tt Timetable) Rotated(now time.Time) Times {
	return tt.times(now, now.Add(tt.MinLead()))
}

// Due answers whether a further key has to be made at now, given the times of
// all keys that exist, and which times it gets.
func (tt Timetable) Due(keys []Times, now time.Time) (Times, bool) {
	if tt.forgotten(keys, now) {
		return tt.First(now), true
	}
	newest := slices.MaxFunc(keys, func(a, b Times) int { return a.SignUntil.Compare(b.SignUntil) })
	handover := newest.SignFrom.Add(tt.Period)
	if newest.SignUntil.Before(handover) { // revoked
		handover = newest.SignUntil
	}
	if now.Before(handover.Add(-tt.Lead)) {
		return Times{}, false
	}
	earliest := now.Add(tt.MinLead())
	if handover.Before(earliest) {
		handover = earliest
	}
	return tt.times(now, handover), true
}

// forgotten reports whether no verifier can still hold a JWKS answer that was
// given while any of the keys was in it.
func (tt Timetable) forgotten(keys []Times, now time.Time) bool {
	for _, k := range keys {
		if now.Before(k.RetireAt.Add(tt.MinLead())) {
			return false
		}
	}
	return true
}

// times plans a key that is made at now. It counts as published a little
// before that: a replica whose clock is behind shows it as soon as it sees it.
func (tt Timetable) times(now, sign time.Time) Times {
	publish := now.Add(-tt.Skew).Truncate(time.Millisecond)
	sign = sign.Truncate(time.Millisecond)
	until := sign.Add(tt.Period + tt.Grace)
	return Times{
		PublishAt: publish,
		SignFrom:  sign,
		SignUntil: until,
		RetireAt:  until.Add(tt.TTL + 2*tt.Skew),
	}
}

// signer returns the index of the key that signs at now, or -1: of the keys
// that may sign, the one that began last. Equal beginnings are told apart by
// key id, so that all replicas choose alike.
func signer(keys []*key, now time.Time) int {
	best := -1
	for i, k := range keys {
		if k.private == nil || k.State(now) != Signing {
			continue
		}
		if best < 0 || later(k, keys[best]) {
			best = i
		}
	}
	return best
}

func later(a, b *key) bool {
	if c := a.SignFrom.Compare(b.SignFrom); c != 0 {
		return c > 0
	}
	return cmp.Compare(a.kid, b.kid) > 0
}
