package fastlane

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// streams is a service that speaks HTTP/2 without TLS, over net/http's client.
type streams struct{ *http.Transport }

func newStreams(cfg upstream.Config, dial func(context.Context) (net.Conn, error)) *streams {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, &gate.Refusal{Reason: gate.ReasonUpstreamUnreachable, Err: err}
			}
			return upstream.Gather(c), nil
		},
		DisableCompression:     true,
		MaxConnsPerHost:        cfg.MaxConns,
		IdleConnTimeout:        idleUpstream,
		MaxResponseHeaderBytes: mostAnswerHead,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return &streams{t}
}

// Close ends what is not in use.
func (s *streams) Close() { s.CloseIdleConnections() }

// forwardStream carries the request as one of a connection's streams.
func (t *turn) forwardStream() error {
	ctx, cancel := context.WithCancelCause(t.lane.ctx)
	defer cancel(nil)
	interims := make(chan interim, gate.MostInterim)
	out := t.streamRequest(httptrace.WithClientTrace(ctx, collect(interims)), cancel)
	if out.Body != nil {
		defer out.Body.Close() // lets go of whoever still writes into it
	}
	defer t.watch(cancel)()
	sent := time.Now()
	res, err := t.roundTrip(out, interims, cancel)
	if err != nil {
		return t.faultOf(errors.Join(context.Cause(ctx), err))
	}
	defer res.Body.Close()
	t.now = time.Now()
	t.outcome.Upstream = t.now.Sub(sent)
	t.answer.take(res.StatusCode, res.Header)
	t.from, t.back.r, t.back.w = res, 0, 0
	err = t.relayAs(lengthOf(res))
	t.from = nil
	if err != nil {
		return t.faultOf(errors.Join(context.Cause(ctx), err))
	}
	return nil
}

// interim is a 1xx answer.
type interim struct {
	status int
	fields http.Header
}

// collect hands 1xx answers over. It runs where all of a connection's streams are
// read, and so waits for nobody.
func collect(to chan<- interim) *httptrace.ClientTrace {
	n := 0
	return &httptrace.ClientTrace{Got1xxResponse: func(status int, from textproto.MIMEHeader) error {
		if status == http.StatusSwitchingProtocols {
			return gate.ErrUnasked // HTTP/2 has no such answer (RFC 9113 section 8.6)
		}
		if n++; n > gate.MostInterim {
			return gate.ErrInterim
		}
		to <- interim{status, http.Header(from)} // there is room for all
		return nil
	}}
}

// roundTrip waits for the final answer, and passes interim ones on meanwhile.
func (t *turn) roundTrip(out *http.Request, interims <-chan interim, cancel context.CancelCauseFunc) (res *http.Response, err error) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		res, err = t.up.h2.RoundTrip(out)
	}()
	for {
		select {
		case i := <-interims:
			t.answer.take(i.status, i.fields)
			t.now = time.Now()
			if failed := t.relayInterim(); failed != nil {
				cancel(failed)
				<-over
				return nil, errors.Join(failed, err, closeBody(res))
			}
		case <-over:
			if len(interims) == 0 {
				return res, err
			}
		}
	}
}

func closeBody(res *http.Response) error {
	if res == nil {
		return nil
	}
	return res.Body.Close()
}

// lengthOf is answerLength for an answer that net/http has read.
func lengthOf(res *http.Response) (length, declared int64) {
	switch {
	case res.StatusCode == http.StatusNoContent:
		return 0, -1
	case res.Request.Method == http.MethodHead, res.StatusCode == http.StatusNotModified:
		return 0, res.ContentLength
	case res.ContentLength < 0, len(res.Trailer) > 0: // HTTP/1.1 has trailers behind chunks only
		return untilClose, -1
	}
	return res.ContentLength, -1
}

// take fills in an answer that net/http has read.
func (h *answerHead) take(status int, from http.Header) {
	h.reset()
	h.status, h.reason, h.minor = status, "", 1
	for name, values := range from {
		for _, v := range values {
			h.lines = append(h.lines, field{name, v})
		}
		h.seen |= bit(name)
	}
}

// watch judges the pace until the returned function is called, since reading
// from net/http has no time limit of its own.
func (t *turn) watch(cancel context.CancelCauseFunc) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	wait := t.tick
	t.watched = true
	go func() {
		defer close(over)
		defer contain(func(failure *gate.Refusal) { cancel(failure) })
		for {
			select {
			case <-done:
				return
			case <-time.After(wait):
			}
			left, err := t.pace.Judge(time.Now())
			switch {
			case err != nil:
			case t.c.Cut():
				err = gate.ErrDrained
			case t.upload.whole.Load() && t.c.gone():
				err = gate.ErrGone
			}
			if err != nil {
				cancel(err)
				t.c.plain.SetWriteDeadline(longAgo)
				return
			}
			wait = min(left, gate.Recheck)
		}
	}()
	return func() {
		close(done)
		<-over
		t.watched = false
		t.c.write.forget()
	}
}

// streamRequest is the judged request as net/http's client takes it. That keeps
// texts for as long as its connection lives (HPACK's table), so that all of them
// are copies.
func (t *turn) streamRequest(ctx context.Context, cancel context.CancelCauseFunc) *http.Request {
	query, has := t.x.Query()
	out := (&http.Request{
		Method: strings.Clone(t.x.Method()),
		Host:   strings.Clone(t.x.Host()),
		URL: &url.URL{Scheme: "http", Host: t.up.cfg.Address, Opaque: strings.Clone(t.x.Request().Path),
			RawQuery: strings.Clone(query), ForceQuery: has},
		Header: http.Header{},
	}).WithContext(ctx)
	if out.Host == "" {
		out.Host = t.up.cfg.Host
	}
	add := func(name, value string) {
		name = http.CanonicalHeaderKey(strings.Clone(name))
		out.Header[name] = append(out.Header[name], strings.Clone(value))
	}
	for i := range t.head.lines {
		if f := &t.head.lines[i]; t.x.Keep(f.name, f.value) {
			add(f.name, f.value)
		}
	}
	t.x.Add(add)
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = []string{""} // keeps net/http from naming itself
	}
	if t.length != 0 || !isSafe(out.Method) { // net/http sends a request without a body again after some resets
		out.Body, out.ContentLength = t.streamBody(cancel), t.length
	}
	return out
}

// streamBody is the client's body, carried like every other.
func (t *turn) streamBody(cancel context.CancelCauseFunc) io.ReadCloser {
	if t.upload.whole.Load() {
		body := bytes.Clone(t.in.rest()[:t.length]) // net/http may look at it when the turn is over
		t.in.r += len(body)
		t.upload.bytes.Store(t.length)
		return io.NopCloser(bytes.NewReader(body))
	}
	in, out := io.Pipe()
	t.startUpload(destination{
		Writer: out,
		end:    func() { out.Close() },
		wake:   func() { cancel(t.upload.failure.Load()) },
	})
	return in
}

// trailers are the fields that came behind the body.
func trailers(res *http.Response) (lines []field) {
	for name, values := range res.Trailer {
		for _, v := range values {
			lines = append(lines, field{name, v})
		}
	}
	return lines
}
