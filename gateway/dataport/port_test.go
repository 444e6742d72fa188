package dataport_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
)

// TestConnectionLimit counts from accept on, and gives a place back.
func TestConnectionLimit(t *testing.T) {
	r := newRig(t, dataport.Config{Limits: dataport.Limits{Connections: 2}})
	address := r.serve(t, nil)
	first, second := dial(t, address), dial(t, address)
	second.send("hello\n")
	second.expect("one hello")
	waitFor(t, "two connections", func() bool { return r.port.Connections() == dataport.Counts{New: 1, Idle: 1} })
	third := dial(t, address)
	text, err := io.ReadAll(third)
	if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 503 ") || !strings.Contains(string(text), "Retry-After: 1\r\n") ||
		!strings.HasSuffix(string(text), "\r\n\r\n"+`{"detail":"Service Unavailable"}`) {
		t.Errorf("%q %v", text, err)
	}
	first.Close()
	waitFor(t, "free place", func() bool { return r.port.Connections() == dataport.Counts{Idle: 1, Refused: 1} })
	fourth := dial(t, address)
	fourth.send("hello\n")
	fourth.expect("one hello")
}

// TestAddressLimit: one address cannot take the places of all, and an exempt one can.
func TestAddressLimit(t *testing.T) {
	r := newRig(t, dataport.Config{Limits: dataport.Limits{PerAddress: 2}})
	l := &named{Listener: listen(t), from: make(chan string, 10)}
	go r.port.Serve(l, nil)
	for _, c := range []struct {
		from string
		want string
	}{
		{"192.0.2.1", "one hello"}, {"192.0.2.1", "one hello"}, {"192.0.2.1", "HTTP/1.1 503 Service Unavailable\r"},
		{"192.0.2.2", "one hello"}, {"127.0.0.1", "one hello"}, {"127.0.0.1", "one hello"}, {"127.0.0.1", "one hello"},
	} {
		l.from <- c.from
		p := dial(t, l.Addr().String())
		io.WriteString(p.Conn, "hello\n") // who is turned away may be gone already
		p.expect(c.want)
	}
}

// named is a listener whose peers have the addresses that a test says.
type named struct {
	net.Listener
	from chan string
}

func (n *named) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return namedConn{c, &net.TCPAddr{IP: net.ParseIP(<-n.from), Port: 1}}, nil
}

type namedConn struct {
	net.Conn
	peer net.Addr
}

func (c namedConn) RemoteAddr() net.Addr { return c.peer }

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestDrain: what each kind of connection is told, and when.
func TestDrain(t *testing.T) {
	r := newRig(t, dataport.Config{})
	address := r.serve(t, nil)
	idle, slow, fresh, tunnel := dial(t, address), dial(t, address), dial(t, address), dial(t, address)
	idle.send("hello\n")
	idle.expect("one hello")
	slow.send("slow\n")
	tunnel.send("tunnel\nx\n")
	tunnel.expect("x")
	waitFor(t, "all connections", func() bool { return r.port.Connections() == dataport.Counts{New: 1, Active: 1, Idle: 1, Tunnel: 1} })

	done := make(chan error, 1)
	begun := time.Now()
	go func() {
		done <- r.port.Drain(t.Context(), dataport.Grace{Delay: 200 * time.Millisecond, Work: 20 * time.Second})
	}()
	waitFor(t, "drain", r.port.Draining)
	during := dial(t, address)
	during.send("hello\n")
	during.expect("one close hello")
	waitFor(t, "closed listener", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	idle.expectEnd()
	if after := time.Since(begun); after < time.Second {
		t.Errorf("the idle connection ended after %v", after)
	}
	fresh.send("hello\n")
	fresh.expect("one close hello")
	if r.http1.shut.Load()+r.http2.shut.Load() != 0 {
		t.Error("the lanes were shut down while a request was in hand")
	}
	close(r.http1.hold)
	slow.expect("one close slow")
	waitFor(t, "shutdown of both lanes", func() bool { return r.http1.shut.Load() == 1 && r.http2.shut.Load() == 1 })
	tunnel.send("y\n")
	tunnel.expect("y")
	select {
	case err := <-done:
		t.Errorf("Drain ended before the tunnel: %v", err)
	default:
	}
	tunnel.Close()
	if err := <-done; err != nil {
		t.Errorf("Drain: %v", err)
	}
	if r.http1.closed.Load() != 1 || r.http2.closed.Load() != 1 {
		t.Error("the lanes were not closed")
	}
}

// TestARequestThatHasArrivedIsServed, although its connection looks idle because the lane did not
// get to reading it: the process stood still, and then the grace was over.
func TestARequestThatHasArrivedIsServed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a socket cannot be looked into without taking")
	}
	r := newRig(t, dataport.Config{})
	address := r.serve(t, nil)
	idle, stalled := dial(t, address), dial(t, address)
	for p, line := range map[*peer]string{idle: "hello", stalled: "stall"} {
		p.send(line + "\n")
		p.expect("one " + line)
	}
	waitFor(t, "idle connections", func() bool { return r.port.Connections().Idle == 2 })
	stalled.send("next\n")
	done := make(chan error, 1)
	go func() { done <- r.port.Drain(t.Context(), dataport.Grace{Work: 10 * time.Second}) }()
	idle.expectEnd()
	close(r.http1.hold)
	stalled.expect("one close next")
	if err := <-done; err != nil {
		t.Errorf("Drain: %v", err)
	}
}

// TestDrainHasAnEnd: what is left then is cut, in every state, and Drain says so.
func TestDrainHasAnEnd(t *testing.T) {
	r := newRig(t, dataport.Config{})
	address := r.serve(t, nil)
	slow, fresh, tunnel := dial(t, address), dial(t, address), dial(t, address)
	slow.send("slow\n")
	tunnel.send("tunnel\n")
	waitFor(t, "all connections", func() bool { return r.port.Connections() == dataport.Counts{New: 1, Active: 1, Tunnel: 1} })
	if err := r.port.Drain(t.Context(), dataport.Grace{Work: 100 * time.Millisecond}); !errors.Is(err, dataport.ErrCut) {
		t.Errorf("Drain: %v", err)
	}
	for _, p := range []*peer{slow, fresh, tunnel} {
		if rest, _ := io.ReadAll(p); len(rest) > 0 {
			t.Errorf("%q", rest)
		}
	}
	if n := r.port.Connections(); n != (dataport.Counts{}) {
		t.Errorf("left over: %+v", n)
	}
	close(r.http1.hold)
	if err := r.port.Drain(t.Context(), dataport.Grace{Work: time.Minute}); err != nil {
		t.Errorf("a drained port drains again: %v", err)
	}
	if err := r.port.Serve(listen(t), nil); err != nil {
		t.Errorf("Serve after Drain: %v", err)
	}
}

// TestServeFails with its listener, but not when that has run out of something for a moment.
func TestServeFails(t *testing.T) {
	r := newRig(t, dataport.Config{})
	l := listen(t)
	l.Close()
	if err := r.port.Serve(l, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	tired := &tired{Listener: listen(t), times: 3}
	go r.port.Serve(tired, nil)
	p := dial(t, tired.Addr().String())
	p.send("hello\n")
	p.expect("one hello")
	if !strings.Contains(r.log.String(), "again in") {
		t.Errorf("log: %s", r.log)
	}
}

// tired fails a few times before it accepts.
type tired struct {
	net.Listener
	times int
}

func (l *tired) Accept() (net.Conn, error) {
	if l.times > 0 {
		l.times--
		return nil, passing{}
	}
	return l.Listener.Accept()
}

type passing struct{}

func (passing) Error() string   { return "too many open files" }
func (passing) Timeout() bool   { return false }
func (passing) Temporary() bool { return true }
