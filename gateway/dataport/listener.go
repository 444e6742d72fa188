package dataport

import (
	"errors"
	"log"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// listener accepts until it is told to stop, and then what was queued by then.
type listener struct {
	net.Listener
	log     *log.Logger
	closing atomic.Bool

	// Owned by the goroutine that accepts.
	last  []net.Conn // what the queue held when it was closed
	swept bool
}

// accept returns the next connection. It waits out failures that pass, like a
// process that has no descriptor left.
func (l *listener) accept() (net.Conn, error) {
	wait := 5 * time.Millisecond
	for {
		raw, err := l.next()
		if err == nil || l.closing.Load() || !passes(err) {
			return raw, err
		}
		l.log.Printf("accept: %v; again in %v", err, wait)
		time.Sleep(wait)
		wait = min(2*wait, time.Second)
	}
}

func passes(err error) bool {
	var e net.Error
	//lint:ignore SA1019 net/http's server asks the same
	return errors.As(err, &e) && e.Temporary()
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

// full is what a connection beyond the limits is told, where it can be told
// anything: the refusal table's overloaded, without a request id since there
// was no request.
const full = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Cache-Control: no-store\r\nConnection: close\r\nContent-Type: application/json\r\n" +
	"Retry-After: 1\r\nContent-Length: 32\r\n\r\n" + `{"detail":"Service Unavailable"}`

func turnAway(raw net.Conn, secure bool) {
	if !secure {
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
	if l.closing.Swap(true) {
		return
	}
	refuseNew(l.Listener)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		if d.SetDeadline(time.Now().Add(queueGrace)) == nil {
			return // accept closes
		}
	}
	l.Listener.Close()
}

// release leaves the socket to a process that has it too: nothing is done to the socket itself,
// neither filter nor shutdown, and its queue and its name stay.
func (l *listener) release() {
	if l.closing.Swap(true) {
		return
	}
	if u, ok := l.Listener.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	l.Listener.Close()
}
