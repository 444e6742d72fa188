//go:build unix

package fastlane

import (
	"net"
	"syscall"
)

// canTry: a socket can be read without holding a buffer while nothing comes.
const canTry = true

// tryRead reads from a socket that may have nothing. It takes a turn, and so a
// buffer, only for bytes that are there. It returns false to be called again
// when something has come.
func (c *conn) tryRead(fd uintptr) bool {
	t := c.lane.turn(c)
	for {
		n, err := syscall.Read(int(fd), t.in.buf)
		switch {
		case err == syscall.EINTR:
			continue
		case n > 0:
			t.in.w = n
			c.turn = t
			return true
		}
		t.release()
		if err == syscall.EAGAIN {
			return false
		}
		c.failed = orEOF(err)
		return true
	}
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
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	g := &glance{}
	g.raw, _ = s.SyscallConn()
	g.look = func(fd uintptr) {
		g.n, _, g.error = syscall.Recvfrom(int(fd), g.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}
	return g
}

// see looks for something to read: bytes, or the peer's end.
func (g *glance) see() (something, ended bool) {
	if g == nil || g.raw == nil {
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
