package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	_ "github.com/scopegate/scopegate/gateway/proxy/xconnect" // before net/http
	"github.com/scopegate/scopegate/gateway/upstream"
)

// Proxy is the standard lane: an http.Handler around a gate, and the server
// that runs it on the connections of a [dataport.Port].
type Proxy struct {
	gate    *gate.Gate
	cfg     Config
	server  *http.Server
	queue   *queue
	serving sync.Once // the server begins with the first connection

	// ending is done when a drain's time is up; streams and tunnels end then.
	ending  context.Context
	end     context.CancelCauseFunc
	tunnels atomic.Int64 // open, being opened, or not recorded yet
}

// New returns the lane around g. It opens nothing.
func New(g *gate.Gate, cfg Config) *Proxy {
	p := &Proxy{gate: g, cfg: cfg.withDefaults(), queue: newQueue()}
	p.ending, p.end = context.WithCancelCause(context.Background())
	p.server = p.newServer()
	return p
}

// exchange is one request in this lane: the gate's exchange, and both ends.
type exchange struct {
	x     gate.Exchange
	in    gate.Request
	proxy *Proxy
	conn  *client // nil where the handler runs without a data port
	up    *Upstream
	r     *http.Request
	w     response
	body  *inbound // nil without one
	watch watch

	client context.Context // ends when the client goes away
	ctx    context.Context // ends with that, the watch or a drain
	cancel context.CancelCauseFunc

	socket    bool    // a WebSocket is asked for
	tunnels   bool    // it is counted as a tunnel
	carried   int64   // bytes that a tunnel brought from an HTTP/1.1 client
	far       *pooled // the connection to the service, where reuse is watched
	turn      uint64  // of far, that this request was given
	sent      time.Time
	waited    time.Duration // until the service's head
	cut       atomic.Pointer[cut]
	completed bool // the answer went out whole
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// ServeHTTP is the life of one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := p.begin(w, r)
	defer e.finish() // one record, whatever happens below

	if err := e.admit(); err != nil {
		e.refuse(err)
		return
	}
	defer e.up.leave()
	if !e.up.enter() {
		e.refuse(gate.ErrNoConnection)
		return
	}
	e.forward()
}

// begin reads the request as net/http shows it.
func (p *Proxy) begin(w http.ResponseWriter, r *http.Request) *exchange {
	e := &exchange{proxy: p, client: r.Context()}
	e.w = response{ResponseWriter: w, e: e}
	e.conn, _ = r.Context().Value(connKey{}).(*client)
	if e.conn != nil {
		e.conn.handled.Add(1)
	}
	e.watch.Limits = gate.Timeouts{}.WithDefaults()
	e.ctx, e.cancel = context.WithCancelCause(context.WithValue(e.client, exchangeKey{}, e))
	e.r = r.WithContext(e.ctx) // a copy: net/http looks at its own when the answer is written
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		e.body = &inbound{ReadCloser: r.Body, watch: &e.watch, length: r.ContentLength}
		e.r.Body = e.body
	}
	e.read()
	p.gate.Begin(&e.x, &e.in)
	return e
}

// read fills in what the gate judges: the target as it stood on the wire, not
// the URL that net/http made of it.
func (e *exchange) read() {
	r := e.r
	e.in = gate.Request{
		Method:     r.Method,
		Target:     r.RequestURI,
		Hosts:      hostsOf(r),
		ProtoMajor: r.ProtoMajor,
		ProtoMinor: r.ProtoMinor,
		Header:     header(r.Header),
		TLS:        r.TLS != nil,
	}
	if e.conn != nil {
		e.in.Peer = e.conn.Peer()
	} else {
		e.in.Peer, _ = netip.ParseAddrPort(r.RemoteAddr)
	}
	for name, values := range r.Header {
		if gate.IsOverride(name) {
			e.in.Overrides = append(e.in.Overrides, values...)
		}
	}
	if e.asksForSocket() {
		e.socket = true
		e.in.Method = http.MethodGet // RFC 8441: what CONNECT opens here, GET opens in HTTP/1.1
	}
}

// hostsOf returns every host that the request names. net/http refuses several
// Host fields itself, and takes Host out of the fields in HTTP/1 only.
func hostsOf(r *http.Request) []string {
	fields := r.Header["Host"]
	if r.Host == "" {
		return fields
	}
	if len(fields) == 0 {
		return []string{r.Host}
	}
	return append([]string{r.Host}, fields...)
}

// admit asks what only this lane can see, then the gate, then what depends on
// the service.
func (e *exchange) admit() error {
	if err := e.wellFormed(); err != nil {
		return err
	}
	if err := e.x.Admit(e.ctx); err != nil {
		return err
	}
	up, ok := e.x.Service().Upstream.(interface{ Standard() *Upstream })
	if !ok {
		return errors.New("the service has no upstream of this lane")
	}
	e.up = up.Standard()
	return e.fits()
}

// wellFormed checks what a policy has no say in.
func (e *exchange) wellFormed() error {
	if err := upstream.CheckHead(int64(len(e.r.RequestURI)), headSize(e.r), e.proxy.cfg.HeadMax); err != nil {
		return err
	}
	if err := gate.CheckExpect(&e.in, e.body != nil); err != nil {
		return err
	}
	if e.r.Method == http.MethodConnect && e.r.Header[protocolField] != nil && !e.socket {
		return gate.ErrProtocol
	}
	return nil
}

// fits holds the request against the service's limits, and a wish for a
// WebSocket against the route.
func (e *exchange) fits() error {
	if err := e.up.cfg.Fits(int64(len(e.r.RequestURI)), headSize(e.r), e.r.ContentLength); err != nil {
		return err
	}
	if !e.socket {
		return nil
	}
	if !e.x.Match().Route.Upgrade("websocket") {
		if e.r.Method == http.MethodConnect {
			return gate.ErrProtocol
		}
		e.socket = false // an ordinary GET: its Upgrade ends here
		return nil
	}
	return gate.CheckHandshake(&e.in, e.r.ContentLength != 0)
}

// headSize measures the head as HTTP/1.1 would write it.
func headSize(r *http.Request) int64 {
	size := int64(len(r.Method) + len(r.RequestURI) + len(r.Host) + 24) // " HTTP/1.1", "Host: " and line ends
	for name, values := range r.Header {
		for _, v := range values {
			size += int64(len(name) + len(v) + 4)
		}
	}
	return size
}

// finish leaves the one record, also when an answer was cut short: ReverseProxy
// panics with http.ErrAbortHandler then, on its way to net/http, which makes an
// early end of the connection or a reset of the stream of it.
func (e *exchange) finish() {
	e.watch.finish()
	outcome := gate.Outcome{
		Status:   e.w.status,
		BytesIn:  e.body.bytes() + e.carried,
		BytesOut: e.w.bytes,
		Upstream: e.waited,
	}
	if !e.completed {
		outcome.Err = e.faultOf(e.whyCut())
		e.showCut()
	}
	e.countReset()
	e.cancel(nil)
	e.release()
	e.x.End(outcome)
	if e.tunnels {
		e.proxy.tunnels.Add(-1)
	}
}

// showCut makes an incomplete answer visible where the end of the connection
// would otherwise pass for the end of the answer: to HTTP/1.0.
func (e *exchange) showCut() {
	if e.conn != nil && e.r.ProtoMajor == 1 && e.r.ProtoMinor == 0 {
		e.conn.Abort()
	}
}

// countReset ends a connection whose client keeps taking its requests back.
func (e *exchange) countReset() {
	if e.conn == nil || e.r.ProtoMajor != 2 || e.client.Err() == nil {
		return
	}
	if !e.conn.reset.spend(time.Now()) {
		e.conn.Close()
	}
}

// discard is where net/http's own messages go when nobody wants them.
var discard = log.New(io.Discard, "", 0)
