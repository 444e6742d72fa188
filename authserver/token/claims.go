package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxBytes is the largest token that is issued. A longer one would be refused
// by common header limits of 8 KiB somewhere between here and a service, and
// the caller would never learn why.
const MaxBytes = 7000

// MaxTTL is the longest life of a token, whatever the configuration says. The
// timetable keeps a key published for that long after its last use.
const MaxTTL = time.Hour

// ErrTooLarge means that the granted scopes do not fit into a token of
// MaxBytes. Asking for fewer scopes helps.
var ErrTooLarge = errors.New("token would be too large")

// Claims is the claim set of a login token. There is neither "aud" nor "nbf":
// the services that the demo describes refuse a token with an audience, and
// one whose "nbf" their clock has not reached.
type Claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	IssuedAt  int64    `json:"iat"` // seconds, floored
	ExpiresAt int64    `json:"exp"`
	ID        string   `json:"jti"`
	ClientID  string   `json:"client_id"`
	OrgID     string   `json:"org_id"`
	SessionID string   `json:"sid"`    // one per login; nothing refers to it yet
	Scopes    []string `json:"scopes"` // sorted, never null
	Scope     string   `json:"scope"`  // the same, separated by spaces
	Roles     []string `json:"roles"`  // sorted, never null
	Methods   []string `json:"amr"`
	AuthTime  int64    `json:"auth_time"`
}

// Login is what the caller of Ring.Login knows about a person who just proved
// a password.
type Login struct {
	Issuer  string
	Subject string // user id
	OrgID   string
	Scopes  []string // any order, duplicates allowed
	Roles   []string
	TTL     time.Duration // at most MaxTTL
}

// FirstParty is the client id of tokens that /user/login issues.
const FirstParty = "first-party"

// claims fills in the profile. The time of issue is floored to the second:
// consumers without leeway refuse a token from the future, be it by half a
// second.
func (l Login) claims(now time.Time) (Claims, error) {
	if l.TTL < time.Second || l.TTL > MaxTTL {
		return Claims{}, fmt.Errorf("token life %s is not between 1s and %s", l.TTL, MaxTTL)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Claims{}, fmt.Errorf("token id: %w", err)
	}
	session, err := uuid.NewV7()
	if err != nil {
		return Claims{}, fmt.Errorf("session id: %w", err)
	}
	scopes := sorted(l.Scopes)
	issued := now.Unix()
	return Claims{
		Issuer:    l.Issuer,
		Subject:   l.Subject,
		IssuedAt:  issued,
		ExpiresAt: issued + int64(l.TTL/time.Second),
		ID:        id.String(),
		ClientID:  FirstParty,
		OrgID:     l.OrgID,
		SessionID: session.String(),
		Scopes:    scopes,
		Scope:     strings.Join(scopes, " "),
		Roles:     sorted(l.Roles),
		Methods:   []string{"pwd"},
		AuthTime:  issued,
	}, nil
}

// sorted returns the distinct words in order, as a slice that is never nil:
// a consumer that meets null where an array belongs answers 500.
func sorted(words []string) []string {
	out := append(make([]string, 0, len(words)), words...)
	slices.Sort(out)
	return slices.Compact(out)
}
