package token

import (
	"math"
	"strings"
	"sync/atomic"
	"time"
)

// Token is a verified access token. It is shared by all requests that bring it: nothing
// reachable from it may be changed.
type Token struct {
	*Terms
	Subject   string    // sub; empty when absent
	ExpiresAt time.Time // exp, floored to the second
	AuthTime  time.Time // auth_time; zero when absent or not a time

	rest  string // the token's characters behind its header
	memo  Memo
	place place
}

// keep gives the token its own copy of its characters, in one piece.
func (t *Token) keep(rest []byte, subject string) {
	var own strings.Builder
	own.Grow(len(rest) + len(subject))
	own.Write(rest)
	own.WriteString(subject)
	t.rest, t.Subject = own.String()[:len(rest)], own.String()[len(rest):]
}

// is reports whether the token is, in all its characters, what raw says.
func (t *Token) is(raw string) bool {
	rest, ok := strings.CutPrefix(raw, t.head)
	return ok && rest == t.rest
}

// Claims returns the whole claim set; numbers are [encoding/json.Number] with the token's literal. It is
// read from the token anew each time, because most services ask for none of it and a
// tree of all of it takes several times the token's own memory. Keep what you need.
func (t *Token) Claims() map[string]any {
	payload, _, _ := strings.Cut(t.rest, ".")
	text, err := decodeSegment(payload)
	if err != nil {
		return nil
	}
	claims, _ := jsonObject(text, claimLimits) // it was read before, when the token was verified
	return claims
}

// Skew is the tolerance that the token's issuer is configured with; zero for a
// token that no verifier made.
func (t *Token) Skew() time.Duration {
	if t.Terms == nil || t.issuer == nil {
		return 0
	}
	return t.issuer.config.Skew
}

// ended reports whether exp plus skew is over.
func (t *Token) ended(now time.Time) bool { return !now.Before(t.ExpiresAt.Add(t.Skew())) }

// Memo is where the gate keeps what it computed from this token's own claims under one
// policy. It lives as long as the token is remembered.
func (t *Token) Memo() *Memo { return &t.memo }

// Memo is a slot for one value, which readers load without a lock.
type Memo struct {
	value atomic.Value
	bytes atomic.Int32
}

// Load returns the value, or nil.
func (m *Memo) Load() any { return m.value.Load() }

// Store replaces the value; all that are stored must be of one concrete type. bytes is about what it
// takes in memory: the cache counts them from its next sweep on.
func (m *Memo) Store(value any, bytes int) {
	m.value.Store(value)
	m.bytes.Store(int32(min(bytes, math.MaxInt32)))
}

// active reports whether the token may still be used at now with the keys of snap.
func (t *Token) active(now time.Time, snap *snapshot) bool {
	return !t.ended(now) && snap.usable(now) && snap.set.holds(t.thumb)
}
