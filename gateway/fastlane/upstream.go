package fastlane

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

const (
	connectTimeout = 5 * time.Second
	// idleUpstream is how long an unused connection is kept. The usual servers
	// drop theirs later (uvicorn and Node after 5 s), and a POST that meets a
	// connection in the moment of its closing is lost: it must not be sent again.
	idleUpstream = 4 * time.Second
	// mostIdle bounds the unused connections to one service.
	mostIdle = 1024
)

// Upstream is one service as this lane reaches it: a pool of HTTP/1.1
// connections. The one that was used last is used first, so that few stay busy
// and the others grow old.
type Upstream struct {
	cfg  upstream.Config
	dial func(context.Context) (net.Conn, error)
	h2   *streams // of an h2c service: requests that are no WebSockets go there

	mu     sync.Mutex // guards what follows
	unused []*far     // the one used last is at the end
	open   int        // connections, unused and in use
	reaper *time.Timer
	closed bool
}

// NewUpstream prepares the way to a service; it dials nothing. It fails for an
// unknown scheme and for PEM texts that cannot be used.
func NewUpstream(cfg upstream.Config) (*Upstream, error) {
	cfg, err := cfg.Complete()
	if err != nil {
		return nil, err
	}
	u := &Upstream{cfg: cfg}
	network := "tcp"
	if cfg.Scheme == "unix" {
		network = "unix"
	}
	d := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	u.dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, network, cfg.Address) }
	switch cfg.Scheme {
	case "h2c":
		u.h2 = newStreams(cfg, u.dial)
	case "https":
		err = u.secure()
	}
	return u, err
}

// secure puts TLS over what is dialled. HTTP/1.1 is all that is offered: an
// answer to a client of HTTP/1 is read by this lane's own rules.
func (u *Upstream) secure() error {
	c, err := u.cfg.TLS.Client()
	if err != nil {
		return err
	}
	c.NextProtos = []string{"http/1.1"}
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(u.cfg.Address) // the scheme's addresses have ports
	}
	plain := u.dial
	u.dial = func(ctx context.Context) (net.Conn, error) {
		raw, err := plain(ctx)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		t := tls.Client(raw, c)
		if err := t.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return t, nil
	}
	return nil
}

// Fast makes an Upstream what this lane looks for in [gate.Service].
func (u *Upstream) Fast() *Upstream { return u }

// Close ends unused connections, and the others after their answer. It is for
// an upstream that a reload has replaced.
func (u *Upstream) Close() {
	u.mu.Lock()
	unused := u.unused
	u.unused, u.closed = nil, true
	u.open -= len(unused)
	u.mu.Unlock()
	for _, f := range unused {
		f.Close()
	}
	if u.h2 != nil {
		u.h2.Close()
	}
}

// take returns a connection: the one used last, or a new one. With look it is
// known to be clean; without, the caller has to look before it writes. It never
// waits for another request's: more than the service may have is
// [gate.ErrNoConnection] at once.
func (u *Upstream) take(ctx context.Context, now time.Time, fresh, look bool) (*far, error) {
	for !fresh {
		f := u.pop()
		if f == nil {
			break
		}
		// Bytes that nobody asked for must not become the next caller's answer
		// (hardening: a service that answers twice poisons a shared connection).
		stale := now.Sub(f.since) > idleUpstream
		if !stale && (look || f.raw == nil) {
			stale = f.unasked()
		}
		if stale {
			u.drop(f)
			continue
		}
		f.reused = true
		return f, nil
	}
	if !u.enter() {
		return nil, gate.ErrNoConnection
	}
	c, err := u.dial(ctx)
	if err != nil {
		u.leave()
		return nil, &gate.Refusal{Reason: gate.ReasonUpstreamUnreachable, Err: err}
	}
	return newFar(c), nil
}

func (u *Upstream) pop() *far {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.unused)
	if n == 0 {
		return nil
	}
	f := u.unused[n-1]
	u.unused[n-1] = nil
	u.unused = u.unused[:n-1]
	return f
}

// give puts a clean connection back.
func (u *Upstream) give(f *far, now time.Time) {
	f.since = now
	u.mu.Lock()
	if u.closed || len(u.unused) >= mostIdle {
		u.mu.Unlock()
		u.drop(f)
		return
	}
	u.unused = append(u.unused, f)
	if u.reaper == nil {
		u.reaper = time.AfterFunc(idleUpstream, u.reap)
	}
	u.mu.Unlock()
}

// drop ends a connection.
func (u *Upstream) drop(f *far) {
	f.Close()
	u.leave()
}

func (u *Upstream) enter() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cfg.MaxConns > 0 && u.open >= u.cfg.MaxConns {
		return false
	}
	u.open++
	return true
}

func (u *Upstream) leave() {
	u.mu.Lock()
	u.open--
	u.mu.Unlock()
}

// reap ends the connections that have not been used for too long: those at the
// beginning.
func (u *Upstream) reap() {
	now := time.Now()
	u.mu.Lock()
	n := 0
	for n < len(u.unused) && now.Sub(u.unused[n].since) >= idleUpstream {
		n++
	}
	old := append([]*far(nil), u.unused[:n]...)
	u.unused = append(u.unused[:0], u.unused[n:]...)
	clear(u.unused[len(u.unused) : len(u.unused)+n])
	u.open -= n
	u.reaper = nil
	if len(u.unused) > 0 {
		u.reaper = time.AfterFunc(idleUpstream-now.Sub(u.unused[0].since), u.reap)
	}
	u.mu.Unlock()
	for _, f := range old {
		f.Close()
	}
}
