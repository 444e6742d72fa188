package token

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// TestUnfitKeysAreSkipped puts one unfit key beside a good one: the good one stays usable.
func TestUnfitKeysAreSkipped(t *testing.T) {
	rsaKey, ec := pair("rsa"), pair("ec256")
	private := must(jwk.FromRaw(rsaKey.private))
	var privateMembers map[string]any
	if err := json.Unmarshal(mustJSON(private), &privateMembers); err != nil {
		t.Fatal(err)
	}
	number := func(bits int) string { // odd, and of that many bits
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return enc(n.SetBit(n, 0, 1).Bytes())
	}
	cases := []struct {
		name string
		key  any
		why  string
	}{
		{"symmetric", map[string]any{"kty": "oct", "k": "AAAA", "kid": "x"}, "symmetric"},
		{"private RSA", privateMembers, "private"},
		{"private EC", ec.with(map[string]any{"d": "AAAA"}), "private"},
		{"RSA of 1024 bits", rsaKey.with(map[string]any{"n": number(1024)}), "1024 bits"},
		{"RSA of 2047 bits", rsaKey.with(map[string]any{"n": number(2047)}), "2047 bits"},
		{"RSA of 8193 bits", rsaKey.with(map[string]any{"n": number(8193)}), "8193 bits"},
		{"RSA with exponent 1", rsaKey.with(map[string]any{"e": "AQ"}), "exponent"},
		{"RSA with an even exponent", rsaKey.with(map[string]any{"e": enc([]byte{1, 0, 0})}), "exponent"},
		{"RSA with an exponent that would be cut to 3", rsaKey.with(map[string]any{"e": enc([]byte{1, 0, 0, 0, 0, 0, 0, 0, 3})}), "exponent"},
		{"RSA with an even modulus", rsaKey.with(map[string]any{"n": enc(append([]byte{0x80}, make([]byte, 255)...))}), "weak"},
		{"RSA without modulus", rsaKey.with(map[string]any{"n": nil}), "n is missing"},
		{"use enc", rsaKey.with(map[string]any{"use": "enc"}), "use"},
		{"use that is a list", rsaKey.with(map[string]any{"use": []string{"sig"}}), "use"},
		{"key_ops without verify", rsaKey.with(map[string]any{"key_ops": []string{"sign"}}), "key_ops"},
		{"key_ops that is a string", rsaKey.with(map[string]any{"key_ops": "verify"}), "key_ops"},
		{"alg of encryption", rsaKey.with(map[string]any{"alg": "RSA-OAEP"}), "does not fit"},
		{"alg HS256", rsaKey.with(map[string]any{"alg": "HS256"}), "does not fit"},
		{"alg none", rsaKey.with(map[string]any{"alg": "none"}), "does not fit"},
		{"alg of another kind of key", rsaKey.with(map[string]any{"alg": "ES256"}), "does not fit"},
		{"alg of another curve", ec.with(map[string]any{"alg": "ES384"}), "does not fit"},
		{"a point that is not on the curve", ec.with(map[string]any{"y": ec.jwk()["x"]}), "not a"},
		{"secp256k1", ec.with(map[string]any{"crv": "secp256k1"}), "not a"},
		{"X25519", pair("ed25519").with(map[string]any{"crv": "X25519"}), "cannot verify"},
		{"Ed25519 cut short", pair("ed25519").with(map[string]any{"x": "AAAA"}), ""},
		{"unknown kind", map[string]any{"kty": "AKP", "kid": "x"}, "kty"},
		{"kid that is a number", rsaKey.with(map[string]any{"kid": 7}), "kid"},
		{"kid without end", rsaKey.with(map[string]any{"kid": strings.Repeat("k", 513)}), "kid"},
		{"no object", "key", "not an object"},
		{"null", nil, "not an object"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set, err := parseKeySet(mustJSON(map[string]any{"keys": []any{c.key, pair("ec256-good").jwk()}}))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.keys) != 1 || set.keys[0].id != "ec256-good" {
				t.Errorf("keys %v", set.ids())
			}
			if len(set.skipped) != 1 || !strings.Contains(set.skipped[0], c.why) {
				t.Errorf("skipped %q, want one with %q", set.skipped, c.why)
			}
		})
	}
}

// Which of two keys an issuer means by one id cannot be known, even if one of them is unfit.
func TestTwoKeysWithOneKidAreBothUnused(t *testing.T) {
	for name, twin := range map[string]map[string]any{
		"another good key": pair("ec256-b").with(map[string]any{"kid": "ec256-a"}),
		"an unfit key":     {"kty": "oct", "k": "AAAA", "kid": "ec256-a"},
		"the same key":     pair("ec256-a").jwk(),
	} {
		t.Run(name, func(t *testing.T) {
			set := must(parseKeySet(keyDocument(pair("ec256-a").jwk(), twin, pair("ec256-c").jwk())))
			if got := fmt.Sprint(set.ids()); got != "[ec256-c]" {
				t.Errorf("keys %s", got)
			}
			if !strings.Contains(strings.Join(set.skipped, " "), `"ec256-a" stands 2 times`) {
				t.Errorf("skipped %q", set.skipped)
			}
		})
	}
}

func TestKeysWithoutKidServeTokensWithoutKid(t *testing.T) {
	set := must(parseKeySet(keyDocument(pair("ec256").with(map[string]any{"kid": nil}), pair("rsa").with(map[string]any{"kid": nil}))))
	if len(set.keys) != 2 || len(set.byID) != 0 || set.only("ES256") == nil || set.only("RS256") == nil || set.only("ES384") != nil {
		t.Errorf("%+v", set)
	}
}

// TestThumbprintIsTheOneOfRFC7638 uses the example of the RFC's section 3.1.
func TestThumbprintIsTheOneOfRFC7638(t *testing.T) {
	k := must(parseKey(map[string]any{"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
		"n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
			"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
			"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}))
	if got := k.thumb.String(); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("thumbprint %s", got)
	}
}

// TestGoodModuliHaveNoROCAFingerprint: a false alarm would take an issuer down.
func TestGoodModuliHaveNoROCAFingerprint(t *testing.T) {
	for i := range 4 {
		if n := pair(fmt.Sprintf("rsa-%d", i)).private.Public().(*rsa.PublicKey).N; hasROCA(n) {
			t.Errorf("%x", n)
		}
	}
}

// A megabyte of key must not hold up the one goroutine that loads keys: it is refused for
// its length, before anybody makes a number of it.
func TestKeysOfMegabytesAreNotEvenRead(t *testing.T) {
	large := enc(bytes.Repeat([]byte{0xff}, 700<<10))
	for name, key := range map[string]map[string]any{
		"modulus":    {"kty": "RSA", "n": large, "e": "AQAB"},
		"exponent":   pair("rsa").with(map[string]any{"e": large}),
		"coordinate": pair("ec256").with(map[string]any{"x": large}),
		"point":      pair("ed25519").with(map[string]any{"x": large}),
		"curve":      pair("ed25519").with(map[string]any{"crv": large}),
	} {
		if _, err := parseKey(key); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The longest that may be used is not.
	longest := map[string]any{"kty": "RSA", "n": enc(bytes.Repeat([]byte{0xff}, maxRSABits/8)), "e": "AQAB"}
	if _, err := parseKey(longest); err != nil {
		t.Errorf("%d bits: %v", maxRSABits, err)
	}
}
