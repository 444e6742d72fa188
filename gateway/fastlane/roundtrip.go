package fastlane

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// RoundTrip carries a request that net/http has read, an HTTP/2 client's, over the
// connections that HTTP/1's requests use, and reads the answer by the same rules.
// It is there for services that speak HTTP/1.1.
//
// The head is written from Method, URL.Opaque, URL.RawQuery, Host and Header as
// they are, which net/http and the gate have checked. As with http.Transport the
// request's context ends the exchange, its body may be read for a moment longer
// (and is closed by the caller), 1xx answers go to the context's trace, and the
// answer's trailers are there behind its body.
//
// Errors are a [*gate.Refusal], what ended the context, or what the socket said.
func (u *Upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	c := calls.Get().(*call)
	c.up, c.r, c.ctx, c.upload = u, r, r.Context(), nil
	res, err := c.do()
	if err != nil {
		if ended := context.Cause(c.ctx); ended != nil {
			err = ended
		}
		c.end(false)
		return nil, err
	}
	return res, nil
}

// call is one exchange of RoundTrip's, until its answer's body has been read.
type call struct {
	up     *Upstream
	r      *http.Request
	ctx    context.Context
	out    []byte // the request's head, and a body that fits behind it
	far    *far
	let    func() bool // keeps the context's end from ending the connection
	upload *sending    // of a body that does not fit
	reply
}

var calls = sync.Pool{New: func() any {
	return &call{out: make([]byte, 0, outBuffer), reply: reply{back: source{buf: make([]byte, headBuffer)}}}
}}

func (c *call) do() (*http.Response, error) {
	if err := c.write(); err != nil {
		return nil, err
	}
	for fresh := false; ; fresh = true {
		err := c.try(fresh)
		if err == nil {
			return c.response()
		}
		if fresh || c.ctx.Err() != nil || !c.mayRepeat(err) {
			return nil, err
		}
		c.drop()
	}
}

// mayRepeat: see [far.mayRepeat]. Of a body that is carried some may be gone.
func (c *call) mayRepeat(err error) bool {
	return (c.upload == nil || !c.upload.begun) && c.far.mayRepeat(err, c.r.ContentLength == 0 && isSafe(c.r.Method))
}

// write makes the request's head. A body that fits behind it is read whole, so
// that the service never waits for its client.
func (c *call) write() error {
	r := c.r
	c.out = append(c.out[:0], r.Method...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, r.URL.Opaque...)
	if r.URL.ForceQuery || r.URL.RawQuery != "" {
		c.out = append(c.out, '?')
		c.out = append(c.out, r.URL.RawQuery...)
	}
	c.out = append(c.out, " HTTP/1.1\r\n"...)
	c.field("Host", r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			if v != "" || name != "User-Agent" { // net/http's sign for none
				c.field(name, v)
			}
		}
	}
	length := r.ContentLength
	if r.Body == nil {
		length = 0
	}
	framed := length < 0 || length > 0 && len(r.TransferEncoding) > 0
	c.out = endRequestHead(c.out, r.Method, length, framed)
	switch {
	case length == 0:
	case length > 0 && length <= headBuffer:
		body := c.back.buf[:length]
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return err
		}
		c.out = appendBody(c.out, body, framed)
	default:
		c.upload = &sending{body: r.Body, length: length, framed: framed, done: make(chan struct{})}
	}
	return nil
}

func (c *call) field(name, value string) {
	c.out = append(c.out, name...)
	c.out = append(c.out, ": "...)
	c.out = append(c.out, value...)
	c.out = append(c.out, "\r\n"...)
}

// try sends the request over one connection, and reads the head of the answer.
func (c *call) try(fresh bool) error {
	now := time.Now()
	for {
		// A client may take its request back before it was sent: then it is not, and
		// costs no connection.
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		f, err := c.up.take(c.ctx, now, fresh, c.upload != nil)
		if err != nil {
			return err
		}
		c.far, f.heard, f.told = f, false, false
		c.back.r, c.back.w = 0, 0
		f.read.within(now, gate.Recheck, gate.Recheck)
		c.let = context.AfterFunc(c.ctx, func() { f.SetDeadline(longAgo) })
		if err = c.send(); err == errStale && f.reused {
			c.drop()
			continue
		}
		if err == nil {
			err = c.read(c.r.Method, c)
		}
		return err
	}
}

// send sends what there is of the request, and whatever is still to come of it
// on a goroutine: the service may answer before.
func (c *call) send() error {
	f := c.far
	rest := c.out
	if c.upload == nil && f.raw != nil {
		left, n, err := f.ask(c.out, c.back.buf)
		c.back.w = n
		if len(left) == 0 {
			return c.goOn(err)
		}
		rest = left // the socket takes no more for now
	}
	f.SetWriteDeadline(time.Time{})
	f.write.forget()
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	n, err := f.Write(rest)
	f.told = f.told || n > 0
	switch {
	case err != nil && f.told:
		return nil // it may have answered before it stopped reading
	case err == nil && c.upload != nil:
		c.upload.begun = true
		go c.upload.carry(f) // ends with the connection, or with the client's stream
	}
	return err
}

// goOn makes nothing of a time limit that rang: the waiting is judged by whoever
// may end the context.
func (c *call) goOn(err error) error {
	if err == nil || !isTimeout(err) {
		return err
	}
	c.far.SetReadDeadline(time.Time{})
	c.far.read.forget()
	if c.upload != nil && c.upload.failed.Load() {
		return gate.ErrGone
	}
	return context.Cause(c.ctx) // which is looked at last: its end sets the time limit again
}

// fill reads from the service.
func (c *call) fill(p []byte) (int, error) {
	for {
		n, err := c.far.Read(p)
		if n > 0 {
			c.far.heard = true
			return n, nil
		}
		if err := c.goOn(err); err != nil {
			return 0, err
		}
	}
}

func (c *call) relayInterim() error {
	trace := httptrace.ContextClientTrace(c.ctx)
	if trace == nil || trace.Got1xxResponse == nil {
		return nil
	}
	return trace.Got1xxResponse(c.answer.status, textproto.MIMEHeader(c.answer.copied()))
}

// response is the answer whose head has been read.
func (c *call) response() (*http.Response, error) {
	h := &c.answer
	if h.status == http.StatusSwitchingProtocols {
		return nil, gate.ErrUnasked
	}
	length, declared, err := answerLength(h, c.r.Method)
	if err != nil {
		return nil, broken(err)
	}
	res := &http.Response{
		StatusCode: h.status, ProtoMajor: 1, ProtoMinor: h.minor,
		Header: h.copied(), ContentLength: max(length, -1), Request: c.r,
	}
	if length == 0 && declared >= 0 {
		res.ContentLength = declared
	}
	for _, names := range res.Header["Trailer"] {
		res.Trailer = announced(res.Trailer, names)
	}
	if length == 0 {
		c.end(c.reusable(c.r.Method, length))
		res.Body = http.NoBody
		return res, nil
	}
	res.Body = &answerBody{call: c, res: res, length: length, left: length}
	return res, nil
}

// announced adds the names of a Trailer field.
func announced(to http.Header, names string) http.Header {
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name != "" {
			if to == nil {
				to = http.Header{}
			}
			to[http.CanonicalHeaderKey(name)] = nil
		}
	}
	return to
}

// copied are the fields as net/http has them. It may keep their texts for long
// (HPACK's table), so that all of them are copies: in one piece.
func (f *fields) copied() http.Header {
	size := 0
	for _, l := range f.lines {
		size += len(l.name) + len(l.value)
	}
	var text strings.Builder
	text.Grow(size)
	for _, l := range f.lines {
		text.WriteString(l.name)
		text.WriteString(l.value)
	}
	all := text.String()
	h := make(http.Header, len(f.lines))
	values := make([]string, len(f.lines))
	for i, l := range f.lines {
		name := http.CanonicalHeaderKey(all[:len(l.name)])
		all = all[len(l.name):]
		values[i], all = all[:len(l.value)], all[len(l.value):]
		if h[name] == nil {
			h[name] = values[i : i+1 : i+1]
		} else {
			h[name] = append(h[name], values[i])
		}
	}
	return h
}

// drop ends the connection.
func (c *call) drop() {
	if c.far != nil {
		c.let()
		c.up.drop(c.far)
		c.far = nil
	}
}

// end is the last of a call. clean says that the connection may be used again,
// where the whole request has been sent.
func (c *call) end(clean bool) {
	if c.far != nil && clean && c.upload.complete(c.far) && c.let() {
		c.up.give(c.far, time.Now())
		c.far = nil
	}
	c.drop()
	c.r, c.ctx, c.upload, c.let, c.up = nil, nil, nil, nil, nil
	c.answer.reset()
	if len(c.back.buf) <= mostKept && cap(c.out) <= mostKept {
		calls.Put(c)
	}
}

// errBodyClosed is for whoever reads on in a body that was closed.
var errBodyClosed = errors.New("the answer's body has been closed")
