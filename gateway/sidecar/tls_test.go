package sidecar_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of this test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// issue returns a certificate for localhost and its key, as PEM.
func (a *authority) issue(serial int64) (cert, key string) {
	a.t.Helper()
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// dial makes one TLS connection and returns its state, or why there is none.
func (a *authority) dial(w *world, c *tls.Config) (tls.ConnectionState, error) {
	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AddCert(a.cert)
	c.ServerName = "localhost"
	conn, err := tls.Dial("tcp", strings.TrimPrefix(w.data, "http://"), c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	// With TLS 1.3 the server's verdict on a client certificate comes with the first read.
	if _, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return conn.ConnectionState(), nil
}

func secureWorld(t *testing.T, a *authority, more string) *world {
	w := newWorld(t)
	cert, key := a.issue(100)
	w.write("cert.pem", cert)
	w.write("key.pem", key)
	w.write("gateway.yaml", w.config("tls: { cert: cert.pem, key: key.pem"+more+" }\n"))
	return w
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	w := secureWorld(t, a, "")
	w.ready()
	for _, c := range []struct {
		offer []string
		want  string
	}{{[]string{"h2", "http/1.1"}, "h2"}, {[]string{"http/1.1"}, "http/1.1"}, {[]string{"http/1.0"}, "http/1.0"}, {nil, ""}} {
		state, err := a.dial(w, &tls.Config{NextProtos: c.offer})
		if c.want == "h2" {
			if err == nil && state.NegotiatedProtocol != "h2" {
				t.Errorf("%v: %q", c.offer, state.NegotiatedProtocol)
			}
			continue
		}
		if err != nil || state.NegotiatedProtocol != c.want {
			t.Errorf("%v: %q, %v", c.offer, state.NegotiatedProtocol, err)
		}
	}
	if _, err := a.dial(w, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}}}
	defer client.CloseIdleConnections()
	res, err := client.Get(strings.Replace(w.data, "http://", "https://", 1) + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("%d over HTTP/%d", res.StatusCode, res.ProtoMajor)
	}
}

// A certificate and its key are replaced one after the other; in between the pair does not
// fit, and the old one goes on.
func TestCertificatesAreReloaded(t *testing.T) {
	a := newAuthority(t)
	w := secureWorld(t, a, "")
	w.ready()
	serial := func() int64 {
		state, err := a.dial(w, &tls.Config{NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 100 {
		t.Fatalf("serial %d", got)
	}
	cert, key := a.issue(200)
	w.write("cert.pem", cert)
	if w.reloaded() {
		t.Fatal("a pair that does not fit was taken")
	}
	if got := serial(); got != 100 {
		t.Errorf("in between: serial %d", got)
	}
	w.write("key.pem", key)
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if got := serial(); got != 200 {
		t.Errorf("afterwards: serial %d", got)
	}
}

func TestClientCertificates(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	w := secureWorld(t, a, ", client_ca: clients.pem")
	w.write("clients.pem", a.pem)
	w.ready()
	with := func(by *authority) *tls.Config {
		cert, key := by.issue(7)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{NextProtos: []string{"http/1.1"}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
	}
	if _, err := a.dial(w, with(a)); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if _, err := a.dial(w, &tls.Config{NextProtos: []string{"http/1.1"}}); err == nil {
		t.Error("without a certificate")
	}
	if _, err := a.dial(w, with(foreign)); err == nil {
		t.Error("with a certificate of somebody else")
	}
	w.write("clients.pem", foreign.pem)
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if _, err := a.dial(w, with(a)); err == nil {
		t.Error("an authority that was removed still counts")
	}
}
