package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

const testIssuer = "http://localhost:8000"

// signer is a key pair of the tests, by the name that vectors and key ids use.
type signer struct {
	id      string
	private crypto.Signer
}

var (
	signersMu sync.Mutex
	signers   = map[string]*signer{}
)

// pair returns the key pair of that name, made on first use. The name begins with its kind: rsa,
// rsa1024, ec256, ec384, ec521 or ed25519.
func pair(name string) *signer {
	signersMu.Lock()
	defer signersMu.Unlock()
	if s := signers[name]; s != nil {
		return s
	}
	kind, _, _ := strings.Cut(name, "-")
	s := &signer{id: name, private: newPrivate(kind)}
	signers[name] = s
	return s
}

func newPrivate(kind string) crypto.Signer {
	curves := map[string]elliptic.Curve{"ec256": elliptic.P256(), "ec384": elliptic.P384(), "ec521": elliptic.P521()}
	if curve := curves[kind]; curve != nil {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		return must(private, err)
	}
	switch kind {
	case "ed25519":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return must(private, err)
	case "rsa":
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		return must(private, err)
	}
	panic("no such kind of key: " + kind)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func enc(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk returns the public key as the members of a JWK, by means of the standard library alone.
func (s *signer) jwk() map[string]any {
	switch public := s.private.Public().(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": s.id, "use": "sig", "n": enc(public.N.Bytes()), "e": enc(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(public.Bytes())
		width := (len(point) - 1) / 2
		return map[string]any{"kty": "EC", "kid": s.id, "use": "sig", "crv": public.Params().Name, "x": enc(point[1 : 1+width]), "y": enc(point[1+width:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "kid": s.id, "use": "sig", "crv": "Ed25519", "x": enc(public)}
	}
	panic("no such key")
}

// with returns the JWK with other members.
func (s *signer) with(members map[string]any) map[string]any {
	all := s.jwk()
	for name, value := range members {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	return all
}

func keyDocument(keys ...map[string]any) []byte {
	return must(json.Marshal(map[string]any{"keys": keys}))
}

// published returns the JWKS of the named keys.
func published(names ...string) []byte {
	var keys []map[string]any
	for _, name := range names {
		keys = append(keys, pair(name).jwk())
	}
	return keyDocument(keys...)
}

// sign makes a signature of an algorithm, whether or not it fits what a header says.
func (s *signer) sign(alg, signed string) []byte {
	if strings.HasPrefix(alg, "HS") {
		// The classic confusion: the public key, as it is published, is taken for a shared secret.
		public := must(x509.MarshalPKIXPublicKey(s.private.Public()))
		mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
		mac.Write([]byte(signed))
		return mac.Sum(nil)
	}
	if alg == "EdDSA" {
		return must(s.private.Sign(rand.Reader, []byte(signed), crypto.Hash(0)))
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	sum := digest(hash, []byte(signed))
	switch private := s.private.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			return must(rsa.SignPSS(rand.Reader, private, hash, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, private, hash, sum))
	case *ecdsa.PrivateKey:
		r, t, err := ecdsa.Sign(rand.Reader, private, sum)
		width := (private.Params().BitSize + 7) / 8
		return append(must(r.FillBytes(make([]byte, width)), err), t.FillBytes(make([]byte, width))...)
	}
	panic("no such algorithm: " + alg)
}

// token signs claims, with the name of the key as kid.
func (s *signer) token(alg string, claims map[string]any) string {
	header := map[string]any{"alg": alg, "typ": "at+jwt", "kid": s.id}
	return s.tokenOf(alg, string(must(json.Marshal(header))), string(must(json.Marshal(claims))))
}

func (s *signer) tokenOf(alg, header, claims string) string {
	signed := enc([]byte(header)) + "." + enc([]byte(claims))
	return signed + "." + enc(s.sign(alg, signed))
}

// claims returns a good claim set, ten minutes long, with other members.
func claims(members map[string]any) map[string]any {
	all := map[string]any{
		"iss": testIssuer, "sub": "u1", "iat": time.Now().Unix(), "exp": time.Now().Unix() + 600,
		"client_id": "first-party", "scopes": []string{"example_service.billing.read"},
		"scope": "example_service.billing.read", "auth_time": time.Now().Unix(),
	}
	for name, value := range members {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	return all
}

// inlineVerifier has the named keys, every algorithm and no audience, changed by edit.
func inlineVerifier(t testing.TB, edit func(*IssuerConfig), keys ...string) *Verifier {
	t.Helper()
	config := IssuerConfig{
		Issuer: testIssuer, Inline: published(keys...), Audience: Audience{Mode: AudienceNone}, Skew: DefaultSkew,
		Algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
	}
	if edit != nil {
		edit(&config)
	}
	v, err := New(Config{Issuers: []IssuerConfig{config}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reasonOf returns the reason of a refusal, or "accepted".
func reasonOf(err error) Reason {
	if err == nil {
		return "accepted"
	}
	var e *Error
	if !errors.As(err, &e) {
		return Reason("not an *Error: " + err.Error())
	}
	return e.Reason
}

func wantReason(t *testing.T, err error, want Reason) {
	t.Helper()
	if got := reasonOf(err); got != want {
		t.Fatalf("got %s (%v), want %s", got, err, want)
	}
}

func mustJSON(v any) []byte { return must(json.Marshal(v)) }

// unsafeString shares b's memory, as a server does that reads requests into one buffer.
func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }

// expired returns a context that has ended.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
