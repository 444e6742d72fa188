package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// tunnel asks the service for a WebSocket, over HTTP/1.1 whatever the client
// speaks, and joins both ends if it agrees.
func (e *exchange) tunnel() {
	e.tunnels = true
	e.proxy.tunnels.Add(1)
	out := e.handshake()
	res, err := e.up.tunnels.RoundTrip(out)
	if err != nil {
		e.refuse(e.faultOf(err))
		return
	}
	defer res.Body.Close()
	service, isOpen := res.Body.(io.ReadWriteCloser)
	switch {
	case res.StatusCode != http.StatusSwitchingProtocols && !e.misread(res):
		e.decline(res)
	case res.StatusCode != http.StatusSwitchingProtocols, !isOpen, !gate.Accepted(header(res.Header), out.Header.Get("Sec-WebSocket-Key")):
		e.refuse(gate.ErrUnasked)
	default:
		e.waited = time.Since(e.sent)
		e.join(res, service)
	}
}

// handshake is the judged request with the fields that ask for the upgrade.
func (e *exchange) handshake() *http.Request {
	interim := 0
	ctx := httptrace.WithClientTrace(e.ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if interim++; interim > gate.MostInterim {
				return gate.ErrInterim
			}
			return nil
		},
	})
	out := (&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	e.rewrite(out)
	out.Body = nil
	out.Header["Connection"] = []string{"Upgrade"}
	out.Header["Upgrade"] = []string{"websocket"}
	if e.r.ProtoMajor == 2 {
		out.Header["Sec-Websocket-Key"] = []string{newKey()}
	}
	return out
}

// misread reports an ordinary answer that an HTTP/2 client would take for an
// open tunnel, as it does every 2xx to its CONNECT.
func (e *exchange) misread(res *http.Response) bool {
	return e.r.ProtoMajor == 2 && res.StatusCode < 300
}

// decline passes on the service's ordinary answer.
func (e *exchange) decline(res *http.Response) {
	ctx := context.WithValue(e.ctx, answerKey{}, res)
	res.Request = res.Request.WithContext(ctx)
	declined.ServeHTTP(&e.w, e.r.WithContext(ctx))
	e.completed = true
}

// declined relays an answer that is there already.
var declined = &httputil.ReverseProxy{
	Rewrite:        func(*httputil.ProxyRequest) {},
	Transport:      givenAnswer{},
	ModifyResponse: modifyResponse,
	ErrorHandler:   handleError,
	BufferPool:     buffers,
	ErrorLog:       discard, // the record says what happened
}

type answerKey struct{}

type givenAnswer struct{}

func (givenAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	return r.Context().Value(answerKey{}).(*http.Response), nil
}

// end is one end of a tunnel.
type end interface {
	io.ReadWriter
	// closeWrite tells the peer that nothing more will come, if that can be
	// told apart from the end of everything.
	closeWrite()
	// release lets go of a blocked Read and Write, from any goroutine.
	release()
	// close is the last call but for release, which does nothing then.
	close()
}

// join answers the client and copies in both directions until one ends.
func (e *exchange) join(res *http.Response, service io.ReadWriteCloser) {
	client, err := e.open(res)
	if err != nil {
		if e.w.status == 0 {
			e.refuse(err)
		}
		return
	}
	far := serviceEnd{service}
	e.watch.answering(gate.Streaming)
	// The deferred functions only keep what has not begun from beginning; what
	// runs already meets a closed client and a watch that has finished.
	defer context.AfterFunc(e.ctx, func() { client.release(); far.release() })()
	defer context.AfterFunc(e.proxy.ending, func() { e.watch.interrupt(gate.ErrDrained) })()
	defer client.close()

	var directions sync.WaitGroup
	ended := make(chan end, 2)
	run := func(to, from end, count *atomic.Int64, giving bool) {
		directions.Go(func() {
			e.copy(to, from, count, giving)
			ended <- to
		})
	}
	var in, out atomic.Int64
	run(far, client, &in, false)
	run(client, far, &out, true)
	(<-ended).closeWrite()
	select {
	case <-ended:
	case <-time.After(closeGrace):
	}
	client.release()
	far.release()
	directions.Wait()
	e.w.bytes += out.Load()
	if e.body == nil {
		e.carried = in.Load() // over HTTP/2 the body counts itself
	}
	if e.client.Err() != nil {
		e.cutBy(gate.ErrGone) // it reset the stream
	}
	e.completed = context.Cause(e.ctx) == nil
}

// closeGrace is how long the second direction of a tunnel may take to end
// after the first.
const closeGrace = 5 * time.Second

// copy moves bytes one way until it ends or fails; giving says that they go to
// the client.
func (e *exchange) copy(to io.Writer, from io.Reader, count *atomic.Int64, giving bool) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	for {
		n, err := from.Read(buf)
		e.watch.Touch()
		if n > 0 {
			if giving {
				e.watch.Giving(true)
			}
			_, err := to.Write(buf[:n])
			if giving {
				e.watch.Giving(false)
			}
			e.watch.Touch()
			if err != nil {
				return
			}
			count.Add(int64(n))
		}
		if err != nil {
			return
		}
	}
}

// open tells the client that its tunnel stands.
func (e *exchange) open(res *http.Response) (end, error) {
	if e.r.ProtoMajor == 2 {
		return e.openStream(res)
	}
	conn, rw, err := http.NewResponseController(e.w.ResponseWriter).Hijack()
	if err != nil {
		return nil, err
	}
	e.w.status = http.StatusSwitchingProtocols
	head := http.Response{
		StatusCode: http.StatusSwitchingProtocols,
		ProtoMajor: 1, ProtoMinor: 1,
		Header: e.switchFields(res.Header),
	}
	head.Header["Connection"] = []string{"Upgrade"}
	head.Header["Upgrade"] = []string{"websocket"}
	conn.SetWriteDeadline(time.Now().Add(e.watch.Limits.WriteIdle))
	err = errors.Join(head.Write(rw), rw.Flush())
	conn.SetWriteDeadline(time.Time{})
	if err != nil {
		conn.Close()
		e.cutBy(gate.ErrGone)
		return nil, err
	}
	return &socketEnd{conn, io.MultiReader(early(rw.Reader), conn)}, nil
}

// early takes what the client sent behind its handshake out of net/http's reader. The rest has
// to be read from the connection itself: that reader takes the end of what a client sends for
// the end of the client, and cancels the request while the service may still have a last word.
func early(r *bufio.Reader) io.Reader {
	text, _ := r.Peek(r.Buffered()) // no error: it is there
	return bytes.NewReader(text)
}

// openStream answers an extended CONNECT: 200, without the key's answer.
func (e *exchange) openStream(res *http.Response) (end, error) {
	for name, values := range e.switchFields(res.Header) {
		if name != "Sec-Websocket-Accept" {
			e.w.Header()[name] = values
		}
	}
	e.w.WriteHeader(http.StatusOK)
	if err := e.w.FlushError(); err != nil {
		e.cutBy(gate.ErrGone)
		return nil, err
	}
	return &streamEnd{e: e}, nil
}

// switchFields are the fields of a 101 that the client gets to see.
func (e *exchange) switchFields(in http.Header) http.Header {
	out := in.Clone()
	e.answerFields(out)
	out.Del("Content-Length")
	return out
}

type socketEnd struct {
	net.Conn
	all io.Reader // what came behind the handshake, then the connection
}

func (s *socketEnd) Read(p []byte) (int, error) { return s.all.Read(p) }

func (s *socketEnd) closeWrite() { halfClose(s.Conn) }

func (s *socketEnd) release() { s.Conn.Close() }

func (s *socketEnd) close() { s.Conn.Close() }

type serviceEnd struct{ io.ReadWriteCloser }

func (s serviceEnd) closeWrite() { halfClose(s.ReadWriteCloser) }

func (s serviceEnd) release() { s.Close() }

func (s serviceEnd) close() { s.Close() }

func halfClose(c any) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // if it fails, both directions end when the grace is over
	}
}

// streamEnd is an HTTP/2 stream. Its own direction ends when the handler
// returns, so there is nothing to close before; after that net/http's writer
// must not be touched.
type streamEnd struct {
	e    *exchange
	mu   sync.Mutex // guards over, and net/http's writer against its end
	over bool
}

func (s *streamEnd) Read(p []byte) (int, error) { return s.e.body.Read(p) }

func (s *streamEnd) Write(p []byte) (int, error) {
	n, err := s.e.w.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(s.e.w.ResponseWriter).Flush()
	}
	return n, err
}

func (s *streamEnd) closeWrite() { s.release() }

func (s *streamEnd) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	rc := http.NewResponseController(s.e.w.ResponseWriter)
	rc.SetReadDeadline(longAgo)
	if s.e.ctx.Err() != nil {
		rc.SetWriteDeadline(longAgo) // resets the stream
	}
}

func (s *streamEnd) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}
