package fastlane

import (
	"errors"
	"net"
	"os"
	"time"
)

// deadline is the time limit of one direction of a connection. Arming a timer
// costs about what a read costs, so it is armed only where the one that stands
// would ring too soon or much too late: a limit may be exceeded by its slack.
type deadline struct {
	arm func(time.Time) error
	at  time.Time
}

// within makes the direction fail between limit and limit plus slack from now.
func (d *deadline) within(now time.Time, limit, slack time.Duration) {
	least := now.Add(limit)
	if left := d.at.Sub(least); left < 0 || left > slack {
		d.at = least.Add(slack)
		d.arm(d.at) // on a closed connection the next read or write says so
	}
}

// forget makes the next within arm: somebody else has set the time limit.
func (d *deadline) forget() { d.at = time.Time{} }

// slackOf is what a limit may be exceeded by.
func slackOf(limit time.Duration) time.Duration { return min(limit/8, time.Second) }

// longAgo as a deadline ends a read or write that is under way.
var longAgo = time.Unix(1, 0)

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// source is what has been read from one end and not yet been used: buf[r:w].
type source struct {
	buf  []byte
	r, w int
}

// rest is what has not been used.
func (s *source) rest() []byte { return s.buf[s.r:s.w] }

// keep makes what is left the beginning of the buffer. No view into the buffer
// may be in use.
func (s *source) keep() {
	s.w = copy(s.buf, s.buf[s.r:s.w])
	s.r = 0
}

// take replaces what is left by b.
func (s *source) take(b []byte) {
	s.r, s.w = 0, copy(s.buf, b) // b has been in a buffer of this size
}

// room makes place for at least one byte, in a buffer of at most most bytes.
func (s *source) room(most int) bool {
	if s.w < len(s.buf) {
		return true
	}
	if len(s.buf) >= most {
		return false
	}
	larger := make([]byte, min(2*len(s.buf), most))
	copy(larger, s.buf[:s.w])
	s.buf = larger
	return true
}

func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // if it fails, the other direction's end closes all
	}
}
