package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Why a token is not accepted. Callers answer all of them alike; the
// difference is for the log.
var (
	ErrMalformed = errors.New("token is not one that this server writes")
	ErrSignature = errors.New("token signature is wrong or its key unknown")
	ErrExpired   = errors.New("token has expired")
	ErrClaims    = errors.New("token is not for this server")
)

// Verify checks a token that comes back as a credential for the server's own
// endpoints: signed by a key that is published at now, of the access type, by
// this issuer, not expired, and without an audience or for the issuer itself.
// The algorithm is RS256 because the key is; what the header says is only
// compared. There is no leeway for expiry: issuer and verifier share a clock.
func (r *Ring) Verify(raw, issuer string, now time.Time) (Claims, error) {
	if len(raw) > MaxBytes {
		return Claims{}, ErrMalformed
	}
	head, err := split(raw)
	if err != nil {
		return Claims{}, err
	}
	kid, err := readHeader(head)
	if err != nil {
		return Claims{}, err
	}
	public := r.verifier(kid, now)
	if public == nil {
		return Claims{}, ErrSignature
	}
	payload, err := jws.Verify([]byte(raw), jws.WithKey(jwa.RS256, public.public))
	if err != nil {
		return Claims{}, ErrSignature
	}
	return readClaims(payload, issuer, now)
}

// split returns the decoded header of a token in three parts, each in the one
// spelling that base64url has for it: jwx alone would also take padding, and
// so several texts for one token.
func split(raw string) (head []byte, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, ErrMalformed
	}
	for i, part := range parts {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, ErrMalformed
		}
		if i == 0 {
			head = decoded
		}
	}
	return head, nil
}

// verifier finds the key by its id among those in memory. The id reaches
// neither the store nor the file system.
func (r *Ring) verifier(kid string, now time.Time) *key {
	for _, k := range r.snapshot.Load().keys {
		if k.kid == kid && k.Published(now) {
			return k
		}
	}
	return nil
}

// readHeader accepts the three members that sign writes and nothing else:
// "jku", "jwk", "x5c", "crit" and whatever comes next have no way in.
func readHeader(raw []byte) (kid string, err error) {
	members, err := distinct(raw)
	if err != nil || len(members) != 3 {
		return "", ErrMalformed
	}
	if members["alg"] != algorithm || members["typ"] != typeAccess {
		return "", ErrMalformed
	}
	kid, ok := members["kid"].(string)
	if !ok || kid == "" {
		return "", ErrMalformed
	}
	return kid, nil
}

// readClaims checks what the signature does not: whom the token is from, whom
// it is for, and until when.
func readClaims(payload []byte, issuer string, now time.Time) (Claims, error) {
	members, err := distinct(payload)
	if err != nil {
		return Claims{}, ErrMalformed
	}
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Claims{}, ErrMalformed
	}
	if c.Issuer != issuer || c.Subject == "" || c.OrgID == "" || !forUs(members["aud"], issuer) {
		return Claims{}, ErrClaims
	}
	if now.Unix() >= c.ExpiresAt {
		return Claims{}, ErrExpired
	}
	return c, nil
}

// forUs accepts a token without audience, or with the issuer as its only one:
// a token for a service must not work here, or any service could act on the
// auth server as its callers.
func forUs(aud any, issuer string) bool {
	switch aud := aud.(type) {
	case nil:
		return true
	case string:
		return aud == issuer
	case []any:
		return len(aud) == 1 && aud[0] == issuer
	}
	return false
}

// distinct reads one JSON object and refuses a repeated member: two readers
// that choose differently between the two would see two tokens in one.
func distinct(raw []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, ErrMalformed
	}
	members := map[string]any{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		folded := strings.ToLower(name.(string))
		if _, twice := members[folded]; twice || folded != name {
			return nil, ErrMalformed
		}
		members[folded] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, ErrMalformed
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, ErrMalformed
	}
	return members, nil
}
