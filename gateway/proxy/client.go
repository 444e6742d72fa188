package proxy

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
)

// client is one client's connection, as this lane keeps it.
type client struct {
	*dataport.Conn
	reset resetBudget

	// What net/http refuses by itself in HTTP/1 shows in these: begun counts the
	// heads that it started to read, handled those that reached the handler.
	begun, handled atomic.Int64
	status         atomic.Int32 // of net/http's own refusal
	timedOut       atomic.Bool

	idle    sync.Mutex // guards arrived
	arrived bool       // something was read since the connection became idle
}

// ServeConn gives c to net/http, as what it knows TLS and HTTP/2 by: a
// *tls.Conn that negotiated h2, or a connection that begins with the preface.
func (p *Proxy) ServeConn(c *dataport.Conn) {
	mine := &client{Conn: c}
	c.Owner = mine
	p.serving.Do(func() { go p.server.Serve(p.queue) }) // ends with Shutdown or Close
	switch {
	case c.HTTP2() && c.Secure():
		p.queue.give(c.TLS())
	case c.HTTP2():
		p.queue.give(newFrames(mine))
	case c.Secure():
		p.queue.give(http1TLS{http1{mine}})
	default:
		p.queue.give(http1{mine})
	}
}

// clientOf finds the client in what net/http was given for it.
func clientOf(outer net.Conn) *client {
	switch c := outer.(type) {
	case http1:
		return c.client
	case http1TLS:
		return c.client
	case *frames:
		return c.client
	}
	c, _ := dataport.Of(outer).Owner.(*client)
	return c
}

// moved follows net/http's states.
func (p *Proxy) moved(outer net.Conn, to http.ConnState) {
	c := clientOf(outer)
	switch to {
	case http.StateActive:
		c.begun.Add(1)
		c.Become(dataport.StateActive)
	case http.StateIdle:
		c.idle.Lock()
		c.arrived = false
		c.idle.Unlock()
		c.Become(dataport.StateIdle)
	case http.StateHijacked:
		c.Become(dataport.StateTunnel)
	case http.StateClosed:
		if !c.HTTP2() && c.begun.Load() > c.handled.Load() {
			p.recordUnread(c)
		}
	}
}

// EndIdle makes net/http give up waiting for the next request, unless that has
// begun to arrive. If it arrives in this moment it is served: the read that has
// it comes first, and net/http then sets a new time limit over this one.
func (p *Proxy) EndIdle(of *dataport.Conn) {
	c := of.Owner.(*client)
	c.idle.Lock()
	defer c.idle.Unlock()
	if !c.arrived && c.State() == dataport.StateIdle {
		c.SetReadDeadline(time.Now())
	}
}

// queue is the listener of connections that the port has given to this lane.
type queue struct {
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newQueue() *queue {
	return &queue{waiting: make(chan net.Conn), closed: make(chan struct{})}
}

func (q *queue) give(c net.Conn) {
	select {
	case q.waiting <- c:
	case <-q.closed:
		c.Close()
	}
}

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.waiting:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept, and closes what is given from now on.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr is asked for by nobody; the port has the addresses.
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

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
