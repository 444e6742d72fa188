package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
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

// accept judges the claims of a token whose signature is good, and builds the Token.
func (iss *issuer) accept(claims map[string]any, now time.Time) (*Token, *Error) {
	if err := iss.checkKind(claims); err != nil {
		return nil, err
	}
	t := &Token{Issuer: iss.config.Issuer, Claims: claims, issuer: iss}
	if err := t.readNames(claims); err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	var err error
	if t.Scopes, err = iss.scopes(claims); err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	return t, t.readTimes(claims, now, iss.config.Skew)
}

// checkKind refuses tokens that are not access tokens or that need a proof of possession.
// An ID token is signed by the same keys and would otherwise open every door of its subject
// (RFC 8725 section 3.11).
func (iss *issuer) checkKind(claims map[string]any) *Error {
	if _, bound := claims["cnf"]; bound {
		return refuse(ReasonBound, "the token is bound to its sender (cnf), which is not checked here")
	}
	accepted := iss.config.AllowClaims
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if _, there := claims[name]; there && !slices.Contains(accepted, name) {
			return refuse(ReasonType, "the claim "+name+" is not one of an access token")
		}
	}
	if typ, _ := claims["typ"].(string); !slices.Contains(accepted, "typ") {
		switch strings.ToLower(typ) {
		case "id", "refresh", "offline", "logout":
			return refuse(ReasonType, "the claim typ says "+typ)
		}
	}
	if use, there := claims["token_use"]; there && use != "access" && !slices.Contains(accepted, "token_use") {
		return refuse(ReasonType, "the claim token_use is not access")
	}
	return nil
}

// readNames reads who the token is about and for.
func (t *Token) readNames(claims map[string]any) (err error) {
	if t.Subject, _, err = stringMember(claims, "sub"); err != nil {
		return err
	}
	if _, _, err = stringMember(claims, "jti"); err != nil {
		return err
	}
	var has bool
	if t.Client, has, err = stringMember(claims, "client_id"); err != nil {
		return err
	}
	if !has {
		if t.Client, _, err = stringMember(claims, "azp"); err != nil {
			return err
		}
	}
	t.ACR, _ = claims["acr"].(string)
	t.Audience, err = stringList(claims["aud"])
	if err != nil {
		return fmt.Errorf("aud: %w", err)
	}
	return nil
}

// stringList reads a claim that may be absent, null, a string or an array of strings.
func stringList(claim any) ([]string, error) {
	switch v := claim.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		list := make([]string, 0, len(v))
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				return nil, errors.New("an element is not a string")
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, errors.New("neither a string nor an array of strings")
}

// readTimes reads exp, nbf, iat and auth_time, and judges the first three.
func (t *Token) readTimes(claims map[string]any, now time.Time, skew time.Duration) *Error {
	exp, there, err := timeClaim(claims, "exp")
	if err != nil {
		return refuse(ReasonMalformed, err.Error())
	}
	if !there {
		return refuse(ReasonMalformed, "exp is missing")
	}
	t.ExpiresAt = exp
	t.deadline = nanoseconds(exp.Add(skew))
	if now.UnixNano() >= t.deadline {
		return refuse(ReasonExpired, fmt.Sprintf("expired at %s", exp.UTC().Format(time.RFC3339)))
	}
	for _, name := range []string{"nbf", "iat"} {
		at, there, err := timeClaim(claims, name)
		if err != nil {
			return refuse(ReasonMalformed, err.Error())
		}
		if there && at.After(now.Add(skew)) {
			return refuse(ReasonNotYetValid, fmt.Sprintf("%s is %s", name, at.UTC().Format(time.RFC3339)))
		}
	}
	if at, there, err := timeClaim(claims, "auth_time"); err == nil && there {
		t.AuthTime = at
	}
	return nil
}

// nanoseconds is t's Unix time. int64 ends in April 2262, before the last exp that is accepted;
// whoever never wants a token to end writes 9999999999, so later times stand for that end.
func nanoseconds(t time.Time) int64 {
	if t.Unix() >= math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return t.UnixNano()
}

// lastSecond is the end of the year 9999. A larger number is most likely in milliseconds,
// and would make a token that never expires.
const lastSecond = 253402300799

// timeClaim reads a NumericDate (RFC 7519 section 2), floored to the second.
func timeClaim(claims map[string]any, name string) (at time.Time, there bool, err error) {
	v, there := claims[name]
	if !there {
		return time.Time{}, false, nil
	}
	number, ok := v.(json.Number)
	if !ok {
		return time.Time{}, true, fmt.Errorf("%s is not a number", name)
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f < 0 || f > lastSecond {
		return time.Time{}, true, fmt.Errorf("%s is out of range", name)
	}
	return time.Unix(int64(f), 0), true, nil
}

// scopes reads the scope words: of the configured claim, else of the first of scope, scopes
// and scp that is there. Only one of them counts, so that a narrow scope is not widened by
// a member beside it.
func (iss *issuer) scopes(claims map[string]any) ([]string, error) {
	name, claim := iss.config.ScopeClaim, any(nil)
	if name != "" {
		claim = lookup(claims, name)
	} else {
		for _, name = range []string{"scope", "scopes", "scp"} {
			if claim = claims[name]; claim != nil {
				break
			}
		}
	}
	words, err := stringList(claim)
	if err != nil {
		return nil, fmt.Errorf("scopes in %s: %w", name, err)
	}
	if _, isString := claim.(string); isString {
		words = strings.Split(words[0], " ")
	}
	words = slices.DeleteFunc(words, func(word string) bool { return !iss.counts(word) })
	slices.Sort(words)
	return slices.Clip(slices.Compact(words)), nil
}

// counts reports whether a word may be a scope of this issuer. A word with a blank or a
// control character is none (RFC 6749 section 3.3).
func (iss *issuer) counts(word string) bool {
	if word == "" || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	if len(iss.config.Scopes) == 0 {
		return true
	}
	for _, allowed := range iss.config.Scopes {
		stem, isPrefix := strings.CutSuffix(allowed, "*")
		if word == allowed || (isPrefix && len(word) > len(stem) && strings.HasPrefix(word, stem)) {
			return true
		}
	}
	return false
}

// lookup finds a claim by name, by JSON pointer (when it begins with a slash), or by a path
// with dots. A top-level claim with exactly that name comes first: names like
// https://example.com/roles have dots of their own.
func lookup(claims map[string]any, name string) any {
	if v, there := claims[name]; there {
		return v
	}
	steps := strings.Split(name, ".")
	if pointer, ok := strings.CutPrefix(name, "/"); ok {
		steps = strings.Split(pointer, "/")
		unescape := strings.NewReplacer("~1", "/", "~0", "~")
		for i := range steps {
			steps[i] = unescape.Replace(steps[i])
		}
	}
	var v any = claims
	for _, step := range steps {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[step]
	}
	return v
}
