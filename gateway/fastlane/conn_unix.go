//go:build unix

package fastlane

import (
	"net"
	"syscall"
)

// rawOf is how a socket is read without waiting; nil for what is no socket.
func rawOf(c net.Conn) syscall.RawConn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readable is called when something may have come, and serves it: a request
// that has come whole, which needs nothing more of the client, is answered here,
// and the next one waited for by returning false. A read which would only find
// that the client is not as fast as that is saved: the poller calls again
// whatever has come since. Everything else is left to serve by returning true.
//
// The socket must not be read or closed otherwise from within.
func (c *conn) readable(fd uintptr) bool {
	for {
		found, all := c.take(fd)
		if !found {
			return c.failed != nil
		}
		t := c.turn
		if !t.arrived() {
			return true
		}
		c.stopWaiting()
		c.fd = fd
		t.exchange()
		if t.ends() || t.in.r < t.in.w {
			c.served = true
			return true
		}
		c.turn = nil
		c.startWaiting(t.now)
		t.release()
		if all {
			return false
		}
	}
}

// writeSome writes what the socket takes at once, where readable has it in hand,
// and returns what is left for the ordinary way.
func (c *conn) writeSome(p []byte) []byte {
	if c.fd == noSocket {
		return p
	}
	n, _ := writeNow(c.fd, p) // an error shows again in the ordinary way
	return p[max(n, 0):]
}

// take reads what is there into a new turn. A buffer is held only for bytes that
// have come. all says that there was no more.
func (c *conn) take(fd uintptr) (found, all bool) {
	t := c.lane.turn(c)
	n, err := readNow(fd, t.in.buf)
	for err == syscall.EINTR {
		n, err = readNow(fd, t.in.buf)
	}
	if n > 0 {
		t.in.w, c.turn = n, t
		return true, n < len(t.in.buf)
	}
	t.release()
	if err != syscall.EAGAIN {
		c.failed = orEOF(err)
	}
	return false, true
}

// readable looks, sends and reads, in this order: see sendAndWait. It returns
// true when there is no more to wait for.
func (f *far) readable(fd uintptr) bool {
	if f.step == waiting {
		return f.receive(fd)
	}
	n, err := readNow(fd, f.in[:1])
	for err == syscall.EINTR {
		n, err = readNow(fd, f.in[:1])
	}
	if n >= 0 || err != syscall.EAGAIN {
		return true
	}
	f.step = waiting
	return !f.transmit(fd)
}

// transmit writes the request, and reports whether all of it has gone.
func (f *far) transmit(fd uintptr) bool {
	n, err := writeNow(fd, f.out)
	if n > 0 {
		f.told = true
		f.out = f.out[n:]
	}
	if err != nil && err != syscall.EAGAIN && err != syscall.EINTR && !f.told {
		f.failed = err
	}
	return len(f.out) == 0
}

// receive reads what has come of the answer.
func (f *far) receive(fd uintptr) bool {
	n, err := readNow(fd, f.in)
	switch {
	case n > 0:
		f.n, f.heard = n, true
	case err == syscall.EAGAIN, err == syscall.EINTR:
		return false
	default:
		f.failed = orEOF(err)
	}
	return true
}

// glance looks into a socket without waiting. It is made once for a connection,
// so that looking allocates nothing.
type glance struct {
	raw   syscall.RawConn
	look  func(fd uintptr)
	one   [1]byte
	n     int
	error error
}

// newGlance is nil for what is no socket.
func newGlance(c net.Conn) *glance {
	g := &glance{raw: rawOf(c)}
	if g.raw == nil {
		return nil
	}
	g.look = func(fd uintptr) {
		g.n, _, g.error = syscall.Recvfrom(int(fd), g.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}
	return g
}

// see looks for something to read: bytes, or the peer's end.
func (g *glance) see() (something, ended bool) {
	if g == nil {
		return false, false
	}
	if g.raw.Control(g.look) != nil {
		return true, true
	}
	switch {
	case g.error == syscall.EAGAIN || g.error == syscall.EINTR:
		return false, false
	case g.error != nil:
		return true, true
	}
	return true, g.n == 0
}
