package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// pooled is a connection to a service that speaks HTTP/1.1 without TLS. It is
// looked at before it is used again: what a service sends unasked behind an
// answer must not become the answer to the next request, and a connection that
// the service has closed must not cost a POST. http.Transport
// ends an idle connection on which something comes, but not if the next request
// is faster. Two gaps remain: what comes in one segment with an answer while
// another request waits for the connection, which the fast lane's client does not
// have, and what comes after the next request was written, which no reader can
// tell from its answer. It stands where net/http's client is asked to carry all
// requests: see [NewUpstream].
type pooled struct {
	net.Conn
	mu    sync.Mutex // guards what follows
	turn  uint64     // counts the requests that were given this connection
	ready bool       // of the current one nothing has been written yet
	idle  bool       // the answer to the last one has been read to its end
	stray bool       // something came while idle
}

var errStray = errors.New("the connection is not clean: the service closed it or sent something unasked")

// assign gives the connection to a request, and returns its turn.
func (c *pooled) assign() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	c.ready = true
	return c.turn
}

// answered notes that the answer to a turn is complete.
func (c *pooled) answered(turn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == turn && !c.ready {
		c.idle = true
	}
}

// Read keeps back what comes between an answer and the next request.
func (c *pooled) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle {
		c.stray = true
		return 0, errStray
	}
	return n, err
}

// Write begins a request only on a clean connection. If it is not, nothing has
// been written, and the request may be sent over another one, POST included.
func (c *pooled) Write(p []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *pooled) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready {
		return nil
	}
	c.ready = false
	if c.stray || c.turn > 1 && pending(c.Conn) {
		return errStray
	}
	c.idle = false
	return nil
}

// CloseWrite is for the end of a tunnel.
func (c *pooled) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// clean wraps what dial returns.
func clean(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &pooled{Conn: c}, nil
	}
}

// reusing is the transport of a ReverseProxy: it tells the exchange which
// connection it was given.
type reusing struct{ *http.Transport }

// RoundTrip adds to the trace that ReverseProxy made for this request alone.
func (r reusing) RoundTrip(out *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(out.Context()); trace != nil {
		trace.GotConn = exchangeOf(out.Context()).gotConn
	}
	return r.Transport.RoundTrip(out)
}

func (e *exchange) gotConn(info httptrace.GotConnInfo) {
	if c, ok := info.Conn.(*pooled); ok {
		e.far, e.turn = c, c.assign()
	}
}

// answerEnded is called when the service's answer has been read to its end.
func (e *exchange) answerEnded() {
	if e.far != nil {
		e.far.answered(e.turn)
	}
}

// again gives the transport the body once more, for a request that met an
// unclean connection before any of it was read.
func (e *exchange) again() (io.ReadCloser, error) {
	if e.body.bytes() > 0 || e.body.whole.Load() {
		return nil, errors.New("some of the body has been sent")
	}
	return io.NopCloser(e.body), nil
}
