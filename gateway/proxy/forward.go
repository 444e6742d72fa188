package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// forward carries an admitted request to its service and the answer back.
func (e *exchange) forward() {
	w := &e.watch
	w.Limits = e.up.cfg.Timeouts
	w.Allowed = e.stillAllowed
	w.End = e.x.Deadline()
	w.stop = e.stop
	w.start()
	if e.socket {
		e.tunnel()
		return
	}
	if e.body != nil {
		e.body.most = e.up.cfg.BodyMax
		if e.r.ProtoMajor == 1 {
			// The service may answer while the client is still sending. An
			// error means a writer that is not net/http's, as in a test.
			http.NewResponseController(e.w.ResponseWriter).EnableFullDuplex()
		}
	}
	delete(e.r.Header, "Upgrade") // it ends here, and ReverseProxy fails over one that it cannot print
	e.up.proxy.ServeHTTP(&e.w, e.r)
	e.completed = true
}

// stop ends the exchange from outside: both ends are let go, whatever they
// are blocked in.
func (e *exchange) stop(err error) {
	e.cutBy(err)
	e.cancel(err)
	rc := http.NewResponseController(e.w.ResponseWriter)
	if e.unread() {
		// The transport does not return before its reading of the body has.
		var named *gate.Refusal
		if errors.As(err, &named) {
			e.body.failure.CompareAndSwap(nil, named)
		}
		rc.SetReadDeadline(longAgo)
	}
	if e.watch.Gives() {
		rc.SetWriteDeadline(longAgo)
	}
}

// longAgo as a deadline ends a read or write that is under way.
var longAgo = time.Unix(1, 0)

// stillAllowed asks the gate, and for a tunnel whether the route still has one.
func (e *exchange) stillAllowed() bool {
	route, ok := e.x.StillAllowed()
	return ok && (!e.socket || route.Upgrade("websocket"))
}

// rewrite is ReverseProxy's hook. It copies what was decided, nothing more.
func rewrite(pr *httputil.ProxyRequest) { exchangeOf(pr.In.Context()).rewrite(pr.Out) }

// rewrite makes of out the request that was judged.
func (e *exchange) rewrite(out *http.Request) {
	query, hasQuery := e.x.Query()
	out.Method = e.x.Method()
	out.URL = &url.URL{
		Scheme: e.up.scheme,
		Host:   e.up.host,
		// Opaque goes to the wire as it is; a parsed path would be encoded anew.
		Opaque:     e.x.Request().Path,
		RawQuery:   query,
		ForceQuery: hasQuery,
	}
	out.Host = e.x.Host()
	if out.Host == "" {
		out.Host = e.up.cfg.Host
	}
	out.Header = e.fields(out.Method)
	out.Trailer = nil
	out.TransferEncoding = nil
	if e.body != nil && gate.MayIgnoreContent(out.Method) {
		out.TransferEncoding = []string{"chunked"}
	}
	if out.Method == http.MethodHead && e.up.cfg.Scheme != "h2c" {
		out.Close = true // stray bytes after a HEAD would answer the next caller
	}
	if out.Body == nil && !isSafe(out.Method) && e.up.speaksH2.Load() {
		out.Body = empty{} // the HTTP/2 transport sends a request without a body again after some resets
	}
	if e.body != nil && (e.up.cfg.Scheme == "http" || e.up.cfg.Scheme == "unix") {
		out.GetBody = e.again
	}
	e.sent = time.Now()
}

// isSafe: RFC 9110 section 9.2.1, of the methods that get here.
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// empty is a body of no bytes that is not http.NoBody.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }

// modifyResponse looks at the service's head before it goes on.
func modifyResponse(res *http.Response) error {
	e := exchangeOf(res.Request.Context())
	e.answered(res)
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		return gate.ErrUnasked
	case res.StatusCode < 100 || res.StatusCode > 999:
		return gate.ErrStatus // net/http reads 000 and then panics over writing it
	case e.w.interim > gate.MostInterim:
		return gate.ErrInterim // the answer was faster than the cancelling
	}
	e.answerFields(res.Header)
	return nil
}

// answered moves the watch on to the answer.
func (e *exchange) answered(res *http.Response) {
	e.waited = time.Since(e.sent)
	if res.ProtoMajor == 2 && e.up.cfg.Scheme == "https" {
		e.up.speaksH2.Store(true)
	}
	if len(res.Trailer) > 0 && e.r.ProtoMajor == 1 {
		res.Header.Del("Content-Length") // HTTP/1.1 has trailers in chunked framing only
	}
	if res.ContentLength >= 0 && len(res.Header["Content-Length"]) > 0 {
		res.Header.Set("Content-Length", strconv.FormatInt(res.ContentLength, 10)) // what was read, not what was written
	}
	if res.Body == http.NoBody || res.ContentLength == 0 {
		e.answerEnded()
	}
	e.watch.answering(gate.PhaseOf(res.Header.Get("Content-Type"), res.ContentLength))
	res.Body = &outbound{res.Body, e, res}
}

// handleError answers for a service that did not.
func handleError(_ http.ResponseWriter, out *http.Request, err error) {
	e := exchangeOf(out.Context())
	e.refuse(e.faultOf(err))
}
