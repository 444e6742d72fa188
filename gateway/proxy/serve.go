package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"github.com/scopegate/scopegate/gateway/gate"
)

const (
	// mostStreams bounds the requests in hand on one HTTP/2 connection.
	mostStreams = 128
	// What one HTTP/2 client may make the gateway hold of its bodies.
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
	// frameSize is the least that may be offered (RFC 9113 section 6.5.2). A frame is held whole
	// while it is read, beside the windows; net/http would offer 1 MiB, which no window takes.
	frameSize = 16 << 10
)

// connKey finds the connection of a request in its context.
type connKey struct{}

func (p *Proxy) newServer() *http.Server {
	limits := gate.Timeouts{}.WithDefaults()
	s := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: p.cfg.HeadTimeout,
		IdleTimeout:       p.cfg.IdleTimeout,
		// Above the limit that is checked here, so that the answer to a head
		// that is a little too large is the gate's.
		MaxHeaderBytes:               int(2 * p.cfg.HeadMax),
		DisableGeneralOptionsHandler: true, // OPTIONS * is the gate's to refuse
		ErrorLog:                     p.cfg.ErrorLog,
		Protocols:                    new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          mostStreams,
			MaxReadFrameSize:              frameSize,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			SendPingTimeout:               p.cfg.IdleTimeout,
			WriteByteTimeout:              limits.WriteIdle,
		},
		ConnContext: func(ctx context.Context, outer net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(outer))
		},
		ConnState: p.connState,
	}
	if s.ErrorLog == nil {
		s.ErrorLog = discard
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// Protocols are the names under which ALPN finds what is spoken here (RFC 7301 section 6), the
// best first. A client that offers others only is refused in the handshake; HTTP/1.0 has a name
// of its own, which curl offers alone with --http1.0.
func Protocols() []string { return []string{"h2", "http/1.1", "http/1.0"} }

// Serve accepts from l until [Proxy.Drain] or [Proxy.Close], after which it
// returns nil. With a TLS configuration every connection is TLS, and ALPN
// chooses between HTTP/2 and HTTP/1.1; without one HTTP/2 is spoken to clients
// that begin with its preface. Configurations that t.GetConfigForClient returns
// must name the [Protocols] themselves. One Proxy serves any number
// of listeners.
func (p *Proxy) Serve(l net.Listener, t *tls.Config) error {
	limited := &listener{Listener: l, set: p.conns, tls: t != nil}
	p.mu.Lock()
	p.listeners = append(p.listeners, limited)
	stopped := p.draining.Load()
	p.mu.Unlock()
	if stopped {
		l.Close()
		return nil
	}
	var accept net.Listener = limited
	if t != nil {
		// Not ServeTLS, which keeps its configuration in the one http.Server.
		t = t.Clone()
		t.NextProtos = Protocols()
		accept = tls.NewListener(limited, t)
	}
	err := p.server.Serve(accept)
	if limited.closing.Load() || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// connState follows the connections, and finds the requests that net/http
// refused by itself.
func (p *Proxy) connState(outer net.Conn, to http.ConnState) {
	c := p.conns.moved(outer, to)
	if c == nil || to != http.StateClosed || c.http2.Load() || c.begun.Load() <= c.handled.Load() {
		return
	}
	p.recordUnread(c)
}

// recordUnread records a request that never became one: what net/http refused
// before the handler ran can only be counted.
func (p *Proxy) recordUnread(c *conn) {
	refusal := &gate.Refusal{Reason: gate.ReasonMalformed, Status: int(c.status.Load()), Err: errors.New("refused while it was read")}
	switch {
	case refusal.Status == http.StatusRequestHeaderFieldsTooLarge:
		refusal.Reason = gate.ReasonHeadTooLarge
	case refusal.Status == http.StatusRequestTimeout, refusal.Status == 0 && c.timedOut.Load():
		refusal.Reason = gate.ReasonRequestTimeout
	case refusal.Status == 0:
		refusal.Reason = gate.ReasonClientClosed
	}
	var x gate.Exchange
	p.gate.Begin(&x, &gate.Request{Header: header(nil), Peer: c.peer})
	answer := x.Refuse(context.Background(), refusal)
	x.End(gate.Outcome{Status: answer.Status})
}

// Close ends everything at once.
func (p *Proxy) Close() error {
	p.draining.Store(true)
	p.mu.Lock()
	for _, l := range p.listeners {
		l.closing.Store(true)
		l.Listener.Close()
	}
	p.mu.Unlock()
	p.end(gate.ErrDrained)
	return p.server.Close()
}
