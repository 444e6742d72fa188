package dataport

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
)

// State is what a connection is busy with. A lane tells it by [Conn.Become].
type State int32

// The states of a connection. A drain ends connections in StateIdle, waits for
// those in StateNew and StateActive, and for tunnels last of all.
const (
	StateNew    State = iota // accepted, no request yet
	StateActive              // with a request in hand
	StateIdle                // kept alive, waiting for the next request
	StateTunnel              // switched to another protocol
)

// Conn is one client's connection. Reading, writing and deadlines are those of
// the socket, or of TLS over it.
type Conn struct {
	net.Conn // the socket, or the *tls.Conn over it

	// Owner is the lane's own: what it keeps about the connection. It is set in
	// ServeConn, before the first Become.
	Owner any

	port   *Port
	socket net.Conn
	peer   netip.AddrPort
	counts netip.Prefix // what it is counted under; zero: not counted by address
	state  atomic.Int32
	family atomic.Int32
	closed atomic.Bool

	// What was read to find the protocol: early[given:held] is still to be replayed.
	early       [len(preface)]byte
	held, given uint8
}

// The protocol families, as the first bytes tell them.
const (
	undecided int32 = iota
	http1
	http2
)

func (p *Port) newConn(raw net.Conn) *Conn {
	return &Conn{Conn: raw, port: p, socket: raw, peer: peerOf(raw)}
}

// Of finds the port's connection in what a server was given for it: the [Conn]
// itself, or its *tls.Conn. It is nil for any other.
func Of(c net.Conn) *Conn {
	switch c := c.(type) {
	case *Conn:
		return c
	case *tls.Conn:
		if b, ok := c.NetConn().(below); ok {
			return b.of
		}
	}
	return nil
}

// Read gives what was read to find the protocol, then what comes.
func (c *Conn) Read(p []byte) (int, error) {
	if c.given < c.held {
		n := copy(p, c.early[c.given:c.held])
		c.given += uint8(n)
		return n, nil
	}
	return c.Conn.Read(p)
}

// Early takes what Read would give before it goes to the socket, at most 24
// bytes, for a lane that has a buffer of its own. They are a view into c.
func (c *Conn) Early() []byte {
	b := c.early[c.given:c.held]
	c.given = c.held
	return b
}

// Socket is what lies below TLS. A lane may read and write it directly once it
// has taken Early, unless c is Secure. It is closed by c's methods only.
func (c *Conn) Socket() net.Conn { return c.socket }

// TLS is the connection's TLS, nil without. Closing it closes c.
func (c *Conn) TLS() *tls.Conn {
	t, _ := c.Conn.(*tls.Conn)
	return t
}

// Secure tells whether the connection is TLS.
func (c *Conn) Secure() bool { return c.TLS() != nil }

// HTTP2 tells whether the client began as HTTP/2 does, by ALPN or by the preface.
func (c *Conn) HTTP2() bool { return c.family.Load() == http2 }

// Peer is the client's address; zero for a unix socket.
func (c *Conn) Peer() netip.AddrPort { return c.peer }

// Become tells what the connection is busy with from now on. It costs one
// store: nothing is counted before somebody asks.
func (c *Conn) Become(s State) { c.state.Store(int32(s)) }

// State is what the connection is busy with.
func (c *Conn) State() State { return State(c.state.Load()) }

// Draining tells that the port is asked to stop, so that every answer carries
// Connection: close.
func (c *Conn) Draining() bool { return c.port.draining.Load() }

// Cut tells that the port was closed, be it because a drain's time was up: an
// exchange that ends now ends for that reason.
func (c *Conn) Cut() bool { return c.port.cut.Load() }

// Close ends the connection, over TLS with a close_notify, and gives its place
// to another. The second call returns [net.ErrClosed].
func (c *Conn) Close() error {
	if t := c.TLS(); t != nil {
		return t.Close() // which closes what is below it
	}
	return c.closeSocket()
}

// Abort ends the connection with a reset, so that a client which takes the end
// of the connection for the end of the answer sees that something is missing.
func (c *Conn) Abort() {
	if tcp, ok := c.socket.(*net.TCPConn); ok {
		tcp.SetLinger(0) // a failure leaves an ordinary close
	}
	c.closeSocket()
}

// CloseWrite tells the client that nothing more will come, so that an answer is
// not lost to the reset which follows on a body that nobody reads.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *Conn) closeSocket() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.port.conns.remove(c)
	return c.socket.Close()
}

// below is the connection as TLS sees it: the socket, whose end counts the
// connection out.
type below struct {
	net.Conn
	of *Conn
}

func (b below) Close() error { return b.of.closeSocket() }

// Write lets other streams of an HTTP/2 connection come as far as their next
// frame before it writes: net/http collects them meanwhile into one record.
func (b below) Write(p []byte) (int, error) {
	if b.of.HTTP2() {
		runtime.Gosched()
	}
	return b.Conn.Write(p)
}
