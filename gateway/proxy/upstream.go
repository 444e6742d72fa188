package proxy

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/upstream"
)

const (
	connectTimeout = 5 * time.Second
	// Idle connections are dropped before the usual servers drop them (uvicorn
	// and Node after 5 s), since a POST that meets a connection in the moment
	// of its closing is lost: it must not be sent again.
	idleUpstream = 4 * time.Second
	// maxIdleUpstream bounds the idle connections of one pool. The default of
	// 2 for a host makes a proxy dial for nearly every request under load.
	maxIdleUpstream = 512
	maxAnswerHead   = 256 << 10
)

// Upstream is one service as this lane reaches it: its pool of connections and
// its ReverseProxy, both made once.
type Upstream struct {
	cfg    upstream.Config
	scheme string // of outbound URLs
	host   string // authority of outbound URLs
	pool   *http.Transport
	// tunnels makes the connections of WebSockets, which need HTTP/1.1 whatever
	// else the service speaks.
	tunnels *http.Transport
	proxy   *httputil.ReverseProxy
	// speaksH2 is set once an answer came over HTTP/2.
	speaksH2 atomic.Bool
	// carrying counts the exchanges that have a connection of their own.
	carrying atomic.Int64
}

// enter takes a connection's place for an exchange. Over the limit it is refused at once:
// http.Transport alone would let it wait. Over HTTP/2 exchanges share connections.
func (u *Upstream) enter() bool {
	n := u.carrying.Add(1)
	return u.cfg.MaxConns <= 0 || n <= int64(u.cfg.MaxConns) || u.speaksH2.Load()
}

func (u *Upstream) leave() { u.carrying.Add(-1) }

// NewUpstream makes the pool for one service. It dials nothing. It fails for
// an unknown scheme and for PEM texts that cannot be used.
//
// Where the service speaks HTTP/1.1 without TLS, over carries the requests that
// are no WebSockets, in place of net/http's client; nil means that one.
func NewUpstream(cfg upstream.Config, over http.RoundTripper) (*Upstream, error) {
	cfg, err := cfg.Complete()
	if err != nil {
		return nil, err
	}
	u := &Upstream{cfg: cfg, scheme: "http", host: cfg.Address}
	dial := dialer("tcp", "")
	switch cfg.Scheme {
	case "https":
		u.scheme = "https"
	case "unix":
		u.host = "localhost"
		dial = dialer("unix", cfg.Address)
	}
	var transport http.RoundTripper
	switch cfg.Scheme {
	case "http", "unix":
		u.pool = newPool(cfg, clean(dial))
		if transport = over; over == nil {
			transport = reusing{u.pool}
		}
	case "h2c":
		u.pool = newPool(cfg, gathering(dial))
		transport = u.pool
	default:
		u.pool = newPool(cfg, dial)
		transport = u.pool
	}
	if err := u.secure(); err != nil {
		return nil, err
	}
	u.tunnels = u.pool
	if cfg.Scheme == "h2c" {
		u.pool.Protocols = new(http.Protocols)
		u.pool.Protocols.SetUnencryptedHTTP2(true)
		u.tunnels = newPool(cfg, dial)
		u.speaksH2.Store(true)
	}
	u.proxy = &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      transport,
		ModifyResponse: modifyResponse,
		ErrorHandler:   handleError,
		BufferPool:     buffers,
		ErrorLog:       discard, // the record says what happened
	}
	return u, nil
}

// newPool makes a transport that does nothing of its own accord: no proxy from
// the environment, no compression, no redirects, no cookies.
func newPool(cfg upstream.Config, dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		DisableCompression:     true,
		MaxIdleConns:           maxIdleUpstream,
		MaxIdleConnsPerHost:    maxIdleUpstream,
		MaxConnsPerHost:        cfg.MaxConns,
		IdleConnTimeout:        idleUpstream,
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: maxAnswerHead,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}
}

// secure prepares TLS towards the service.
func (u *Upstream) secure() error {
	if u.cfg.Scheme != "https" {
		return nil
	}
	c, err := u.cfg.TLS.Client()
	if err != nil {
		return err
	}
	u.pool.TLSClientConfig = c
	u.pool.Protocols = new(http.Protocols)
	u.pool.Protocols.SetHTTP1(true)
	u.pool.Protocols.SetHTTP2(true)
	return nil
}

// Standard makes an Upstream what this lane looks for in [gate.Service].
func (u *Upstream) Standard() *Upstream { return u }

// Close drops idle connections. Requests in flight are not disturbed; it is
// for an upstream that a reload has replaced.
func (u *Upstream) Close() {
	u.pool.CloseIdleConnections()
	u.tunnels.CloseIdleConnections()
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// errDial marks that no connection was made, so that nothing was sent.
type errDial struct{ error }

func (e errDial) Unwrap() error { return e.error }

// dialer returns a DialContext; with a path it ignores what it is asked for.
func dialer(network, path string) dialFunc {
	d := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		if path != "" {
			address = path
		}
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, errDial{err}
		}
		return c, nil
	}
}

// gathering wraps what dial returns for HTTP/2.
func gathering(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return upstream.Gather(c), nil
	}
}

// buffers are the copy buffers of all upstreams.
var buffers = &bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}}

type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte { return b.pool.Get().(*[32 << 10]byte)[:] }

func (b *bufferPool) Put(buf []byte) { b.pool.Put((*[32 << 10]byte)(buf)) }
