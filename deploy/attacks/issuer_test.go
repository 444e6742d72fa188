package attacks

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// issuer is an authorization server: what it publishes, and what it signs.
type issuer struct {
	name, url string
	fetches   atomic.Int64

	mu     sync.Mutex
	keys   []*signer
	faulty http.HandlerFunc // answers in place of the keys
}

// signer is a key with its id.
type signer struct {
	id  string
	key *rsa.PrivateKey
}

// pool keeps keys between tests; making them is slow, and no test minds whose they were.
var pool = struct {
	sync.Mutex
	keys []*rsa.PrivateKey
}{}

// keyNumber gives the n-th key of the pool.
func keyNumber(n int) *rsa.PrivateKey {
	pool.Lock()
	defer pool.Unlock()
	for len(pool.keys) <= n {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		pool.keys = append(pool.keys, key)
	}
	return pool.keys[n]
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{keys: []*signer{{"k0", keyNumber(0)}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		i.mu.Lock()
		keys, faulty := i.keys, i.faulty
		i.mu.Unlock()
		if faulty != nil {
			faulty(w, r)
			return
		}
		_, _ = w.Write(published(keys))
	}))
	t.Cleanup(server.Close)
	i.name, i.url = server.URL, server.URL+"/jwks"
	return i
}

// publish replaces the keys; fail replaces the whole answer, nil undoes it.
func (i *issuer) publish(keys ...*signer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

func (i *issuer) fail(f http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faulty = f
}

// published is a JWKS document.
func published(keys []*signer) []byte {
	set := []any{}
	for _, k := range keys {
		set = append(set, jwk(k))
	}
	doc, err := json.Marshal(map[string]any{"keys": set})
	if err != nil {
		panic(err)
	}
	return doc
}

func jwk(k *signer) map[string]string {
	return map[string]string{"kty": "RSA", "kid": k.id, "alg": "RS256", "use": "sig",
		"n": b64(k.key.N.Bytes()), "e": b64(big.NewInt(int64(k.key.E)).Bytes())}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// claims is a good claim set, changed by what is given; nil takes a member away.
func (i *issuer) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": i.name, "sub": "ann", "client_id": "cli", "scope": "target.data.read",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, change)
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	return c
}

// token is a good token with changed claims.
func (i *issuer) token(change map[string]any) string {
	return i.signedBy(&signer{"k0", keyNumber(0)}, change)
}

func (i *issuer) signedBy(k *signer, change map[string]any) string {
	head := fmt.Sprintf(`{"alg":"RS256","typ":"at+jwt","kid":%q}`, k.id)
	body, err := json.Marshal(i.claims(change))
	if err != nil {
		panic(err)
	}
	input := b64([]byte(head)) + "." + b64(body)
	return input + "." + b64(rs256(k.key, input))
}

func rs256(key *rsa.PrivateKey, input string) []byte {
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return sig
}

// hs256 signs with what an attacker has: some reading of the public key.
func hs256(secret []byte, input string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return mac.Sum(nil)
}

func publicPEM(key *rsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
