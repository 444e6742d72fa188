package fastlane

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
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

const openPolicy = `
version: 1
service: shop
scopes: {}
routes:
  /open/**:
    ANY: public
  /socket:
    upgrade: [websocket]
    GET: public
`

// rig is the lane behind a data port. Its clients and its service are ends of
// connections in memory, so that it works in a synctest bubble; a test that is
// about sockets replaces dial and listens itself.
type rig struct {
	*testing.T
	lane     *Lane
	port     *dataport.Port
	up       *Upstream
	inFlight *atomic.Int64
	clients  memoryListener
	dialled  atomic.Int64
	records  chan record
}

type record struct {
	reason gate.Reason
	gate.Outcome
}

// Record is the gate's recorder.
func (r *rig) Record(x *gate.Exchange, o gate.Outcome) { r.records <- record{x.Reason(), o} }

// newRig has the service's end of each connection served by serve.
func newRig(t *testing.T, c upstream.Config, serve func(net.Conn)) *rig {
	t.Helper()
	r := &rig{T: t, inFlight: new(atomic.Int64), records: make(chan record, 1000)}
	r.clients = memoryListener{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
	if c.Scheme == "" {
		c.Scheme, c.Address = "http", "shop.test:80"
	}
	up, err := NewUpstream(c)
	if err != nil {
		t.Fatal(err)
	}
	r.up = up
	if serve != nil {
		r.up.dial = func(context.Context) (net.Conn, error) {
			r.dialled.Add(1)
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				serve(far)
			}()
			return near, nil
		}
	}
	p, findings := policy.Load("test.yaml", []byte(openPolicy))
	if p == nil {
		t.Fatal(findings)
	}
	s := &gate.Service{Policy: p, Upstream: r.up, InFlight: r.inFlight}
	n, err := gate.NewSnapshot([]*gate.Service{s}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.lane = New(gate.New(n, r), Config{})
	r.port = dataport.New(dataport.Config{ErrorLog: log.New(t.Output(), "", 0)}, r.lane, r.lane)
	go r.port.Serve(r.clients, nil)
	t.Cleanup(func() {
		r.port.Close()
		r.up.Close()
	})
	return r
}

// client is a new client's connection.
func (r *rig) client() *peer {
	r.Helper()
	near, far := net.Pipe()
	r.clients.conns <- far
	return r.peer(near)
}

func (r *rig) peer(c net.Conn) *peer {
	r.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Hour)) // in a bubble that is soon
	return &peer{c, bufio.NewReader(c), r}
}

// record is what the gate recorded next.
func (r *rig) record() record {
	r.Helper()
	select {
	case got := <-r.records:
		return got
	case <-time.After(time.Hour):
		r.Fatal("no record")
		return record{}
	}
}

// peer is one end of a connection to the lane.
type peer struct {
	net.Conn
	*bufio.Reader
	*rig
}

func (p *peer) send(text string) {
	p.Helper()
	if _, err := io.WriteString(p.Conn, text); err != nil {
		p.Fatalf("sending: %v", err)
	}
}

// answer reads an answer to a request of this method.
func (p *peer) answer(method string) (*http.Response, string) {
	p.Helper()
	res, err := http.ReadResponse(p.Reader, &http.Request{Method: method})
	if err != nil {
		p.Fatalf("reading an answer's head: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatalf("reading an answer's body: %v", err)
	}
	return res, string(body)
}

// expect reads an answer and holds it against what it should be.
func (p *peer) expect(method string, status int, body string) {
	p.Helper()
	res, got := p.answer(method)
	if res.StatusCode != status || !strings.Contains(got, body) {
		p.Fatalf("%s %q, want %d %q", res.Status, got, status, body)
	}
}

// serving reads requests and answers each by what answer writes for it.
func serving(answer func(io.Writer, *http.Request)) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			answer(c, req)
		}
	}
}

// naming answers with the target that was asked for.
func naming(w io.Writer, req *http.Request) { answerWith(w, req.URL.Path) }

func answerWith(w io.Writer, body string) {
	res := http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
	res.Write(w)
}

// memoryListener accepts the ends of connections in memory.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (l memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l memoryListener) Close() error {
	err := errors.New("closed already")
	l.once.Do(func() { close(l.closed); err = nil })
	return err
}

func (memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }
