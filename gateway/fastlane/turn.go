package fastlane

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// Sizes of a turn's buffers, in bytes. A head that needs more gets more.
const (
	headBuffer = 16 << 10
	outBuffer  = 16 << 10
	// mostKept is the largest buffer that goes back to the pool.
	mostKept = 64 << 10
)

// turn is one request, and everything that it needs while it is in hand.
type turn struct {
	lane *Lane
	c    *conn

	in    source // the client's head, whose texts are views, and what came behind it
	reply        // the service's head
	out   []byte // what is written next, to one end or the other

	head     requestHead
	headSize int64
	due      time.Time // when the head has to be there; zero as long as that needs no watching
	length   int64     // of the body: bytes, or chunked
	socket   bool      // a WebSocket is asked for
	closes   bool      // the client's connection ends after this answer
	readable bool      // the body's framing is known, and so where the next request begins

	req      gate.Request
	x        gate.Exchange
	pace     gate.Pace
	up       *Upstream
	far      *far
	from     *http.Response // in place of far, where the answer comes over HTTP/2
	upload   upload
	answered bool // the final answer's head has gone to the client
	parsed   bool // the head is there already
	paced    bool // the pace was started
	watched  bool // and a goroutine judges it
	clean    bool // the connection to the service may be used again
	tunnels  bool // a tunnel stands
	partedAt time.Time
	outcome  gate.Outcome
	now      time.Time     // the last reading of the clock
	tick     time.Duration // after which a wait is looked at
	judged   time.Time     // when it was last looked at

	// Bound once, so that passing them costs nothing.
	add     func(name, value string)
	allowed func() bool
}

func newTurn(l *Lane) *turn {
	t := &turn{lane: l, out: make([]byte, 0, outBuffer)}
	t.in.buf = make([]byte, headBuffer)
	t.back.buf = make([]byte, headBuffer)
	t.add = t.appendField
	t.allowed = t.stillAllowed
	return t
}

// turn takes one from the pool for c.
func (l *Lane) turn(c *conn) *turn {
	t := l.turns.Get().(*turn)
	t.c = c
	return t
}

// release puts the turn back. Nothing of it may be in use.
func (t *turn) release() {
	t.c = nil
	t.in.r, t.in.w = 0, 0
	if len(t.in.buf) > mostKept || len(t.back.buf) > mostKept || cap(t.out) > mostKept {
		return
	}
	t.lane.turns.Put(t)
}

// exchange is the request and its answer.
func (t *turn) exchange() {
	defer t.end() // one record, whatever happens below
	err := t.begin()
	if err == nil {
		err = t.admit()
	}
	if err == nil {
		err = t.forward()
	}
	if err != nil {
		t.refuse(err)
	}
}

// begin reads the head and shows it to the gate. An error is why it is none.
func (t *turn) begin() error {
	t.closes, t.readable, t.answered, t.socket, t.paced, t.clean = true, false, false, false, false, false
	t.tunnels, t.partedAt = false, time.Time{}
	t.far, t.from, t.up, t.length, t.outcome = nil, nil, nil, 0, gate.Outcome{}
	t.upload.reset()
	var err error
	if !t.parsed {
		err = t.readHead()
	}
	t.parsed = false
	if err != nil {
		t.head = requestHead{fields: t.head.fields}
		t.head.reset()
	}
	t.read()
	t.lane.gate.Begin(&t.x, &t.req)
	t.now = t.x.Started()
	return err
}

// arrived reports that a whole request is there, body and all, and that it asks
// for nothing but an answer. Its head is then parsed.
func (t *turn) arrived() bool {
	end, _, err := endOfHead(t.in.rest(), 0)
	if err != nil || end == 0 || int64(end) > t.lane.cfg.HeadMax || t.head.parse(t.in.buf[:end]) != nil {
		return false
	}
	length, err := requestLength(&t.head)
	if err != nil || length < 0 || length > int64(t.in.w-end) || len(t.head.Values("Upgrade")) > 0 {
		return false
	}
	t.headSize, t.in.r, t.parsed = int64(end), end, true
	return true
}

// readHead reads until the head's end and parses it.
func (t *turn) readHead() error {
	looked := 0
	for {
		end, next, err := endOfHead(t.in.rest(), looked)
		if err != nil {
			return err
		}
		if end > 0 {
			t.headSize = int64(end)
			t.in.r = end
			return t.head.parse(t.in.buf[:end])
		}
		looked = next
		if int64(t.in.w) > t.lane.cfg.HeadMax || !t.in.room(int(t.lane.cfg.HeadMax)+1) {
			if line := bytes.IndexByte(t.in.rest(), '\n'); line < 0 || int64(line) > t.lane.cfg.HeadMax {
				return gate.ErrBigURI // the request line alone is too long
			}
			return gate.ErrBigHead
		}
		if err := t.moreHead(); err != nil {
			return err
		}
	}
}

// moreHead reads on in a head of which something has come. Its time began with
// its first byte.
func (t *turn) moreHead() error {
	if t.due.IsZero() {
		t.due = time.Now().Add(t.lane.cfg.HeadTimeout)
		t.c.plain.SetReadDeadline(t.due)
		t.c.read.forget()
	}
	n, err := t.c.plain.Read(t.in.buf[t.in.w:])
	t.in.w += n
	switch {
	case n > 0:
		return nil
	case isTimeout(err):
		return gate.ErrSlowHead
	}
	return gate.ErrGone
}

// read fills in what the gate judges.
func (t *turn) read() {
	h := &t.head
	t.req = gate.Request{
		Method: h.method, Target: h.target,
		ProtoMajor: h.major, ProtoMinor: h.minor,
		Hosts:     h.Values("Host"),
		Header:    h,
		Overrides: t.req.Overrides[:0],
		TLS:       t.c.Secure(),
		Peer:      t.c.Peer(),
	}
	for i := range h.lines {
		if gate.IsOverride(h.lines[i].name) {
			t.req.Overrides = append(t.req.Overrides, h.lines[i].value)
		}
	}
}

// admit asks what only a reader of HTTP/1 can see, then the gate, then what
// depends on the service.
func (t *turn) admit() error {
	if err := t.wellFormed(); err != nil {
		return err
	}
	if err := t.x.Admit(t.lane.ctx); err != nil {
		return err
	}
	up, ok := t.x.Service().Upstream.(interface{ Fast() *Upstream })
	if !ok {
		return errNoUpstream
	}
	t.up = up.Fast()
	if err := t.up.cfg.Fits(int64(len(t.head.target)), t.headSize, t.length); err != nil {
		return err
	}
	t.socket = gate.AsksForSocket(&t.req) && t.x.Match().Route.Upgrade("websocket")
	if t.socket {
		return gate.CheckHandshake(&t.req, t.length != 0)
	}
	return nil // without the route's leave an Upgrade ends here, and this is an ordinary GET
}

// wellFormed checks what a policy has no say in.
func (t *turn) wellFormed() (err error) {
	if t.head.major != 1 {
		return gate.ErrVersion
	}
	if err := upstream.CheckHead(int64(len(t.head.target)), t.headSize, t.lane.cfg.HeadMax); err != nil {
		return err
	}
	if t.length, err = requestLength(&t.head); err != nil {
		return err
	}
	t.readable = true
	if t.head.minor > 0 && len(t.req.Hosts) == 0 {
		return gate.ErrHost // an absolute-form target does not stand in for it (RFC 9112 section 3.2)
	}
	if err := gate.CheckExpect(&t.req, t.length != 0); err != nil {
		return err
	}
	// What is refused above ends the connection: its target was never judged, and
	// may be one after which other readers find no further request.
	t.closes = !persists(&t.head.fields, t.head.minor)
	return nil
}

func (t *turn) stillAllowed() bool {
	route, ok := t.x.StillAllowed()
	return ok && (!t.socket || route.Upgrade("websocket"))
}

// refuse answers for the gate, unless the answer has begun: then err is what cut
// it short.
func (t *turn) refuse(err error) {
	t.stopUpload()
	if t.answered {
		t.closes = true
		t.outcome.Err = err
		return
	}
	t.drainSmallBody(err)
	a := t.x.Refuse(t.lane.ctx, err)
	t.now = time.Now() // the wait for keys or for a body may have been long
	t.outcome.Status = a.Status
	if a.Status == 499 {
		t.closes = true
		return // nobody is there to be told
	}
	// A request without one reading may break more rules than the one that is
	// named, and where others stop reading, nothing behind it counts.
	t.closes = t.closes || t.unread() || t.c.Draining() || t.x.Refusal().Guard != 0
	t.begun(a.Status, http.StatusText(a.Status))
	for _, f := range a.Fields {
		t.appendField(f.Name, f.Value)
	}
	t.appendField("Date", date(t.now))
	t.endHead()
	if t.head.method != http.MethodHead {
		t.out = append(t.out, a.Body...)
		t.outcome.BytesOut = int64(len(a.Body))
	}
	if t.write(t.out) != nil {
		t.closes = true
	}
}

// begun starts an answer in out.
func (t *turn) begun(status int, reason string) {
	t.out = append(t.out[:0], "HTTP/1.1 "...)
	t.out = strconv.AppendInt(t.out, int64(status), 10)
	t.out = append(t.out, ' ')
	t.out = append(t.out, reason...)
	t.out = append(t.out, "\r\n"...)
}

// endHead ends an answer's head in out.
func (t *turn) endHead() {
	if t.closes {
		t.out = append(t.out, "Connection: close\r\n"...)
	}
	t.out = append(t.out, "\r\n"...)
}

func (t *turn) appendField(name, value string) {
	t.out = append(t.out, name...)
	t.out = append(t.out, ": "...)
	t.out = append(t.out, value...)
	t.out = append(t.out, "\r\n"...)
}

const (
	// smallBody is what is read of a refused request's body, so that the
	// connection of a client which posts a form need not end with a refusal.
	smallBody = 64 << 10
	drainTime = 250 * time.Millisecond
)

// drainSmallBody reads over a small body that has probably arrived already. One
// that waits for 100 Continue is never asked for.
func (t *turn) drainSmallBody(why error) {
	if !t.readable || !t.unread() || t.length == chunked || t.length > smallBody || t.upload.begun ||
		t.closes || len(t.head.Values("Expect")) > 0 || why == gate.ErrGone {
		return
	}
	here := min(t.length, int64(len(t.in.rest())))
	t.in.r += int(here)
	t.outcome.BytesIn = here
	if left := t.length - here; left > 0 {
		t.c.plain.SetReadDeadline(time.Now().Add(drainTime))
		t.c.read.forget()
		n, err := io.CopyN(io.Discard, t.c.plain, left)
		t.outcome.BytesIn += n
		if err != nil {
			return
		}
	}
	t.upload.whole.Store(true)
}

// unread reports that the client may still be sending this request, or what
// nobody can tell from one.
func (t *turn) unread() bool {
	return !t.readable || t.length != 0 && !t.upload.whole.Load()
}

// ends reports that the client's connection does not outlive this answer.
func (t *turn) ends() bool { return t.closes || t.outcome.Err != nil || t.unread() }

// settle leaves the connection as the next request finds it, and reports whether
// there may be one.
func (t *turn) settle() (again bool) {
	t.takeBehind()
	switch {
	case !t.ends():
		return true
	case t.outcome.Err != nil && t.head.minor == 0:
		t.c.Abort() // for HTTP/1.0 the end of the connection may be the end of the answer
	case t.outcome.Err == nil && (t.unread() || t.in.r < t.in.w):
		t.c.linger()
	}
	return false
}

// end leaves the one record.
func (t *turn) end() {
	t.stopUpload()
	t.leaveFar()
	t.outcome.BytesIn += t.upload.bytes.Load()
	t.x.End(t.outcome)
	t.due = time.Time{}
}

// leaveFar gives the connection to the service back where it may serve another
// request: the whole request was written, the whole answer read, and neither
// side wants to close it.
func (t *turn) leaveFar() {
	if t.far == nil {
		return
	}
	if !t.clean || t.upload.begun && !t.upload.sent.Load() {
		t.dropFar()
		return
	}
	t.up.give(t.far, t.now)
	t.far = nil
}

// dropFar ends a connection that has not been given back.
func (t *turn) dropFar() {
	if t.far != nil {
		t.up.drop(t.far)
		t.far = nil
	}
}

// mostRecord is what is written to a client at once over TLS: a record that a
// time limit has broken off cannot be gone on with.
const mostRecord = 16 << 10

// write sends p to the client, as slowly as it reads, but not slower than it
// may.
func (t *turn) write(p []byte) error {
	if p = t.c.writeSome(p); len(p) == 0 {
		return nil
	}
	limit := 30 * time.Second
	if t.up != nil {
		limit = t.up.cfg.Timeouts.WriteIdle
	}
	for {
		piece := p
		if t.c.Secure() {
			piece = p[:min(len(p), mostRecord)]
		}
		t.c.write.within(t.now, limit, slackOf(limit))
		n, err := t.c.plain.Write(piece)
		p = p[n:]
		switch {
		case err == nil && len(p) == 0:
			return nil
		case t.c.Cut():
			return gate.ErrDrained
		case err != nil && !isTimeout(err):
			return gate.ErrGone
		case err != nil && (n == 0 || !t.paced):
			return gate.ErrSlowReader
		}
		if err := t.written(err != nil); err != nil {
			return err
		}
	}
}

// written looks, between two writes of one piece, whether there may be another.
func (t *turn) written(late bool) error {
	if late {
		t.c.write.forget()
	}
	t.now = time.Now()
	t.pace.Touch()
	if t.watched || !t.paced {
		return nil // somebody else judges, or it is short
	}
	return t.judge()
}

// date is the Date field of this second (RFC 9110 section 6.6.1).
func date(now time.Time) string {
	second := now.Unix()
	if d := today.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &dated{second, now.UTC().Format(http.TimeFormat)}
	today.Store(d)
	return d.text
}

type dated struct {
	second int64
	text   string
}

var today atomic.Pointer[dated]
