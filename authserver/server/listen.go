package server

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// queueGrace is what handshakes that have begun are given before the listener
// closes.
const queueGrace = 50 * time.Millisecond

// listener is a TCP listener that can stop without resetting anybody. A client
// that stands in the listen queue when it is closed is reset, although it may
// have sent its request; under load somebody always stands there.
type listener struct {
	net.Listener
	stopping atomic.Bool

	// Of the goroutine that accepts.
	swept bool
	last  []net.Conn // what stood in the queue at the end
}

// Accept goes on until stop's grace is over, then hands out the rest of the
// queue, then fails with net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	if !l.swept {
		conn, err := l.Listener.Accept()
		if err == nil || !l.stopping.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return conn, err
		}
		l.last, l.swept = sweep(l.Listener), true
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	if len(l.last) == 0 {
		return nil, net.ErrClosed
	}
	conn := l.last[0]
	l.last = l.last[1:]
	return conn, nil
}

// stop makes Accept come to its end. What cannot wait (no listener of the
// system) is closed at once.
func (l *listener) stop() error {
	l.stopping.Store(true)
	refuseNew(l.Listener)
	timed, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if ok && timed.SetDeadline(time.Now().Add(queueGrace)) == nil {
		return nil
	}
	return l.Close()
}
