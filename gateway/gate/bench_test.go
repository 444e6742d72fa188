package gate_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/token"
)

// realVerifier is package token's own, with one RSA key, and a token that the
// key signed, of the size that the auth server makes.
func realVerifier(tb testing.TB) (*token.Verifier, string) {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwks := fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","use":"sig","n":%q,"e":%q}]}`,
		b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes()))
	v, err := token.New(token.Config{Issuers: []token.IssuerConfig{{
		Issuer: "http://issuer.test", Inline: []byte(jwks), Audience: token.Audience{Mode: token.AudienceNone},
	}}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": "http://issuer.test", "sub": "01a20815-c98d-7496-892b-bc0089e551b7", "iat": now, "exp": now + 3600, "auth_time": now,
		"jti": "01a20815-c98d-7496-892b-bc0089e551b8", "client_id": "first-party", "org_id": "01a20815-c98d-7a41-ac19-5adf0b518cd8",
		"scopes": []string{"auth.user.read", "example_service.billing.read"}, "scope": "auth.user.read example_service.billing.read",
	})
	if err != nil {
		tb.Fatal(err)
	}
	signed := b64([]byte(`{"alg":"RS256","kid":"k","typ":"at+jwt"}`)) + "." + b64(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		tb.Fatal(err)
	}
	return v, signed + "." + b64(signature)
}

// BenchmarkAdmitCachedToken is the whole admission of a request whose token is
// remembered, with the real verifier: at most 1.5 µs and no allocation.
func BenchmarkAdmitCachedToken(b *testing.B) {
	v, raw := realVerifier(b)
	for _, c := range []struct {
		name, line string
		allowed    bool
	}{{"allowed", "GET /billing/?page=2", true}, {"refused", "POST /billing/", false}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := gate.NewSnapshot([]*gate.Service{{Policy: loadPolicy(b, billing)}}, v, nil)
			if err != nil {
				b.Fatal(err)
			}
			g := gate.New(s, &recorder{})
			in := request(c.line, "Authorization: Bearer "+raw, "Accept: application/json", "User-Agent: bench/1.0", "Accept-Encoding: gzip")
			ctx := context.Background()
			var x gate.Exchange
			b.ReportAllocs()
			for b.Loop() {
				g.Begin(&x, in)
				if err := x.Admit(ctx); (err == nil) != c.allowed {
					b.Fatal(err)
				}
			}
		})
	}
}

// The benchmark's claim about allocations, as a test: it does not depend on the
// machine's speed.
func TestAdmittingACachedTokenAllocatesNothing(t *testing.T) {
	v, raw := realVerifier(t)
	s, err := gate.NewSnapshot([]*gate.Service{{Policy: loadPolicy(t, billing)}}, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := gate.New(s, &recorder{})
	in := request("GET /billing/", "Authorization: Bearer "+raw)
	in.Header = http.Header{"Authorization": {"Bearer " + raw}}
	var x gate.Exchange
	admit := func() {
		g.Begin(&x, in)
		if err := x.Admit(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	admit() // verified once
	if n := testing.AllocsPerRun(1000, admit); n != 0 {
		t.Errorf("%v allocations for each admission", n)
	}
}

// BenchmarkRefuse is a whole refused request but for its record.
func BenchmarkRefuse(b *testing.B) {
	v, raw := realVerifier(b)
	s, err := gate.NewSnapshot([]*gate.Service{{Policy: loadPolicy(b, billing)}}, v, nil)
	if err != nil {
		b.Fatal(err)
	}
	g := gate.New(s, &recorder{})
	for _, c := range []struct{ name, line, authorization string }{
		{"scope missing", "POST /billing/", "Authorization: Bearer " + raw},
		{"no token", "GET /billing/", "X-None: 1"},
		{"two readings", "GET /billing//", "X-None: 1"},
	} {
		b.Run(c.name, func(b *testing.B) {
			in := request(c.line, c.authorization, "Accept: application/json", "User-Agent: bench/1.0")
			ctx := context.Background()
			var x gate.Exchange
			b.ReportAllocs()
			for b.Loop() {
				g.Begin(&x, in)
				err := x.Admit(ctx)
				if err == nil {
					b.Fatal("admitted")
				}
				x.Refuse(ctx, err)
			}
		})
	}
}
