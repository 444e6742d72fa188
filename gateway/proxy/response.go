package proxy

import (
	"net/http"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// response is the answer on its way to the client: counted, watched, and with
// the connection's fate decided when its head is written.
type response struct {
	http.ResponseWriter
	e       *exchange
	status  int
	bytes   int64
	interim int
}

// WriteHeader writes the head of an interim or of the final answer.
func (w *response) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		w.writeInterim(status)
		return
	}
	if w.status != 0 {
		return
	}
	w.status = status
	if _, typed := w.Header()["Content-Type"]; !typed {
		w.Header()["Content-Type"] = nil // net/http would guess one, and make a page of what the service left unnamed
	}
	if w.e.closesAfter() {
		w.Header().Set("Connection", "close") // over HTTP/2 net/http makes a GOAWAY of it
	}
	w.ResponseWriter.WriteHeader(status)
}

// writeInterim passes on a 1xx answer. 100 is the gateway's own to give, and
// HTTP/1.0 knows none (RFC 9110 section 15.2).
func (w *response) writeInterim(status int) {
	if w.interim++; w.interim > gate.MostInterim {
		w.e.cancel(gate.ErrInterim)
		return
	}
	if status == http.StatusContinue || status == http.StatusSwitchingProtocols || !w.e.r.ProtoAtLeast(1, 1) {
		return
	}
	w.e.strip(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a piece of the body.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.e.watch.Giving(true)
	n, err := w.ResponseWriter.Write(p)
	w.e.watch.Giving(false)
	w.bytes += int64(n)
	if err != nil {
		w.e.cutBy(gate.ErrGone)
	}
	return n, err
}

// FlushError sends what is buffered; http.ResponseController looks for it.
func (w *response) FlushError() error {
	w.e.watch.Giving(true)
	defer w.e.watch.Giving(false)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController find net/http's own writer.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// closesAfter decides whether the client's connection ends with this answer.
// Besides draining, it ends after an answer that came before the request's end
// (what follows on the connection might be read as another request), and after
// a request with chunked framing or an HTTP/1.0 body: net/http does not tell
// whether Content-Length stood beside Transfer-Encoding, and after such a
// request RFC 9112 section 6.3 has the connection closed.
func (e *exchange) closesAfter() bool {
	if e.conn != nil && e.conn.Draining() {
		return true
	}
	if e.r.ProtoMajor != 1 || e.r.ContentLength == 0 {
		return false
	}
	return e.r.ContentLength < 0 || e.r.ProtoMinor == 0 || e.unread()
}

// refuse answers for the gate.
func (e *exchange) refuse(err error) {
	e.drainSmallBody()
	a := e.x.Refuse(e.ctx, err)
	h := e.w.Header()
	clear(h)
	for _, f := range a.Fields {
		h[f.Name] = []string{f.Value}
	}
	e.w.WriteHeader(a.Status)
	if len(a.Body) > 0 && a.Status != 499 && e.r.Method != http.MethodHead { // nobody is there to be told, or nobody listens
		e.w.Write(a.Body) // a client that is gone is in the record already
	}
	e.completed = true
}

const (
	// smallBody is what is read of a refused request's body, so that the
	// connection of a client which posts a form need not end with a refusal.
	smallBody = 64 << 10
	drainTime = 250 * time.Millisecond
	// lingerTime is how long net/http may go on reading an unread body after
	// the answer, so that it is not lost to a reset of the connection.
	lingerTime = 500 * time.Millisecond
)

// drainSmallBody reads a small body that has probably arrived already. Over HTTP/2 net/http
// resets a stream that it answers before its end, without an error (RFC 9113 section 8.1), and
// curl 7.88 then loses the answer. One that waits for 100 Continue is never asked for.
func (e *exchange) drainSmallBody() {
	r := e.r
	if r.ContentLength <= 0 || r.ContentLength > smallBody || !e.unread() || r.Header.Get("Expect") != "" {
		return
	}
	if e.body.fault() != nil || e.ctx.Err() != nil {
		return
	}
	if r.ProtoMajor >= 2 && e.body.begun.Load() {
		return // whoever carried it to the service may still be reading
	}
	rc := http.NewResponseController(e.w.ResponseWriter)
	if rc.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return
	}
	left := make([]byte, r.ContentLength-e.body.bytes())
	for len(left) > 0 {
		n, err := e.body.Read(left)
		if left = left[n:]; err != nil {
			break
		}
	}
	if !e.unread() {
		rc.SetReadDeadline(time.Time{}) // the next request has its own limits
	}
}

// release sets the limits for what net/http does after the handler: it sends
// what is buffered, and reads on in an unread body.
func (e *exchange) release() {
	rc := http.NewResponseController(e.w.ResponseWriter)
	if e.r.ProtoMajor == 1 && e.unread() {
		rc.SetReadDeadline(time.Now().Add(lingerTime))
	}
	rc.SetWriteDeadline(time.Now().Add(e.watch.Limits.WriteIdle))
}

// unread reports that the client may still be sending this request.
func (e *exchange) unread() bool { return e.body.unread() }
