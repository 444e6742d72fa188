package fastlane

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// far is a connection to a service.
type far struct {
	net.Conn
	raw    syscall.RawConn // of a plain socket
	glance *glance
	read   deadline
	write  deadline
	since  time.Time // when it was put back
	reused bool
	told   bool // something of the request was written
	heard  bool // something of its answer was read

	// What ask shares with ready, which is bound once.
	ready   func(fd uintptr) bool
	step    int
	out, in []byte
	n       int
	failed  error
}

func newFar(c net.Conn) *far {
	f := &far{Conn: c, raw: rawOf(c), glance: newGlance(below(c))}
	f.ready = f.readable
	f.read.arm, f.write.arm = c.SetReadDeadline, c.SetWriteDeadline
	return f
}

// The steps of sending a request and waiting for its answer.
const (
	looking = iota // for something that nobody asked for
	waiting
)

// errStale is a connection that cannot be used again. Nothing was sent over it.
var errStale = errors.New("the service has closed the connection or sent something unasked")

// ask sends a request that is whole over a plain socket, and reads what comes
// first of its answer into in: n bytes. It takes as few system calls as there can
// be: the look that shows the connection to be clean is also the read after which
// the poller reports what comes. left is what the socket did not take; then
// nothing has been waited for. The error is errStale where nothing was sent.
func (f *far) ask(out, in []byte) (left []byte, n int, err error) {
	f.out, f.in, f.step, f.n, f.failed = out, in, looking, 0, nil
	err = f.raw.Read(f.ready)
	left = f.out
	f.out, f.in = nil, nil
	switch {
	case f.step == looking:
		return nil, 0, errStale
	case f.failed != nil:
		return nil, 0, f.failed
	}
	return left, f.n, err
}

// mayRepeat: a service may close an unused connection in the moment in which it
// is used again. A request that failed with err is sent once more, over a new
// connection, if nothing came back and either nothing of it went out or it is
// repeatable: safe and without a body (RFC 9110 section 9.2.2). A POST is never
// sent twice.
func (f *far) mayRepeat(err error, repeatable bool) bool {
	var named *gate.Refusal
	if errors.As(err, &named) || !f.reused || f.heard {
		return false
	}
	return !f.told || repeatable
}

// unasked reports bytes, or an end, that came without a request: in the socket,
// or in what TLS has read of it together with the answer before.
func (f *far) unasked() bool {
	if something, _ := f.glance.see(); something {
		return true
	}
	secure, ok := f.Conn.(*tls.Conn)
	if !ok {
		return false
	}
	secure.SetReadDeadline(longAgo) // of the socket nothing is read
	f.read.forget()
	n, err := secure.Read(make([]byte, 1))
	return n > 0 || !isTimeout(err)
}

// below is the socket under TLS.
func below(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
