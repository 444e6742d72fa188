package dataport

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Port is the data port. It serves any number of listeners.
type Port struct {
	cfg          Config
	http1, http2 Lane
	log          *log.Logger
	conns        *conns
	accepting    atomic.Int64 // listeners from which something may still come
	serving      atomic.Int64 // connections that a goroutine of the port's works on, lanes included
	draining     atomic.Bool
	cut          atomic.Bool

	mu        sync.Mutex // guards listeners and handed
	listeners []*listener
	handed    bool // to another process, which accepts instead of this one
}

// New returns a port whose HTTP/1 connections are read by one lane and whose
// HTTP/2 connections by another, or by the same. It opens nothing.
func New(cfg Config, http1, http2 Lane) *Port {
	if cfg.HeadTimeout <= 0 {
		cfg.HeadTimeout = 10 * time.Second
	}
	p := &Port{cfg: cfg, http1: http1, http2: http2, log: cfg.ErrorLog, conns: newConns(cfg.Limits)}
	if p.log == nil {
		p.log = log.New(io.Discard, "", 0)
	}
	return p
}

// Serve accepts from l until [Port.Drain] or [Port.Close], after which it
// returns nil. With a TLS configuration every connection is TLS, and ALPN
// chooses between HTTP/2 and HTTP/1; without one HTTP/2 is spoken to clients
// that begin with its preface. Configurations that t.GetConfigForClient returns
// must name the [Protocols] themselves. An error is one of the listener, and
// not of the passing kind.
func (p *Port) Serve(l net.Listener, t *tls.Config) error {
	if t != nil {
		t = t.Clone()
		t.NextProtos = Protocols()
	}
	p.accepting.Add(1)
	defer p.accepting.Add(-1)
	open := &listener{Listener: l, log: p.log}
	p.mu.Lock()
	p.listeners = append(p.listeners, open)
	switch {
	case p.handed:
		open.release()
	case p.draining.Load():
		open.closing.Store(true)
		l.Close()
	}
	p.mu.Unlock()
	for {
		raw, err := open.accept()
		switch {
		case err != nil && open.closing.Load():
			return nil
		case err != nil:
			return err
		}
		c := p.newConn(raw)
		if !p.conns.admit(c) {
			turnAway(raw, t != nil)
			continue
		}
		go p.serve(c, t)
	}
}

// HandOver closes the port's own descriptors of its listening sockets and nothing else: another
// process accepts from now on what is queued. [Port.Drain] follows.
func (p *Port) HandOver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handed = true
	for _, l := range p.listeners {
		l.release()
	}
}

// Draining tells whether the port is asked to stop, or has stopped.
func (p *Port) Draining() bool { return p.draining.Load() }

// Connections returns the counts of this moment.
func (p *Port) Connections() Counts { return p.conns.count() }

// Close ends everything at once.
func (p *Port) Close() error {
	p.draining.Store(true)
	p.cut.Store(true)
	p.mu.Lock()
	for _, l := range p.listeners {
		l.closing.Store(true)
		l.Close() // closed already, after a drain
	}
	p.mu.Unlock()
	var failed error
	for _, lane := range p.lanes() {
		if err := lane.Close(); err != nil {
			failed = err
		}
	}
	for _, c := range p.conns.collect(func(*Conn) bool { return true }) {
		c.closeSocket()
	}
	return failed
}

// lanes are the lanes, each once.
func (p *Port) lanes() []Lane {
	if p.http1 == p.http2 {
		return []Lane{p.http1}
	}
	return []Lane{p.http1, p.http2}
}

// survive keeps a fault in what one client's bytes lead to from ending everybody.
func (p *Port) survive(c *Conn) {
	if fault := recover(); fault != nil {
		p.log.Printf("panic serving %s: %v\n%s", c.socket.RemoteAddr(), fault, debug.Stack())
		c.closeSocket()
	}
}
