package token

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// acceptClaims judges claims as if a signature of k stood under them.
func acceptClaims(iss *issuer, claims string) *Token {
	var c compact
	c.header.algorithm = "ES256"
	if c.document.parse([]byte(claims), claimLimits) != nil {
		return nil
	}
	t, _ := iss.accept(&c, iss.source.snapshot().set.keys[0], time.Unix(0, 0))
	return t
}

// Whatever came before, a token has the terms that it would have if it were the only one.
func TestSharedTermsAreTheTokensOwn(t *testing.T) {
	shared := inlineVerifier(t, nil, "ec256").issuers[testIssuer]
	values := []string{"", `null`, `""`, `"a"`, `"\u0061"`, `"au0061"`, `"a b"`, `["a"]`, `["a","b"]`, `["b","a"]`, `["a\",\"b"]`, `[ "a" ]`, `[]`, `7`, `"null"`}
	member := func(name, value string) string {
		if value == "" {
			return ""
		}
		return fmt.Sprintf(`,%q:%s`, name, value)
	}
	accepted, distinct := 0, map[*Terms]bool{}
	judge := func(text string) {
		alone := newIssuer(shared.config, shared.source)
		want, got := acceptClaims(alone, text), acceptClaims(shared, text)
		if (want == nil) != (got == nil) {
			t.Fatalf("%s: got %v, want %v", text, got, want)
		}
		if want == nil {
			return
		}
		accepted++
		distinct[got.Terms] = true
		if got.Issuer != want.Issuer || got.Client != want.Client || got.ACR != want.ACR || got.thumb != want.thumb ||
			!reflect.DeepEqual(got.Audience, want.Audience) || !reflect.DeepEqual(got.Scopes, want.Scopes) {
			t.Fatalf("%s: got %+v, want %+v", text, got.Terms, want.Terms)
		}
	}
	names := []string{"client_id", "azp", "aud", "acr", "scope", "scopes", "scp"}
	for _, one := range names {
		for _, other := range names {
			for _, a := range values {
				for _, b := range values {
					if one != other {
						judge(`{"exp":600` + member(one, a) + member(other, b) + `}`)
					}
				}
			}
		}
	}
	if accepted < 1000 || len(distinct) < 100 || len(distinct) > accepted/2 {
		t.Errorf("%d accepted, with %d terms", accepted, len(distinct))
	}
}

// A key or an algorithm is part of the terms: a token ends with the key that verified it.
func TestTermsTellKeysAndAlgorithmsApart(t *testing.T) {
	v := inlineVerifier(t, nil, "rsa", "ec256")
	seen := map[*Terms]bool{}
	for _, c := range []struct{ key, alg string }{{"rsa", "RS256"}, {"rsa", "PS256"}, {"ec256", "ES256"}, {"rsa", "RS256"}} {
		seen[must(v.Verify(t.Context(), pair(c.key).token(c.alg, claims(nil)), nil)).Terms] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d terms of 3 kinds of tokens", len(seen))
	}
}

// The table is bounded, and holds nothing for long that no token has.
func TestTermsAreBoundedAndEndWithTheirTokens(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	iss := v.issuers[testIssuer]
	for i := range 5000 {
		words := strings.Repeat("x", i)
		if acceptClaims(iss, fmt.Sprintf(`{"exp":600,"scope":"%s-%d"}`, words, i)) == nil {
			t.Fatal("refused")
		}
		size := 0
		for _, terms := range iss.terms.known {
			size += terms.own
		}
		if len(iss.terms.known) > maxTerms || size > maxTermsBytes || size != iss.terms.size {
			t.Fatalf("%d terms of %d bytes (counted %d)", len(iss.terms.known), size, iss.terms.size)
		}
	}
	in := must(v.Verify(t.Context(), pair("ec256").token("ES256", claims(nil)), nil))
	v.sweep(time.Now())
	if len(iss.terms.known) != 1 || iss.terms.size != in.Terms.own {
		t.Errorf("%d terms of %d bytes are left", len(iss.terms.known), iss.terms.size)
	}
	v.sweep(time.Now().Add(time.Hour))
	if len(iss.terms.known) != 0 || iss.terms.size != 0 {
		t.Errorf("%d terms of %d bytes are left without a token", len(iss.terms.known), iss.terms.size)
	}
}
