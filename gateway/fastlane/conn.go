package fastlane

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
)

// conn is a client's connection. While it waits for a request it holds no
// buffer; what a request needs is in its turn.
type conn struct {
	*dataport.Conn
	lane  *Lane
	plain net.Conn        // what is read and written: the socket where there is no TLS
	raw   syscall.RawConn // of a plain socket; nil: waiting needs a buffer
	read  deadline
	write deadline

	// What readable has left for await.
	ready  func(fd uintptr) bool // readable, bound once
	turn   *turn
	fd     uintptr // while readable runs; else noSocket
	served bool    // the turn's exchange is over
	failed error
	byte   [1]byte // what readRecord waits with

	glance *glance   // made when it is first needed
	since  time.Time // when the last request was over

	idle    sync.Mutex // guards waiting, and the read deadline while waiting
	waiting bool
}

const noSocket = ^uintptr(0)

func newConn(l *Lane, c *dataport.Conn) *conn {
	own := &conn{Conn: c, lane: l, plain: c, fd: noSocket}
	if !c.Secure() {
		own.plain = c.Socket()
		own.raw = rawOf(own.plain)
		own.ready = own.readable
	}
	own.read.arm = own.plain.SetReadDeadline
	own.write.arm = own.plain.SetWriteDeadline
	c.Owner = own
	return own
}

// serve is the connection's life.
func (c *conn) serve() {
	defer c.Close()
	t := c.first()
	for t != nil {
		if !c.served {
			t.exchange()
		}
		c.served = false
		again := t.settle()
		switch {
		case !again:
			t.release()
			return
		case t.in.r < t.in.w: // the next request is there already
			t.in.keep()
		default:
			now := t.now
			t.release()
			t = c.await(now)
		}
	}
}

// first is the turn of the first request, whose first bytes the port has read.
func (c *conn) first() *turn {
	c.Become(dataport.StateActive)
	t := c.lane.turn(c)
	t.in.w = copy(t.in.buf, c.Early())
	if t.in.w == 0 { // over TLS the port has read none
		if t.in.w, _ = c.plain.Read(t.in.buf); t.in.w == 0 {
			t.release()
			return nil
		}
	}
	return t
}

// await waits for the next request and reads what comes first of it; most
// requests it serves itself, see readable. It returns the turn of one that
// needs more, or of one behind which the connection ends; nil where there is
// none: the client has closed, the time is up, or the port drains.
func (c *conn) await(now time.Time) *turn {
	c.startWaiting(now)
	for {
		t, err := c.readFirst()
		interrupted := c.stopWaiting()
		switch {
		case err == nil || !isTimeout(err):
			return t
		case interrupted:
			return c.lastLook() // what came in the moment of the interruption
		}
		now := time.Now()
		left := c.lane.cfg.IdleTimeout - now.Sub(c.since)
		if left <= 0 {
			return nil
		}
		c.keepWaiting(now, left, slackOf(left))
	}
}

// firstLook is how long an idle connection waits for the poller alone, before it
// is read from once more: the poller reports a client's end together with the
// last bytes before it, and only once.
const firstLook = time.Second

// startWaiting begins to wait for a request; now is when the last one was over.
func (c *conn) startWaiting(now time.Time) {
	c.since = now
	if limit := c.lane.cfg.IdleTimeout; c.raw == nil || limit < firstLook {
		c.keepWaiting(now, limit, slackOf(limit))
	} else {
		c.keepWaiting(now, firstLook, firstLook)
	}
}

func (c *conn) keepWaiting(now time.Time, limit, slack time.Duration) {
	c.idle.Lock()
	c.read.within(now, limit, slack)
	c.waiting = true
	c.idle.Unlock()
	c.Become(dataport.StateIdle)
}

// stopWaiting reports whether endIdle has set the time limit meanwhile.
func (c *conn) stopWaiting() (interrupted bool) {
	c.idle.Lock()
	interrupted = !c.waiting
	c.waiting = false
	if interrupted {
		c.read.forget()
	}
	c.idle.Unlock()
	c.Become(dataport.StateActive)
	return interrupted
}

func (c *conn) endIdle() {
	c.idle.Lock()
	defer c.idle.Unlock()
	if c.waiting {
		c.waiting = false
		c.plain.SetReadDeadline(longAgo)
	}
}

// readFirst waits until something has come that is to be served by serve.
func (c *conn) readFirst() (*turn, error) {
	if c.raw == nil {
		return c.readRecord()
	}
	c.turn, c.failed = nil, nil
	err := c.raw.Read(c.ready)
	c.fd = noSocket
	if err != nil {
		return nil, err
	}
	return c.turn, c.failed
}

// readRecord is readFirst over TLS. It waits with one byte, so that the turn is
// taken for a request that has come: the rest of its record waits in TLS.
func (c *conn) readRecord() (*turn, error) {
	n, err := c.plain.Read(c.byte[:])
	if n == 0 {
		return nil, orEOF(err)
	}
	t := c.lane.turn(c)
	t.in.w = copy(t.in.buf, c.byte[:n])
	return t, nil
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// lastLook reads what is there without waiting.
func (c *conn) lastLook() *turn {
	if c.raw == nil {
		return c.lastRecord()
	}
	c.turn, c.failed = nil, nil
	if err := c.raw.Control(func(fd uintptr) { c.take(fd) }); err != nil {
		return nil
	}
	return c.turn
}

// lastRecord is lastLook over TLS: where bytes have come, the rest of their
// record is waited for.
func (c *conn) lastRecord() *turn {
	if something, ended := newGlance(c.Socket()).see(); !something || ended {
		return nil
	}
	c.plain.SetReadDeadline(time.Now().Add(c.lane.cfg.HeadTimeout))
	c.read.forget()
	t, _ := c.readRecord() // without one the connection is over
	return t
}

// linger closes a connection on which the client may still be sending, without
// losing the answer: bytes that arrive at a closed socket reset it, and the
// reset overtakes what the client has not read (RFC 9112 section 9.6).
func (c *conn) linger() {
	const most, limit = 256 << 10, 500 * time.Millisecond
	if c.CloseWrite() != nil {
		return
	}
	c.plain.SetReadDeadline(time.Now().Add(limit))
	c.read.forget()
	io.CopyN(io.Discard, c.plain, most)
}

// gone reports, without waiting, that the client has closed the connection. One
// that has sent something before that is found out later, except over TLS, where
// everybody sends a close_notify first.
func (c *conn) gone() bool {
	if c.Secure() && hungUp(c.Socket()) {
		return true
	}
	if c.glance == nil {
		c.glance = newGlance(c.Socket())
	}
	_, ended := c.glance.see()
	return ended
}
