package fastlane

import (
	"context"
	"sync"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/gate"
)

// Config is what the lane needs to know before it knows a request's service.
// Zero values mean the defaults that stand beside them.
type Config struct {
	HeadTimeout time.Duration // from a request's first byte to its head's last: 10s
	IdleTimeout time.Duration // a kept-alive connection without a request: 75s
	HeadMax     int64         // bytes of a request's head: 64 KiB
}

func (c Config) withDefaults() Config {
	if c.HeadTimeout <= 0 {
		c.HeadTimeout = 10 * time.Second
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 75 * time.Second
	}
	if c.HeadMax <= 0 {
		c.HeadMax = 64 << 10
	}
	return c
}

// Lane is the fast lane. It is a [dataport.Lane] for HTTP/1.
type Lane struct {
	gate  *gate.Gate
	cfg   Config
	turns sync.Pool // *turn
	ctx   context.Context
	end   context.CancelFunc
}

var _ dataport.Lane = (*Lane)(nil)

// New returns a lane around g. It opens nothing.
func New(g *gate.Gate, cfg Config) *Lane {
	l := &Lane{gate: g, cfg: cfg.withDefaults()}
	l.ctx, l.end = context.WithCancel(context.Background())
	l.turns.New = func() any { return newTurn(l) }
	return l
}

// ServeConn serves c to its end.
func (l *Lane) ServeConn(c *dataport.Conn) { newConn(l, c).serve() }

// EndIdle makes a connection that waits for a request stop waiting. A request
// of which something has arrived is still served.
func (l *Lane) EndIdle(c *dataport.Conn) {
	if c, ok := c.Owner.(*conn); ok {
		c.endIdle()
	}
}

// Shutdown has nothing to do: in HTTP/1 a connection ends with its answer.
func (l *Lane) Shutdown(context.Context) error { return nil }

// Close lets go of requests that wait for keys or for a connection; the port
// closes the sockets.
func (l *Lane) Close() error {
	l.end()
	return nil
}
