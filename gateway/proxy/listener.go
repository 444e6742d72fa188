package proxy

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// listener accepts for net/http, within the limits.
type listener struct {
	net.Listener
	set     *conns
	tls     bool
	closing atomic.Bool

	// Owned by the goroutine that accepts.
	last  []net.Conn // what the queue held when it was closed
	swept bool
}

// full is what a connection beyond the limits is told, where it can be told
// anything: the refusal table's overloaded, without a request id since there
// was no request.
const full = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Cache-Control: no-store\r\nConnection: close\r\nContent-Type: application/json\r\n" +
	"Retry-After: 1\r\nContent-Length: 32\r\n\r\n" + `{"detail":"Service Unavailable"}`

// Accept returns the next connection that has a place.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.next()
		switch {
		case err != nil && l.closing.Load():
			return nil, net.ErrClosed
		case err != nil:
			return nil, err
		}
		if c := l.set.admit(raw); c != nil {
			return c, nil
		}
		l.turnAway(raw)
	}
}

// next accepts, and once stop's deadline is over hands out what was still queued.
func (l *listener) next() (net.Conn, error) {
	if !l.swept {
		raw, err := l.Listener.Accept()
		if err == nil || !l.closing.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return raw, err
		}
		l.last, l.swept = sweep(l.Listener), true
		l.Listener.Close()
	}
	if len(l.last) == 0 {
		return nil, net.ErrClosed
	}
	raw := l.last[0]
	l.last = l.last[1:]
	return raw, nil
}

func (l *listener) turnAway(raw net.Conn) {
	if !l.tls {
		// The send buffer of a new socket is empty, so this does not wait.
		raw.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		raw.Write([]byte(full)) // an overload is best effort
	}
	raw.Close()
}

// queueGrace is how long accepting goes on after the decision to stop: what
// the kernel has accepted for us by then is served, where closing at once
// would reset it.
const queueGrace = 50 * time.Millisecond

// stop accepts what is already queued, then closes. New handshakes are refused at once, those
// under way have queueGrace to come to their end.
func (l *listener) stop() {
	l.closing.Store(true)
	refuseNew(l.Listener)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		if d.SetDeadline(time.Now().Add(queueGrace)) == nil {
			return // Accept closes
		}
	}
	l.Listener.Close()
}
