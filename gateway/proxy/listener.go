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
		raw, err := l.Listener.Accept()
		switch {
		case err != nil && l.closing.Load():
			if errors.Is(err, os.ErrDeadlineExceeded) {
				l.Listener.Close() // the queue is empty
			}
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

// stop accepts what is already queued, then closes.
func (l *listener) stop() {
	l.closing.Store(true)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		if d.SetDeadline(time.Now().Add(queueGrace)) == nil {
			return // Accept closes
		}
	}
	l.Listener.Close()
}
