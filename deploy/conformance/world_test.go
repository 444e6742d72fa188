package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// issuerName is the issuer of every token here; its key stands in gateway.yaml.
const issuerName = "https://issuer.test"

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// token signs an access token that holds the scopes, separated by spaces.
func token(t testing.TB, scopes string) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "RS256", "typ": "at+jwt", "kid": "k1"}) + "." +
		part(map[string]any{"iss": issuerName, "sub": "ann", "scope": scopes, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, signingKey(), crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// gateway is a gateway that serves one upstream.
type gateway struct {
	secure bool
	port   string
	ca     string // file with the certificate of a secure one, which is for localhost
	log    *screen
}

// url is the gateway's address with a path.
func (g *gateway) url(path string) string {
	if g.secure {
		return "https://localhost:" + g.port + path
	}
	return "http://localhost:" + g.port + path
}

// startGateway serves the routes of a policy in front of upstream until the test ends; more are
// further lines of the service in gateway.yaml.
func startGateway(t testing.TB, secure bool, upstream, routes string, more ...string) *gateway {
	t.Helper()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	g := &gateway{secure: secure, log: &screen{}}
	write("policy.yaml", "version: 1\nservice: shop\nscopes:\n  shop.use: Use it\n  shop.keep: Keep it\nroutes:\n"+routes)
	n := base64.RawURLEncoding.EncodeToString(signingKey().N.Bytes())
	text := fmt.Sprintf(`version: 1
issuers:
  - issuer: %s
    audience: none
    jwks: { keys: [{ kty: RSA, kid: k1, alg: RS256, use: sig, e: AQAB, n: %s }] }
services:
  - policy: policy.yaml
    upstream: %s
`, issuerName, n, upstream)
	for _, line := range more {
		text += "    " + line + "\n"
	}
	text += "drain_delay: 0s\nlog: { format: json }\n"
	if secure {
		certificate, key := certify(t)
		g.ca = write("cert.pem", certificate)
		write("key.pem", key)
		text += "tls: { cert: cert.pem, key: key.pem }\n"
	}
	cfg, findings := sidecar.LoadConfig(sidecar.Source{File: write("gateway.yaml", text)})
	if cfg == nil {
		t.Fatal(findings)
	}
	process, err := sidecar.New(cfg, g.log)
	if err != nil {
		t.Fatal(err)
	}
	data, admin := listen(t), listen(t)
	_, g.port, _ = net.SplitHostPort(data.Addr().String())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- process.Serve(ctx, data, admin) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with: %v", err)
		}
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", g.log)
		}
	})
	return g
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// certify makes a certificate for localhost that is its own authority, and its key, as PEM.
func certify(t testing.TB) (certificate, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", private)
}

// screen is what processes wrote, readable while they write.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// lanes are the two ways in: TLS, where ALPN chooses the protocol, and cleartext, where the
// client's first bytes do.
func lanes(t *testing.T, each func(t *testing.T, secure bool)) {
	for name, secure := range map[string]bool{"TLS": true, "cleartext": false} {
		t.Run(name, func(t *testing.T) { each(t, secure) })
	}
}

// lastLines keeps the end of what a program wrote, and of each line the beginning: gRPC's
// client prints whole messages.
func lastLines(text string, most int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = lines[max(0, len(lines)-most):]
	for i, l := range lines {
		lines[i] = l[:min(len(l), 400)]
	}
	return strings.Join(lines, "\n")
}
