package proxy

import (
	"context"
	"net"
	"net/http"
	"time"

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
			return context.WithValue(ctx, connKey{}, clientOf(outer))
		},
		ConnState: p.moved,
	}
	if s.ErrorLog == nil {
		s.ErrorLog = discard
	}
	s.Protocols.SetHTTP1(p.cfg.HTTP1)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// Shutdown sends a GOAWAY over each HTTP/2 connection, and waits for its streams and for all
// tunnels. It may only run when HTTP/1 has ended: net/http discards a request that it reads
// after its start.
func (p *Proxy) Shutdown(ctx context.Context) error {
	if err := p.server.Shutdown(ctx); err != nil {
		return err
	}
	return p.awaitTunnels(ctx)
}

// awaitTunnels waits for those that http.Server no longer knows.
func (p *Proxy) awaitTunnels(ctx context.Context) error {
	for p.tunnels.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Close ends everything at once.
func (p *Proxy) Close() error {
	p.end(gate.ErrDrained)
	return p.server.Close()
}
