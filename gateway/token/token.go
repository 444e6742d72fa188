package token

import (
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

	raw      string // the whole token
	deadline int64  // exp plus skew, Unix nanoseconds
	memo     atomic.Value
	place    place
}

// keep gives the token its own copy of all its characters, in one piece.
func (t *Token) keep(raw []byte, subject string) {
	var own strings.Builder
	own.Grow(len(raw) + len(subject))
	own.Write(raw)
	own.WriteString(subject)
	t.raw, t.Subject = own.String()[:len(raw)], own.String()[len(raw):]
}

// Claims returns the whole claim set; numbers are [encoding/json.Number] with the token's literal. It is
// read from the token anew each time, because most services ask for none of it and a
// tree of all of it takes several times the token's own memory. Keep what you need.
func (t *Token) Claims() map[string]any {
	_, rest, _ := strings.Cut(t.raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
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

// Memo is a slot where the gate keeps what it computed from this token's own claims under one
// policy. It lives as long as the token is remembered; every value stored must be of one concrete type.
func (t *Token) Memo() *atomic.Value { return &t.memo }

// active reports whether the token may still be used at now with the keys of snap.
func (t *Token) active(now time.Time, snap *snapshot) bool {
	return now.UnixNano() < t.deadline && snap.usable(now) && snap.set.holds(t.thumb)
}
