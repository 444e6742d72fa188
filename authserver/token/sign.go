package token

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

const (
	algorithm = "RS256"
	// typeAccess is the RFC 9068 type. It keeps an access token from passing
	// for any other kind of JWT.
	typeAccess = "at+jwt"
)

// Login issues a token in the profile of /user/login. It returns ErrTooLarge
// when the scopes do not fit and ErrNoSigner when no key may sign yet.
func (r *Ring) Login(l Login, now time.Time) (string, Claims, error) {
	claims, err := l.claims(now)
	if err != nil {
		return "", Claims{}, err
	}
	signed, err := r.sign(claims, now)
	if err != nil {
		return "", Claims{}, err
	}
	return signed, claims, nil
}

// sign uses the key that the timetable names for now.
func (r *Ring) sign(claims Claims, now time.Time) (string, error) {
	keys := r.snapshot.Load().keys
	i := signer(keys, now)
	if i < 0 {
		return "", ErrNoSigner
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	head := jws.NewHeaders()
	for name, value := range map[string]string{jws.TypeKey: typeAccess, jws.KeyIDKey: keys[i].kid} {
		if err := head.Set(name, value); err != nil {
			return "", fmt.Errorf("sign token: %w", err)
		}
	}
	signed, err := jws.Sign(payload, jws.WithKey(jwa.RS256, keys[i].private, jws.WithProtectedHeaders(head)))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if len(signed) > MaxBytes {
		return "", fmt.Errorf("%w: %d bytes with %d scopes, at most %d", ErrTooLarge, len(signed), len(claims.Scopes), MaxBytes)
	}
	return string(signed), nil
}
