package gate_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/scopegate/scopegate/gateway/token"
)

// mint signs tokens, and verifier knows its key.
type mint struct {
	key      ed25519.PrivateKey
	verifier *token.Verifier
}

func newMint() *mint {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	jwks := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	v, err := token.New(token.Config{Issuers: []token.IssuerConfig{{
		Issuer: "http://issuer.test", Inline: []byte(jwks), Audience: token.Audience{Mode: token.AudienceNone}, Algorithms: []string{"EdDSA"},
	}}}, nil)
	if err != nil {
		panic(err)
	}
	return &mint{private, v}
}

// sign makes a token of an hour with these claims beside those that it must have.
func (m *mint) sign(claims map[string]any) string {
	all := map[string]any{"iss": "http://issuer.test", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"EdDSA","kid":"k"}`)) + "." + encode(text)
	return signed + "." + encode(ed25519.Sign(m.key, []byte(signed)))
}

// issued is a token with these claims as the gate gets it.
func (m *mint) issued(claims map[string]any) *token.Token {
	t, err := m.verifier.Verify(context.Background(), m.sign(claims), nil)
	if err != nil {
		panic(err)
	}
	return t
}
