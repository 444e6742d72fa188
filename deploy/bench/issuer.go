package main

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// issuer makes tokens and serves its key.
type issuer struct {
	url    string
	key    *rsa.PrivateKey
	server *http.Server
}

const keyID = "bench-1"

func newIssuer() (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &issuer{url: "http://" + listener.Addr().String(), key: key}
	jwks := fmt.Sprintf(`{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":%q,"n":%q,"e":"AQAB"}]}`,
		keyID, base64.RawURLEncoding.EncodeToString(key.N.Bytes()))
	i.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwk-set+json")
			fmt.Fprint(w, jwks)
		}),
	}
	go i.server.Serve(listener) // until close
	return i, nil
}

func (i *issuer) close() { i.server.Close() }

// writeKey writes the public key as PEM, which is how HAProxy reads it.
func (i *issuer) writeKey(file string) error {
	der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
}

// The scopes that the policy asks for, and others that a real token carries besides: a token
// is about 900 bytes long.
const (
	fullScope = "bench.read bench.write"
	weakScope = "bench.list bench.share"
	moreScope = "openid profile orders.read orders.write invoices.read invoices.write"
)

// token signs the token of a serial number.
func (i *issuer) token(serial int, scope string, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": i.url, "sub": fmt.Sprintf("3f8a6c1e-user-%08d", serial), "client_id": "bench-client",
		"iat": now.Unix(), "exp": now.Add(2 * maxRun).Unix(),
		"jti": fmt.Sprintf("0b9f4a52-7c1d-4e7e-9d55-%012d", serial), "org_id": "0f0e7c9a-organisation",
		"scope": scope + " " + moreScope,
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","kid":"`+keyID+`","typ":"at+jwt"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, i.key, crypto.SHA256, digest[:])
	return signed + "." + encode(signature), err
}

// writeTokens signs n tokens from a first serial number on, and writes them one a line.
func (i *issuer) writeTokens(file string, first, n int, scope string) error {
	now := time.Now()
	tokens := make([]string, n)
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for at := range tokens {
		group.Go(func() (err error) {
			tokens[at], err = i.token(first+at, scope, now)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	for _, token := range tokens {
		fmt.Fprintln(out, token)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// prepare writes every file of tokens that the workloads need into folder.
func (i *issuer) prepare(folder string, s settings, chosen []workload) error {
	wanted := map[kind]bool{oneToken: true}
	for _, w := range chosen {
		wanted[w.tokens] = true
	}
	serial := 0
	for _, f := range []struct {
		kind  kind
		count int
		scope string
	}{
		{oneToken, 1, fullScope}, {weakToken, 1, weakScope},
		{manyTokens, s.tokens, fullScope}, {newTokens, s.rounds * s.fresh, fullScope},
	} {
		if wanted[f.kind] {
			if err := i.writeTokens(filepath.Join(folder, string(f.kind)), serial, f.count, f.scope); err != nil {
				return fmt.Errorf("prepare tokens: %w", err)
			}
		}
		serial += f.count
	}
	return nil
}
