package token

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// issuer is one configured issuer with the source of its keys.
type issuer struct {
	config IssuerConfig
	source *source
	types  map[string]bool // lower case, without application/
	terms  termsTable
}

func newIssuer(config IssuerConfig, source *source) *issuer {
	iss := &issuer{config: config, source: source, types: map[string]bool{}}
	for _, typ := range config.Types {
		iss.types[plainType(typ)] = true
	}
	return iss
}

// plainType drops what may be left out of a media type (RFC 7515 section 4.1.9).
func plainType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

func (iss *issuer) allowsType(h *header) bool {
	if !h.hasType {
		return iss.types[TypeAbsent]
	}
	typ := plainType(h.typ)
	return typ != TypeAbsent && iss.types[typ]
}

// accept judges the claims of a token whose signature, made with k, is good, and builds the Token.
func (iss *issuer) accept(c *compact, k *key, now time.Time) (*Token, *Error) {
	d := &c.document
	if err := iss.checkKind(d); err != nil {
		return nil, err
	}
	subject, _, err := d.stringMember("sub")
	if err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	if _, _, err := d.stringMember("jti"); err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	terms, err := iss.termsOf(c, k)
	if err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	t := &Token{Terms: terms}
	if err := t.readTimes(d, now); err != nil {
		return nil, err
	}
	t.keep(c.text[len(c.head):], subject)
	return t, nil
}

// checkKind refuses tokens that are not access tokens or that need a proof of possession.
// An ID token is signed by the same keys and would otherwise open every door of its subject
// (RFC 8725 section 3.11).
func (iss *issuer) checkKind(d *jsonDocument) *Error {
	if d.get(root, "cnf") != root {
		return refuse(ReasonBound, "the token is bound to its sender (cnf), which is not checked here")
	}
	accepted := iss.config.AllowClaims
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if d.get(root, name) != root && !slices.Contains(accepted, name) {
			return refuse(ReasonType, "the claim "+name+" is not one of an access token")
		}
	}
	if typ, _, _ := d.stringMember("typ"); typ != "" && !slices.Contains(accepted, "typ") {
		switch strings.ToLower(typ) {
		case "id", "refresh", "offline", "logout":
			return refuse(ReasonType, "the claim typ says "+typ)
		}
	}
	if use, there, _ := d.stringMember("token_use"); there && use != "access" && !slices.Contains(accepted, "token_use") {
		return refuse(ReasonType, "the claim token_use is not access")
	}
	return nil
}

// readTimes reads exp, nbf, iat and auth_time, and judges the first three.
func (t *Token) readTimes(d *jsonDocument, now time.Time) *Error {
	exp, there, err := timeClaim(d, "exp")
	if err != nil {
		return refuse(ReasonMalformed, err.Error())
	}
	if !there {
		return refuse(ReasonMalformed, "exp is missing")
	}
	t.ExpiresAt = exp
	if t.ended(now) {
		return refuse(ReasonExpired, fmt.Sprintf("expired at %s", exp.UTC().Format(time.RFC3339)))
	}
	for _, name := range []string{"nbf", "iat"} {
		at, there, err := timeClaim(d, name)
		if err != nil {
			return refuse(ReasonMalformed, err.Error())
		}
		if there && at.After(now.Add(t.Skew())) {
			return refuse(ReasonNotYetValid, fmt.Sprintf("%s is %s", name, at.UTC().Format(time.RFC3339)))
		}
	}
	if at, there, err := timeClaim(d, "auth_time"); err == nil && there {
		t.AuthTime = at
	}
	return nil
}

// lastSecond is the end of the year 9999. A larger number is most likely in milliseconds,
// and would make a token that never expires.
const lastSecond = 253402300799

// timeClaim reads a NumericDate (RFC 7519 section 2), floored to the second.
func timeClaim(d *jsonDocument, name string) (at time.Time, there bool, err error) {
	claim := d.get(root, name)
	switch d.kind(claim) {
	case 0:
		return time.Time{}, false, nil
	case '0':
	default:
		return time.Time{}, true, fmt.Errorf("%s is not a number", name)
	}
	f, err := strconv.ParseFloat(string(d.bytes(claim)), 64)
	if err != nil || f < 0 || f > lastSecond {
		return time.Time{}, true, fmt.Errorf("%s is out of range", name)
	}
	return time.Unix(int64(f), 0), true, nil
}
