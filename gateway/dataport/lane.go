package dataport

import "context"

// Lane reads connections of one protocol family, HTTP/1 or HTTP/2; one lane may
// read both.
type Lane interface {
	// ServeConn takes over a connection of which it reads every byte from the
	// first one: [Conn.Read] replays what was read to find the protocol. It is
	// called on a goroutine of the connection's own, with a read deadline that
	// ends the time for a first request's head; it may return before the
	// connection ends. The lane closes c.
	ServeConn(c *Conn)
	// EndIdle asks an HTTP/1 connection in [StateIdle] to end, unless its next
	// request has begun to arrive. It is called again and again during a drain,
	// from another goroutine than ServeConn.
	EndIdle(c *Conn)
	// Shutdown is called once, when no listener is open and no HTTP/1 connection
	// but tunnels is left: it tells multiplexed connections to leave (GOAWAY), and
	// waits for their streams until ctx ends, whose error it then returns.
	Shutdown(ctx context.Context) error
	// Close ends everything at once; the port then closes what is still open.
	Close() error
}
