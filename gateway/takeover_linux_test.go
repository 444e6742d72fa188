package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// shop is a service that counts what it is sent, an issuer, and the folder of a gateway between
// them that can be taken over.
type shop struct {
	t      *testing.T
	folder string
	token  string
	silent atomic.Bool // the issuer gives no keys

	mu  sync.Mutex // guards got
	got map[string]int
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, folder: t.TempDir(), got: map[string]int{}}
	var jwks []byte
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s.silent.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Write(jwks)
	}))
	t.Cleanup(issuer.Close)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPost {
			s.mu.Lock()
			s.got[string(body)]++
			s.mu.Unlock()
		}
		if string(body) == "endless" {
			<-r.Context().Done()
		}
		w.Write(body)
	}))
	t.Cleanup(service.Close)
	var err error
	if s.token, jwks, err = signed(fmt.Sprintf(`{"iss":"https://issuer.test","exp":%d,"scope":"shop.orders"}`, time.Now().Add(time.Hour).Unix())); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.folder, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, s.folder, "config/gateway.yaml", fmt.Sprintf(`version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
takeover: ../run/takeover.sock
drain_delay: 300ms
log: { sample_allowed: 1000000 }
issuers:
  - issuer: https://issuer.test
    jwks_uri: %s
    audience: none
services:
  - policy: policy.yaml
    upstream: %s
`, issuer.URL, service.URL))
	s.policy(0)
	return s
}

// policy writes the n-th policy: each has a route by which it is known.
func (s *shop) policy(n int) {
	write(s.t, s.folder, "config/policy.yaml", fmt.Sprintf("version: 1\nservice: shop\nscopes: { shop.orders: Orders }\nroutes:\n  /orders: { POST: shop.orders }\n  /policy%d: { GET: public }\n", n))
}

// customers POST numbered orders over kept-alive connections until they are told to stop.
type customers struct {
	shop *shop
	at   string
	sent atomic.Int64
	stop atomic.Bool
	all  sync.WaitGroup
}

// order sends one order and tells whether the connection goes on. An order that was sent and is
// not answered is lost.
func (c *customers) order(conn net.Conn, in *bufio.Reader) bool {
	body := fmt.Sprintf("order %d", c.sent.Add(1))
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	var out bytes.Buffer
	fmt.Fprintf(&out, "POST /orders HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", c.shop.token, len(body), body)
	if _, err := conn.Write(out.Bytes()); err != nil {
		c.shop.t.Errorf("%s was lost: %v", body, err)
		return false
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		c.shop.t.Errorf("%s was lost: %v", body, err)
		return false
	}
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || string(got) != body {
		c.shop.t.Errorf("%s: %s %q %v", body, res.Status, got, err)
	}
	return !res.Close
}

// buy opens a connection, which must never be refused, and orders on it: at most so many times,
// with a pause in between.
func (c *customers) buy(most int, rest time.Duration) {
	conn, err := net.Dial("tcp", c.at)
	if err != nil {
		c.shop.t.Errorf("no connection: %v", err)
		return
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n := 0; n < most && !c.stop.Load() && c.order(conn, in); n++ {
		<-time.After(rest)
	}
}

// run lets sixteen customers in: most are in a hurry, some wait between two orders, and some take
// a new connection for each.
func (c *customers) run() {
	for n := range 16 {
		most, rest := 1<<30, 5*time.Millisecond
		switch n % 8 {
		case 3:
			most = 1
		case 7:
			rest = 200 * time.Millisecond
		}
		c.all.Go(func() {
			for !c.stop.Load() && !c.shop.t.Failed() {
				c.buy(most, rest)
			}
		})
	}
}

func (c *customers) more(n int64) {
	c.shop.t.Helper()
	for from, end := c.sent.Load(), time.Now().Add(30*time.Second); c.sent.Load() < from+n; {
		if time.Now().After(end) || c.shop.t.Failed() {
			c.shop.t.Fatal("the customers do not get on")
		}
		<-time.After(time.Millisecond)
	}
}

func ready(t *testing.T, p *process) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); status(t, "http://"+p.admin+"/readyz") != 200; {
		if time.Now().After(end) {
			t.Fatal("the gateway does not become ready")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestTakeoversAndReloadsLoseNothing: three takeovers and ten reloads under the load of sixteen
// clients. Every order is answered and arrives once; no connection is refused; and whoever asks
// the admin port is told all the time that the gateway is ready.
func TestTakeoversAndReloadsLoseNothing(t *testing.T) {
	for _, lane := range []string{"auto", "standard"} {
		t.Run("lane "+lane, func(t *testing.T) { takeoversAndReloads(t, lane) })
	}
}

func takeoversAndReloads(t *testing.T, lane string) {
	s := newShop(t)
	config, err := os.ReadFile(filepath.Join(s.folder, "config/gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.folder, "config/gateway.yaml", string(config)+"    lane: "+lane+"\n")
	p := start(t, s.folder, "serve")
	ready(t, p)
	load := &customers{shop: s, at: p.data}
	load.run()
	defer load.all.Wait()
	defer load.stop.Store(true)
	probe := "http://" + p.admin + "/readyz"
	load.all.Go(func() {
		for !load.stop.Load() {
			if res, err := http.Get(probe); err != nil {
				t.Errorf("readyz: %v", err)
			} else if res.Body.Close(); res.StatusCode != 200 {
				t.Errorf("readyz: %s", res.Status)
			}
			<-time.After(5 * time.Millisecond)
		}
	})
	policy := 0
	reload := func(times int) {
		for range times {
			load.more(50)
			policy++
			s.policy(policy)
			if err := p.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			p.line(t, "reloaded")
		}
	}
	reload(1)
	for range 3 {
		load.more(50)
		next := start(t, s.folder, "serve", "--takeover")
		if next.data != p.data || next.admin != p.admin {
			t.Fatalf("the new process serves %s and %s, not %s and %s", next.data, next.admin, p.data, p.admin)
		}
		if code := p.end(t); code != exitDone {
			t.Errorf("the old process exits with %d", code)
		}
		p = next
		if got := status(t, fmt.Sprintf("http://%s/policy%d", p.data, policy)); got != 200 {
			t.Errorf("the policy of the new process: %d", got)
		}
		reload(3)
	}
	load.more(50)
	load.stop.Store(true)
	load.all.Wait()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(t); code != exitDone {
		t.Errorf("the last process exits with %d", code)
	}
	for body, n := range s.got {
		if n != 1 {
			t.Errorf("%s arrived %d times", body, n)
		}
	}
	if int64(len(s.got)) != load.sent.Load() {
		t.Errorf("%d were sent, %d arrived", load.sent.Load(), len(s.got))
	}
	t.Logf("%d orders", load.sent.Load())
}

// TestATakeoverThatFails changes nothing: the running gateway goes on until a successor is ready.
func TestATakeoverThatFails(t *testing.T) {
	s := newShop(t)
	p := start(t, s.folder, "serve")
	serves := func() {
		t.Helper()
		if got := status(t, "http://"+p.data+"/policy0"); got != 200 {
			t.Errorf("an open path is %d", got)
		}
	}
	t.Run("because its configuration is wrong", func(t *testing.T) {
		text, code := run(t, s.folder, "serve", "--takeover", "--ready", "never")
		if code != exitUsage || !strings.Contains(text, "never") {
			t.Errorf("%d %s", code, text)
		}
		serves()
	})
	t.Run("because it would listen elsewhere", func(t *testing.T) {
		text, code := run(t, s.folder, "serve", "--takeover", "--listen", "127.0.0.1:1")
		if code != exitFailed || !strings.Contains(text, "listen is 127.0.0.1:1 here and 127.0.0.1:0 for the running gateway") {
			t.Errorf("%d %s", code, text)
		}
		serves()
	})
	t.Run("because it gets no keys and is killed", func(t *testing.T) {
		s.silent.Store(true)
		defer s.silent.Store(false)
		waiting := launch(t, s.folder, "serve", "--takeover")
		waiting.line(t, "taking over")
		serves()
		if text, code := run(t, s.folder, "serve", "--takeover"); code != exitFailed || !strings.Contains(text, "another takeover is under way") {
			t.Errorf("a second takeover meanwhile: %d %s", code, text)
		}
		if err := waiting.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		waiting.end(t)
		p.line(t, "nobody took over")
		serves()
	})
	next := start(t, s.folder, "serve", "--takeover")
	if code := p.end(t); code != exitDone {
		t.Errorf("the old process exits with %d", code)
	}
	p = next
	serves()
}

// TestSIGTERMInTheMiddleOfATakeover leaves the port to the successor, which is not ready yet: who
// connects meanwhile waits, and is served.
func TestSIGTERMInTheMiddleOfATakeover(t *testing.T) {
	s := newShop(t)
	s.silent.Store(true) // for both: an open path needs no keys
	p := start(t, s.folder, "serve")
	waiting := launch(t, s.folder, "serve", "--takeover")
	waiting.line(t, "taking over")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.line(t, "handed over")
	got := make(chan int, 1)
	go func() { got <- status(t, "http://"+p.data+"/policy0") }()
	if code := p.end(t); code != exitDone {
		t.Errorf("the old process exits with %d", code)
	}
	s.silent.Store(false)
	if got := <-got; got != 200 {
		t.Errorf("a request from in between: %d", got)
	}
}

// TestWhatATakeoverCutsIsNoFailure: work that does not end is cut, and the old process still exits
// with 0; a supervisor would start it again, and have it take over from the new one.
func TestWhatATakeoverCutsIsNoFailure(t *testing.T) {
	s := newShop(t)
	p := start(t, s.folder, "serve", "--drain-timeout", "10ms")
	ready(t, p)
	cut := make(chan error, 1)
	go func() {
		r, _ := http.NewRequest("POST", "http://"+p.data+"/orders", strings.NewReader("endless"))
		r.Header.Set("Authorization", "Bearer "+s.token)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			res.Body.Close()
			err = fmt.Errorf("answered with %s", res.Status)
		}
		cut <- err
	}()
	for end := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
		s.mu.Lock()
		n := s.got["endless"]
		s.mu.Unlock()
		if n == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the request does not arrive")
		}
	}
	start(t, s.folder, "serve", "--takeover")
	if code := p.end(t); code != exitDone {
		t.Errorf("the old process exits with %d", code)
	}
	if err := <-cut; strings.Contains(err.Error(), "with 200") {
		t.Error(err)
	}
}

func TestATakeoverOfNobody(t *testing.T) {
	s := newShop(t)
	p := start(t, s.folder, "serve", "--takeover")
	if got := status(t, "http://"+p.data+"/policy0"); got != 200 {
		t.Errorf("started as usual: %d", got)
	}
	folder := site(t, "http://127.0.0.1:1")
	if text, code := run(t, folder, "serve", "--takeover"); code != exitUsage || !strings.Contains(text, "takeover: in ") {
		t.Errorf("without a place: %d %s", code, text)
	}
}
