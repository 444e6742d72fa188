package conformance_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/token"
)

const issuerName = "http://issuer.test"

// signer signs access tokens by hand: ES256 over what encoding/json writes.
type signer struct {
	key *ecdsa.PrivateKey
	id  string
}

var newSigner = sync.OnceValue(func() *signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &signer{key, "k1"}
})

// jwks is the key set with the signer's key, or one without it.
func (s *signer) jwks(with bool) []byte {
	key, id := s.key, s.id
	if !with {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		key, id = other, "k2"
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","kid":%q,"alg":"ES256","use":"sig","x":%q,"y":%q}]}`,
		id, b64(point[1:33]), b64(point[33:65]))
}

func (s *signer) sign(claims map[string]any) string {
	head, _ := json.Marshal(map[string]string{"alg": "ES256", "typ": "at+jwt", "kid": s.id})
	body, _ := json.Marshal(claims)
	text := b64(head) + "." + b64(body)
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err)
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	v.FillBytes(sig[32:])
	return text + "." + b64(sig[:])
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// tokenFor makes a token with the given scopes that lasts for life.
func tokenFor(subject string, life time.Duration, scopes ...string) string {
	return newSigner().sign(map[string]any{
		"iss": issuerName, "sub": subject, "exp": time.Now().Add(life).Unix(), "scope": strings.Join(scopes, " "),
	})
}

// written replaces the tokens that tests write by name: "Bearer reader".
var written = sync.OnceValue(func() *strings.Replacer {
	return strings.NewReplacer(
		"Bearer reader", "Bearer "+tokenFor("alice", time.Hour, "shop.items.read"),
		"Bearer writer", "Bearer "+tokenFor("bob", time.Hour, "shop.items.read", "shop.items.write"),
	)
})

// verifierWith returns the real verifier; without the signer's key it is what a
// gateway has after that key was withdrawn.
func verifierWith(t testing.TB, key bool) *token.Verifier {
	t.Helper()
	v, err := token.New(token.Config{
		CacheEntries: 100,
		Issuers: []token.IssuerConfig{{
			Issuer: issuerName, Inline: newSigner().jwks(key), Audience: token.Audience{Mode: token.AudienceNone}, Algorithms: []string{"ES256"},
		}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
