package fastlane

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

var errNoUpstream = errors.New("the service has no upstream of this lane")

// forward carries an admitted request to its service and the answer back. An
// error is for the caller as long as no answer has begun.
func (t *turn) forward() error {
	t.startPace()
	if err := t.gather(); err != nil {
		return err
	}
	if t.up.h2 != nil && !t.socket {
		return t.forwardStream()
	}
	if err := t.ask(); err != nil {
		return t.faultOf(err)
	}
	if t.answer.status == http.StatusSwitchingProtocols {
		return t.tunnel()
	}
	return t.faultOf(t.relay())
}

func (t *turn) startPace() {
	t.now = time.Now()
	t.pace.Limits, t.pace.Allowed, t.pace.End = t.up.cfg.Timeouts, t.allowed, t.x.Deadline()
	t.pace.Start(t.now)
	t.paced, t.judged = true, t.now
	t.tick = min(t.pace.First(), gate.Recheck)
}

// gather reads the whole of a body that fits behind the head in its buffer: it
// then goes on with the head in one write, and no service waits for its client.
func (t *turn) gather() error {
	if t.length == 0 {
		t.upload.whole.Store(true)
		return nil
	}
	fits := t.length > 0 && t.length <= int64(len(t.in.buf)-t.in.r)
	if t.length == chunked || int64(len(t.in.rest())) < t.length {
		if err := t.invite(); err != nil {
			return err
		}
	}
	if !fits {
		return nil
	}
	for int64(len(t.in.rest())) < t.length {
		limit := t.pace.Limits.BodyIdle
		t.c.read.within(t.now, limit, slackOf(limit))
		n, err := t.c.plain.Read(t.in.buf[t.in.w:])
		t.in.w += n
		t.now = time.Now()
		t.pace.Touch()
		switch {
		case n > 0:
		case t.c.Cut():
			return gate.ErrDrained
		case isTimeout(err):
			return gate.ErrSlowBody
		default:
			return gate.ErrGone
		}
	}
	t.upload.whole.Store(true)
	return nil
}

// invite answers Expect: 100-continue. The request is allowed by now, and the
// service never sees the expectation.
func (t *turn) invite() error {
	if len(t.head.Values("Expect")) == 0 {
		return nil
	}
	return t.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// ask sends the request and reads the head of the final answer.
func (t *turn) ask() error {
	t.writeRequest()
	fresh := false
	for {
		err := t.try(fresh)
		if err == nil || fresh || !t.mayRepeat(err) {
			return err
		}
		t.dropFar()
		fresh = true
	}
}

// mayRepeat: see [far.mayRepeat]. Of a body that is carried some may be gone.
func (t *turn) mayRepeat(err error) bool {
	return !t.upload.begun && t.far.mayRepeat(err, t.length == 0 && isSafe(t.x.Method()))
}

// isSafe: RFC 9110 section 9.2.1, of the methods that get here.
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// try sends the request over one connection, and reads the head of the answer.
func (t *turn) try(fresh bool) (err error) {
	whole := t.upload.whole.Load()
	t.back.r, t.back.w = 0, 0
	for {
		if t.far, err = t.up.take(t.lane.ctx, t.now, fresh, !whole); err != nil {
			return err
		}
		f := t.far
		f.heard, f.told = false, false
		if !f.reused {
			t.now = time.Now() // dialling took its time
		}
		sent := t.now
		switch {
		case !whole:
			if err = t.send(t.out); err == nil {
				t.uploadTo(f)
			}
		case f.raw != nil:
			err = t.sendAndWait()
		default:
			err = t.send(t.out)
		}
		if err == errStale && f.reused {
			t.dropFar()
			continue
		}
		if err == nil {
			err = t.readAnswer()
		}
		if err == nil {
			t.outcome.Upstream = t.now.Sub(sent)
		}
		return err
	}
}

// sendAndWait sends a request that is whole over a plain socket, and waits for
// the first bytes of its answer.
func (t *turn) sendAndWait() error {
	f := t.far
	f.read.within(t.now, t.tick, t.tick)
	left, n, err := f.ask(t.out, t.back.buf)
	switch {
	case len(left) > 0:
		return t.send(left) // the socket takes no more for now
	case err == nil:
		t.now = time.Now()
		t.back.w = n
		return nil
	case !isTimeout(err):
		return err
	}
	f.read.forget()
	return t.check()
}

// writeRequest makes the request that was judged: no byte of it but field
// values, the query and the body is the client's.
func (t *turn) writeRequest() {
	method := t.x.Method()
	out := append(t.out[:0], method...)
	out = append(out, ' ')
	out = append(out, t.x.Request().Path...)
	if query, has := t.x.Query(); has {
		out = append(out, '?')
		out = append(out, query...)
	}
	out = append(out, " HTTP/1.1\r\n"...)
	t.out = out
	host := t.x.Host()
	if host == "" {
		host = t.up.cfg.Host
	}
	t.appendField("Host", host)
	for i := range t.head.lines {
		if f := &t.head.lines[i]; t.x.Keep(f.name, f.value) {
			t.appendField(f.name, f.value)
		}
	}
	t.x.Add(t.add)
	t.writeFraming(method)
	if t.length > 0 && t.upload.whole.Load() {
		t.writeBody()
	}
}

// frames reports that the body goes on in chunks.
func (t *turn) frames() bool {
	return t.length == chunked || t.length > 0 && gate.MayIgnoreContent(t.x.Method())
}

// writeBody puts a body that is there as a whole behind the head.
func (t *turn) writeBody() {
	body := t.in.rest()[:t.length]
	t.in.r += len(body)
	t.upload.bytes.Store(t.length)
	t.out = appendBody(t.out, body, t.frames())
}

// appendBody appends a whole body, as one chunk where it is framed.
func appendBody(out, body []byte, framed bool) []byte {
	if !framed {
		return append(out, body...)
	}
	if len(body) > 0 {
		out = strconv.AppendInt(out, int64(len(body)), 16)
		out = append(out, "\r\n"...)
		out = append(out, body...)
		out = append(out, "\r\n"...)
	}
	return append(out, "0\r\n\r\n"...)
}

func (t *turn) writeFraming(method string) {
	if t.socket {
		t.appendField("Connection", "Upgrade")
		t.appendField("Upgrade", "websocket")
	}
	t.out = endRequestHead(t.out, method, t.length, t.frames())
}

// endRequestHead says how long the body is, and ends the head.
func endRequestHead(out []byte, method string, length int64, framed bool) []byte {
	switch {
	case framed:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case length > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch: // RFC 9110 section 8.6
		out = appendLength(out, length)
	}
	if method == http.MethodHead {
		out = append(out, "Connection: close\r\n"...) // stray bytes after a HEAD would answer the next caller
	}
	return append(out, "\r\n"...)
}

// send writes to the service. While it takes nothing, it looks, tick by tick,
// whether there is still a reason to wait; over TLS it waits once for as long as
// the service may take, since a record that a time limit has broken off cannot be
// gone on with.
func (t *turn) send(p []byte) error {
	_, once := t.far.Conn.(*tls.Conn)
	for {
		if once {
			t.far.write.within(t.now, t.pace.Limits.Upstream, t.tick)
		} else {
			t.far.write.within(t.now, t.tick, t.tick)
		}
		n, err := t.far.Write(p)
		t.far.told = t.far.told || n > 0
		switch p = p[n:]; {
		case err == nil:
			return nil
		case isTimeout(err) && once:
			return gate.ErrSlowUpstream
		case isTimeout(err):
		case t.far.told:
			return nil // it may have answered before it stopped reading
		default:
			return err
		}
		t.far.write.forget()
		if err := t.check(); err != nil {
			return err
		}
	}
}

// readAnswer reads heads until the final one, and passes interim ones on.
func (t *turn) readAnswer() error {
	if err := t.reply.read(t.x.Method(), t); err != nil {
		return err
	}
	if t.answer.status == http.StatusSwitchingProtocols {
		return t.switched()
	}
	return nil
}

// switched judges a 101: it has to be the answer to a WebSocket's handshake.
func (t *turn) switched() error {
	if t.socket && gate.Accepted(&t.answer, t.head.Values("Sec-Websocket-Key")[0]) {
		return nil
	}
	return gate.ErrUnasked
}

// relayInterim passes a 1xx answer on. 100 is the gateway's own to give, and
// HTTP/1.0 knows none (RFC 9110 section 15.2).
func (t *turn) relayInterim() error {
	if t.answer.status == http.StatusContinue || t.head.minor == 0 {
		return nil
	}
	t.startAnswer()
	t.out = append(t.out, "\r\n"...)
	return t.write(t.out)
}

// fill reads from the service. While nothing comes it looks, tick by tick,
// whether there is still a reason to wait.
func (t *turn) fill(p []byte) (int, error) {
	if t.from != nil {
		n, err := t.from.Body.Read(p)
		t.now = time.Now()
		t.pace.Touch()
		if n > 0 {
			err = nil
		}
		return n, err
	}
	for {
		t.far.read.within(t.now, t.tick, t.tick)
		if failure := t.upload.failure.Load(); failure != nil {
			return 0, failure // it may have been there before the time limit was armed
		}
		n, err := t.far.Read(p)
		if n > 0 {
			t.now = time.Now()
			t.far.heard = true
			t.pace.Touch()
			return n, nil
		}
		if err == nil {
			continue
		}
		if !isTimeout(err) {
			return 0, err
		}
		t.far.read.forget()
		if err := t.check(); err != nil {
			return 0, err
		}
	}
}

// check looks whether the exchange may go on waiting.
func (t *turn) check() error {
	if failure := t.upload.failure.Load(); failure != nil {
		return failure
	}
	switch {
	case t.tunnels && t.parted():
		return errParted
	case !t.tunnels && t.upload.whole.Load() && t.c.gone():
		return gate.ErrGone
	}
	return t.judge()
}

// judge asks the pace.
func (t *turn) judge() error {
	t.now = time.Now()
	t.judged = t.now
	if t.c.Cut() {
		return gate.ErrDrained
	}
	wait, err := t.pace.Judge(t.now)
	t.tick = min(wait, gate.Recheck)
	return err
}

// faultOf names the reason for which forwarding failed: what the client did
// comes first, since an upstream's error is often only its echo.
func (t *turn) faultOf(err error) error {
	if err == nil {
		return nil
	}
	if failure := t.upload.failure.Load(); failure != nil {
		return failure
	}
	if t.c.Cut() {
		return gate.ErrDrained
	}
	var named *gate.Refusal
	if errors.As(err, &named) {
		return named
	}
	return broken(err)
}
