package token

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// FuzzJSON: what our parser accepts, encoding/json reads as the same tree.
func FuzzJSON(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(text(v.Claims, vectorClaims))
		f.Add(text(v.Header, vectorHeader))
	}
	for _, s := range []string{`{"a":-0.0e-1,"b":[true,false,null,{}]}`, `{"é":"é\n\/"}`, "{\"\":\"\x7f\"}", `{"a":1e5}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		got, err := jsonObject([]byte(src), claimLimits)
		if err != nil {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(src))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", src, err)
		}
		if _, err := decoder.Token(); err != io.EOF {
			t.Fatalf("something stands behind %q", src)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", src, got, want)
		}
	})
}

// FuzzCompact: what our splitter accepts has one spelling, and jwx reads the same parts.
func FuzzCompact(f *testing.F) {
	for _, v := range readVectors(f) {
		if len(v.Claims) < 4096 {
			f.Add(v.token())
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var c compact
		if c.parse(raw) != nil {
			return
		}
		head, _, _ := strings.Cut(raw, ".")
		if again := head + "." + enc(c.payload) + "." + enc(c.signature); again != raw {
			t.Fatalf("%q has another spelling, %q", raw, again)
		}
		message, err := jws.ParseString(raw)
		if err != nil {
			if strings.Contains(err.Error(), "header") { // jwx also checks members that are ignored here
				return
			}
			t.Fatalf("jwx refuses %q: %v", raw, err)
		}
		protected := message.Signatures()[0].ProtectedHeaders()
		if !bytes.Equal(message.Payload(), c.payload) || !bytes.Equal(message.Signatures()[0].Signature(), c.signature) ||
			protected.Algorithm().String() != c.header.algorithm || protected.KeyID() != c.header.keyID || protected.Type() != c.header.typ {
			t.Fatalf("jwx reads other parts from %q", raw)
		}
	})
}

// FuzzAcceptedByJWX signs whatever header and claims the fuzzer makes up. A token that we accept,
// jwx verifies with the same key and reads as the same claims; one that jwx refuses, we do not accept.
func FuzzAcceptedByJWX(f *testing.F) {
	now := time.Unix(946684800, 0)
	for _, v := range readVectors(f) {
		if v.Deviates || len(v.Claims) > 4096 {
			continue
		}
		header := strings.NewReplacer(`"RS256"`, `"ES256"`, `"rsa"`, `"ec256"`).Replace(text(v.Header, vectorHeader))
		f.Add(header, text(v.Claims, vectorClaims))
	}
	iss := inlineVerifier(f, func(ic *IssuerConfig) { ic.Audience = Audience{Mode: AudienceAny} }, "ec256").issuers[testIssuer]
	private := pair("ec256")
	key := must(jwk.FromRaw(private.private.Public()))
	f.Fuzz(func(t *testing.T, header, claimText string) {
		raw := private.tokenOf("ES256", header, claimText)
		got := acceptedAt(iss, raw, now)
		if got == nil {
			return
		}
		alone := acceptedAt(newIssuer(iss.config, iss.source), raw, now)
		if got.Client != alone.Client || got.ACR != alone.ACR || !slices.Equal(got.Audience, alone.Audience) || !slices.Equal(got.Scopes, alone.Scopes) {
			t.Fatalf("terms of another token: %+v, want %+v, for %q %q", got.Terms, alone.Terms, header, claimText)
		}
		if tree := must(jsonObject([]byte(claimText), claimLimits)); !reflect.DeepEqual(got.Claims(), tree) {
			t.Fatalf("claims are %v, want %v", got.Claims(), tree)
		}
		payload, err := jws.Verify([]byte(raw), jws.WithKey(jwa.ES256, key))
		if err != nil && strings.Contains(err.Error(), "JOSE headers") { // jwx also reads members that are never read here
			return
		}
		if err != nil {
			t.Fatalf("jwx does not verify %q %q: %v", header, claimText, err)
		}
		if aud, there := got.Claims()["aud"]; there && aud == nil {
			return // audience null counts as absent, as the demo's service has it; jwx refuses it
		}
		want, err := jwt.ParseInsecure(payload)
		if err != nil {
			t.Fatalf("jwx refuses the claims %q: %v", claimText, err)
		}
		if want.Issuer() != testIssuer || want.Subject() != got.Subject || want.Expiration().Unix() != got.ExpiresAt.Unix() ||
			len(want.Audience()) != len(got.Audience) {
			t.Fatalf("jwx reads other claims from %q: %v", claimText, want)
		}
		if err := jwt.Validate(want, jwt.WithClock(jwt.ClockFunc(func() time.Time { return now })), jwt.WithAcceptableSkew(DefaultSkew)); err != nil {
			t.Fatalf("jwx finds %q not valid: %v", claimText, err)
		}
	})
}

// acceptedAt verifies at a given time, without cache and network.
func acceptedAt(iss *issuer, raw string, now time.Time) *Token {
	var c compact
	if c.parse(raw) != nil || c.header.algorithm != "ES256" || !iss.allowsType(&c.header) {
		return nil
	}
	k, err := iss.keyFor(&c.header, now)
	if err != nil || !c.verifiedBy(k) || c.document.parse(c.payload, claimLimits) != nil {
		return nil
	}
	if name, _, _ := c.document.stringMember("iss"); name != testIssuer {
		return nil
	}
	t, refused := iss.accept(&c, k, now)
	if refused != nil {
		return nil
	}
	return t
}

// FuzzKeySet: no document makes the parser panic, and no unfit key comes out of it.
func FuzzKeySet(f *testing.F) {
	f.Add(published("rsa", "ec256", "ed25519"))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":""}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		set, err := parseKeySet(document)
		if err != nil {
			return
		}
		if len(set.keys) == 0 || len(set.keys) > maxKeys {
			t.Fatalf("%d keys", len(set.keys))
		}
		ids := map[string]bool{}
		for _, k := range set.keys {
			if k.checkStrength() != nil || (k.id != "" && ids[k.id]) || !set.holds(k.thumb) {
				t.Fatalf("key %q of %s", k.id, document)
			}
			ids[k.id] = true
		}
		if _, err := jwk.Parse(document); err != nil && len(set.skipped) == 0 {
			t.Fatalf("jwx refuses %s: %v", document, err)
		}
	})
}
