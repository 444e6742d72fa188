package token

import (
	"sync/atomic"
	"time"
)

// Token is a verified access token. It is shared by all requests that bring it: nothing
// reachable from it may be changed.
type Token struct {
	Issuer   string
	Subject  string   // sub; empty when absent
	Client   string   // client_id, else azp; empty when absent
	Audience []string // aud, as a list
	// Scopes are the words that count: sorted, each once, limited to those the issuer may give.
	Scopes    []string
	Claims    map[string]any // the whole claim set; numbers are json.Number with the token's literal
	ExpiresAt time.Time      // exp, floored to the second
	AuthTime  time.Time      // auth_time; zero when absent or not a time
	ACR       string         // acr; empty when absent

	issuer    *issuer
	algorithm string
	thumb     thumbprint // of the key that verified it
	deadline  int64      // exp plus skew, Unix nanoseconds
	size      int64      // rough count of the bytes that the claims take
	memo      atomic.Value
}

// Skew is the tolerance that the token's issuer is configured with; zero for a
// token that no verifier made.
func (t *Token) Skew() time.Duration {
	if t.issuer == nil {
		return 0
	}
	return t.issuer.config.Skew
}

// Memo is a slot where the gate keeps what it computed from this token under one policy. It
// lives as long as the token is remembered; every value stored must be of one concrete type.
func (t *Token) Memo() *atomic.Value { return &t.memo }

// active reports whether the token may still be used at now with the keys of snap.
func (t *Token) active(now time.Time, snap *snapshot) bool {
	return now.UnixNano() < t.deadline && snap.usable(now) && snap.set.holds(t.thumb)
}
