package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Counts says how many connections the data port has in each state.
type Counts struct {
	New     int64  // accepted, no whole request head yet
	Active  int64  // with a request in hand
	Idle    int64  // kept alive, waiting for the next request
	Tunnel  int64  // switched to another protocol
	Refused uint64 // turned away at accept since the start
}

// conns keeps every connection of the data port, and turns away those beyond
// the limits. A tunnel stays counted until it closes.
type conns struct {
	limits  Limits
	refused atomic.Uint64
	states  [http.StateClosed + 1]atomic.Int64

	mu        sync.Mutex // guards all and byAddress, and orders the changes of states
	all       map[*conn]struct{}
	byAddress map[netip.Prefix]int
}

func newConns(l Limits) *conns {
	return &conns{limits: l, all: map[*conn]struct{}{}, byAddress: map[netip.Prefix]int{}}
}

// Connections returns the counts of this moment.
func (p *Proxy) Connections() Counts {
	s := &p.conns.states
	return Counts{
		New:     s[http.StateNew].Load(),
		Active:  s[http.StateActive].Load(),
		Idle:    s[http.StateIdle].Load(),
		Tunnel:  s[http.StateHijacked].Load(),
		Refused: p.conns.refused.Load(),
	}
}

// conn is one client's connection, between the socket and TLS or net/http.
type conn struct {
	net.Conn
	set    *conns
	peer   netip.AddrPort // zero for a unix socket
	counts netip.Prefix   // what it is counted under; zero: not counted by address
	closed atomic.Bool
	state  atomic.Int32 // http.ConnState
	http2  atomic.Bool
	reset  resetBudget

	// What net/http refuses by itself shows in these: begun counts the heads
	// that it started to read, handled those that reached the handler.
	begun, handled atomic.Int64
	status         atomic.Int32 // of net/http's own refusal
	timedOut       atomic.Bool

	idle    sync.Mutex // guards arrived
	arrived bool       // something was read since the connection became idle
}

// admit counts c in; nil means that it is one too many.
func (s *conns) admit(raw net.Conn) *conn {
	c := &conn{Conn: raw, set: s}
	if tcp, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		c.peer = tcp.AddrPort()
	}
	c.counts = s.key(c.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limits.Connections > 0 && len(s.all) >= s.limits.Connections {
		s.refused.Add(1)
		return nil
	}
	if c.counts.IsValid() {
		if s.byAddress[c.counts] >= s.limits.PerAddress {
			s.refused.Add(1)
			return nil
		}
		s.byAddress[c.counts]++
	}
	s.all[c] = struct{}{}
	s.states[http.StateNew].Add(1)
	return c
}

// key is what a peer is counted under: an IPv4 address, or the /64 that one
// IPv6 host usually has to itself. Loopback peers are not counted: what runs on
// this host is one address for everybody it speaks for.
func (s *conns) key(peer netip.AddrPort) (none netip.Prefix) {
	a := peer.Addr().Unmap()
	if s.limits.PerAddress <= 0 || !a.IsValid() || a.IsLoopback() {
		return none
	}
	for _, p := range s.limits.Exempt {
		if p.Contains(a) {
			return none
		}
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	key, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return none
	}
	return key
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[c]; !ok {
		return
	}
	delete(s.all, c)
	if c.counts.IsValid() {
		if s.byAddress[c.counts]--; s.byAddress[c.counts] == 0 {
			delete(s.byAddress, c.counts)
		}
	}
	s.states[c.state.Load()].Add(-1)
}

// collect returns the connections for which f says so. f must not close any.
func (s *conns) collect(f func(*conn) bool) (found []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if f(c) {
			found = append(found, c)
		}
	}
	return found
}

// moved follows net/http's states; c may be a *tls.Conn around ours.
func (s *conns) moved(outer net.Conn, to http.ConnState) *conn {
	c := connOf(outer)
	if c == nil || to == http.StateNew || to == http.StateClosed {
		return c
	}
	switch to {
	case http.StateActive:
		c.begun.Add(1)
	case http.StateIdle:
		if c.handled.Load() == 0 {
			c.http2.Store(true) // in HTTP/1 none is idle before its first request
		}
		c.idle.Lock()
		c.arrived = false
		c.idle.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.all[c]; open {
		from := c.state.Swap(int32(to))
		s.states[from].Add(-1)
		s.states[to].Add(1)
	}
	return c
}

func connOf(outer net.Conn) *conn {
	if t, ok := outer.(*tls.Conn); ok {
		outer = t.NetConn()
	}
	c, _ := outer.(*conn)
	return c
}

// Close closes the socket and gives its place to another connection.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.set.remove(c)
	return c.Conn.Close()
}

// abort closes the socket with a reset, so that a client which takes the end
// of the connection for the end of the answer sees that something is missing.
func (c *conn) abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) // a failure leaves an ordinary close
	}
	c.Close()
}

// CloseWrite is asked for by net/http, which half-closes before it gives up on
// a request's unread body, so that the answer is not lost to a reset.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Read notes a time limit that ran out, since net/http says nothing when it
// gives up on a slow head, and that something came.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.idle.Lock()
		c.arrived = true
		c.idle.Unlock()
	}
	c.timedOut.Store(err != nil && errors.Is(err, os.ErrDeadlineExceeded))
	return n, err
}

// endIdle makes net/http give up waiting for the next request, unless that has
// begun to arrive. If it arrives in this moment it is served: the read that has
// it comes first, and net/http then sets a new time limit over this one.
func (c *conn) endIdle() {
	c.idle.Lock()
	defer c.idle.Unlock()
	if !c.arrived && http.ConnState(c.state.Load()) == http.StateIdle {
		c.SetReadDeadline(time.Now())
	}
}

// Write notes the status of an answer that no handler gave, and corrects the
// one to a head that came too slowly, for which net/http finds a 400. On a
// connection with TLS nothing can be seen here, and the status stays unknown.
func (c *conn) Write(p []byte) (int, error) {
	if c.begun.Load() <= c.handled.Load() || c.http2.Load() {
		return c.Conn.Write(p)
	}
	status := statusOf(p)
	if status == http.StatusBadRequest && c.timedOut.Load() {
		c.status.Store(http.StatusRequestTimeout)
		_, err := c.Conn.Write([]byte(tooSlow))
		return len(p), err
	}
	c.status.Store(int32(status))
	return c.Conn.Write(p)
}

// tooSlow is the refusal table's request_timeout, without a request id since
// there was no request.
const tooSlow = "HTTP/1.1 408 Request Timeout\r\n" +
	"Cache-Control: no-store\r\nConnection: close\r\nContent-Type: application/json\r\n" +
	"Content-Length: 28\r\n\r\n" + `{"detail":"Request Timeout"}`

// statusOf reads the status out of "HTTP/1.x nnn"; 0 if p is something else.
func statusOf(p []byte) int {
	const before = "HTTP/1.1 "
	if len(p) < len(before)+3 || string(p[:7]) != before[:7] {
		return 0
	}
	status := 0
	for _, d := range p[len(before) : len(before)+3] {
		if d < '0' || d > '9' {
			return 0
		}
		status = status*10 + int(d-'0')
	}
	return status
}

// resetBudget bounds how often one HTTP/2 connection may ask for something and
// take it back (CVE-2023-44487): each reset costs the sender nothing and the
// service a request. It refills at resetRate.
type resetBudget struct {
	mu    sync.Mutex // guards spent and last
	spent float64
	last  time.Time
}

const (
	resetBurst = 256 // twice the streams that may be open at once
	resetRate  = 20  // a second
)

// spend takes one from the budget and reports whether there was one.
func (b *resetBudget) spend(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-resetRate*now.Sub(b.last).Seconds()) + 1
	b.last = now
	return b.spent <= resetBurst
}
