package proxy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/proxy"
	"github.com/scopegate/scopegate/gateway/upstream"
)

const policyText = `
version: 1
service: shop
scopes:
  shop.items.read: Read items
  shop.items.write: Write items
routes:
  /open/**:
    ANY: public
  /items/{id}:
    accept: [encoded_slash, semicolon]
    GET: shop.items.read
    POST: shop.items.write
    PUT: shop.items.write
  /socket:
    upgrade: [websocket]
    GET: shop.items.read
  /open-socket:
    upgrade: [websocket]
    GET: public
  /shop.Items/Watch:
    POST: shop.items.read
`

// records are what the gate recorded.
type records struct {
	mu   sync.Mutex
	all  []record
	more chan struct{}
}

type record struct {
	reason gate.Reason
	gate.Outcome
}

func (r *records) Record(x *gate.Exchange, o gate.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record{x.Reason(), o})
	close(r.more)
	r.more = make(chan struct{})
}

// next waits until one record satisfies want.
func (r *records) next(t *testing.T, what string, want func(record) bool) record {
	t.Helper()
	limit := time.After(15 * time.Second)
	for {
		r.mu.Lock()
		i := slices.IndexFunc(r.all, want)
		all, more := r.all, r.more
		r.mu.Unlock()
		if i >= 0 {
			return all[i]
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("no record of %s; there are %+v", what, all)
		}
	}
}

// rig is a gateway over real sockets, in which this lane reads everything.
type rig struct {
	*records
	config rigConfig
	gate   *gate.Gate
	port   *dataport.Port
	plain  string // addresses
	tls    string
	t      testing.TB
}

type rigConfig struct {
	proxy.Config
	limits   dataport.Limits
	upstream upstream.Config
	inFlight int64
	cors     *gate.CORS
}

func newRig(t testing.TB, c rigConfig) *rig {
	t.Helper()
	r := &rig{t: t, records: &records{more: make(chan struct{})}, config: c}
	if c.ErrorLog == nil {
		c.ErrorLog = log.New(logged{t}, "", 0)
	}
	r.gate = gate.New(r.snapshot(policyText, true), r.records)
	c.HTTP1 = true
	lane := proxy.New(r.gate, c.Config)
	r.port = dataport.New(dataport.Config{HeadTimeout: c.HeadTimeout, Limits: c.limits, ErrorLog: c.ErrorLog}, lane, lane)
	t.Cleanup(func() { r.port.Close() })
	r.plain = r.serve(nil)
	r.tls = r.serve(&tls.Config{Certificates: []tls.Certificate{certificate(t).pair}})
	return r
}

// logged shows what net/http complains of, and does not let a panic pass.
type logged struct{ testing.TB }

func (l logged) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic")) {
		l.Errorf("%s", p)
	}
	return len(p), nil
}

// snapshot serves a policy; without the key no token is good any more.
func (r *rig) snapshot(text string, key bool) *gate.Snapshot {
	p, findings := policy.Load("test.yaml", []byte(text))
	if p == nil {
		r.t.Fatal(findings)
	}
	up, err := proxy.NewUpstream(r.config.upstream)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(up.Close)
	s := &gate.Service{Policy: p, Upstream: up, InFlight: new(atomic.Int64), InFlightMax: r.config.inFlight, CORS: r.config.cors}
	n, err := gate.NewSnapshot([]*gate.Service{s}, verifierWith(r.t, key), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) serve(c *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	go func() {
		if err := r.port.Serve(l, c); err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	}()
	return l.Addr().String()
}

type selfSigned struct {
	pair      tls.Certificate
	cert, key string
}

var certificate = func() func(testing.TB) selfSigned {
	var once sync.Once
	var made selfSigned
	return func(t testing.TB) selfSigned {
		once.Do(func() {
			key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			tmpl := &x509.Certificate{
				SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
				IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"shop.test"}, IsCA: true, BasicConstraintsValid: true,
			}
			der, err2 := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
			pkcs, err3 := x509.MarshalPKCS8PrivateKey(key)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			made.cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			made.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs}))
			made.pair, err1 = tls.X509KeyPair([]byte(made.cert), []byte(made.key))
			if err1 != nil {
				t.Fatal(err1)
			}
		})
		return made
	}
}()

// service runs h as a service of the given scheme and says how to reach it.
func service(t testing.TB, scheme string, h http.Handler) upstream.Config {
	t.Helper()
	c := upstream.Config{Scheme: scheme}
	network, address := "tcp", "127.0.0.1:0"
	if scheme == "unix" {
		network, address = "unix", filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	c.Address = l.Addr().String()
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), ErrorLog: nil}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	if scheme == "https" {
		c.TLS.CA = certificate(t).cert
		s.TLSConfig = &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{certificate(t).pair}}
		go s.ServeTLS(l, "", "")
	} else {
		go s.Serve(l)
	}
	t.Cleanup(func() { s.Close() })
	return c
}

// seen is a request as the service saw it.
type seen struct {
	Method, Target, Host, Proto, Body string
	Header                            http.Header
	Trailer                           http.Header
}

// echo answers with what it saw.
func echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, r.Proto, string(body), r.Header, r.Trailer})
	})
}

// client speaks one protocol to the gateway.
type client struct {
	name string
	base string
	*http.Client
}

func (r *rig) clients() []client {
	h1 := &http.Transport{DisableCompression: true, TLSClientConfig: insecure()}
	h2 := &http.Transport{DisableCompression: true, TLSClientConfig: insecure(), ForceAttemptHTTP2: true}
	h2c := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	for _, t := range []*http.Transport{h1, h2, h2c} {
		r.t.Cleanup(t.CloseIdleConnections)
	}
	return []client{
		{"http1", "http://" + r.plain, &http.Client{Transport: h1}},
		{"http1-tls", "https://" + r.tls, &http.Client{Transport: h1}},
		{"http2-tls", "https://" + r.tls, &http.Client{Transport: h2}},
		{"http2-clear", "http://" + r.plain, &http.Client{Transport: h2c}},
	}
}

func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// ask sends one request, with the target as it is written.
func (c client) ask(t testing.TB, method, target string, body io.Reader, fields ...string) (*http.Response, string) {
	t.Helper()
	req := c.request(t, method, target, body, fields...)
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", method, target, err)
	}
	return res, string(text)
}

func (c client) request(t testing.TB, method, target string, body io.Reader, fields ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.base, body)
	if err != nil {
		t.Fatal(err)
	}
	path, query, has := strings.Cut(target, "?")
	req.URL.Opaque, req.URL.RawQuery, req.URL.ForceQuery = path, query, has
	req.Host = "shop.test"
	for _, f := range fields {
		name, value, _ := strings.Cut(written().Replace(f), ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req
}

// see is ask of the echo service.
func (c client) see(t testing.TB, method, target string, body io.Reader, fields ...string) seen {
	t.Helper()
	res, text := c.ask(t, method, target, body, fields...)
	var s seen
	if err := json.Unmarshal([]byte(text), &s); err != nil || res.StatusCode != 200 {
		t.Fatalf("%s %s: %s %s", method, target, res.Status, text)
	}
	return s
}

// wire opens a raw connection to the gateway.
func (r *rig) wire(t testing.TB) net.Conn { return dial(t, r.plain) }

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, written().Replace(text)); err != nil {
		t.Fatal(err)
	}
}

// rawService answers connections as f does, and says how to reach it.
func rawService(t testing.TB, f func(net.Conn)) upstream.Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return upstream.Config{Scheme: "http", Address: l.Addr().String()}
}

// zeros is an endless body that counts what was taken.
type zeros struct {
	left  int64
	taken atomic.Int64
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	z.taken.Add(n)
	return int(n), nil
}
