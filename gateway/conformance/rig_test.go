package conformance_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
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

// openPolicy is the candidate beside it: all that is shown of the lanes is shown while it stands there,
// and no request may pass because of it.
const openPolicy = `
version: 1
service: shop
routes:
  /**:
    accept: [encoded_slash, encoded_backslash, semicolon, double_encoding, empty_segment, method_override, query_token]
    upgrade: [websocket]
    ANY: public
    GET: public
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
	if c, judged := x.Candidate(); judged && c.Verdict != gate.CandidateAllows && c.Reason != gate.ReasonAmbiguous {
		panic("a candidate that opens everything does not open " + x.Request().Path)
	}
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

// wait waits until there are n records, and returns them.
func (r *records) wait(t *testing.T, n int) (all []record) {
	t.Helper()
	r.next(t, fmt.Sprintf("%d exchanges", n), func(record) bool { all = r.all; return len(all) >= n })
	return all
}

// rig is a gateway over real sockets: three listeners, both lanes, one gate, one service.
type rig struct {
	*records
	lane   lane
	config rigConfig
	gate   *gate.Gate
	port   *dataport.Port
	plain  string // addresses
	tls    string
	unix   string
	t      testing.TB
}

type rigConfig struct {
	headTimeout time.Duration
	headMax     int64
	limits      dataport.Limits
	upstream    upstream.Config
	inFlight    int64
	cors        *gate.CORS
	service     func(*gate.Service) // changes it before it is served
	errorLog    *log.Logger         // the test's own unless it is set
}

// newRig serves with l as the reader of HTTP/1.
func newRig(t testing.TB, l lane, c rigConfig) *rig {
	t.Helper()
	if c.errorLog == nil {
		c.errorLog = log.New(logged{t}, "", 0)
	}
	r := &rig{t: t, records: &records{more: make(chan struct{})}, lane: l, config: c}
	r.gate = gate.New(r.snapshot(policyText, true), r.records)
	http1, http2 := l.of(r.gate, c)
	r.port = dataport.New(dataport.Config{HeadTimeout: c.headTimeout, Limits: c.limits, ErrorLog: c.errorLog}, http1, http2)
	t.Cleanup(func() { r.port.Close() })
	r.plain = r.serve("tcp", "127.0.0.1:0", nil)
	r.tls = r.serve("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(t).pair}})
	r.unix = r.serve("unix", socketPath(t), nil)
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
	s := &gate.Service{Policy: r.policy(text), Candidate: r.policy(openPolicy), Upstream: r.ways(), InFlight: new(atomic.Int64), InFlightMax: r.config.inFlight, CORS: r.config.cors}
	if r.config.service != nil {
		r.config.service(s)
	}
	n, err := gate.NewSnapshot([]*gate.Service{s}, verifierWith(r.t, key), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) policy(text string) *policy.Policy {
	p, findings := policy.Load("test.yaml", []byte(text))
	if p == nil {
		r.t.Fatal(findings)
	}
	return p
}

func (r *rig) serve(network, address string, c *tls.Config) string {
	l, err := net.Listen(network, address)
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

// socketPath is short: the name of a test may make its folder's too long for a socket.
func socketPath(t testing.TB) string {
	dir, err := os.MkdirTemp("", "lane")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// service runs h as a service of the given scheme and says how to reach it.
func service(t testing.TB, scheme string, h http.Handler) upstream.Config {
	t.Helper()
	c := upstream.Config{Scheme: scheme}
	network, address := "tcp", "127.0.0.1:0"
	if scheme == "unix" {
		network, address = "unix", socketPath(t)
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
	name  string
	major int // HTTP/1 or HTTP/2
	base  string
	peer  string // as the gateway sees it; "" through a unix socket
	*http.Client
}

// clients are one for each protocol and kind of listener.
func (r *rig) clients() []client { return slices.Concat(r.http1(), r.http2()) }

// http1 are those whose connections the lane in question reads.
func (r *rig) http1() []client {
	return []client{
		{"http1", 1, "http://" + r.plain, loopback, r.over(&http.Transport{})},
		{"http1-tls", 1, "https://" + r.tls, loopback, r.over(&http.Transport{TLSClientConfig: insecure()})},
		{"http1-unix", 1, "http://unix", "", r.over(&http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", r.unix)
		}})},
	}
}

func (r *rig) http2() []client {
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	return []client{
		{"http2-tls", 2, "https://" + r.tls, loopback, r.over(&http.Transport{TLSClientConfig: insecure(), ForceAttemptHTTP2: true})},
		{"http2-clear", 2, "http://" + r.plain, loopback, r.over(h2c)},
	}
}

const loopback = "127.0.0.1"

func (r *rig) over(t *http.Transport) *http.Client {
	t.DisableCompression = true
	r.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
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
