package fastlane

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// relay passes the answer on whose head was read.
func (t *turn) relay() error {
	length, declared, err := answerLength(&t.answer, t.x.Method())
	if err != nil {
		return broken(err)
	}
	return t.relayAs(length, declared)
}

// relayAs passes an answer of known length on.
func (t *turn) relayAs(length, declared int64) error {
	t.closes = t.closes || t.c.Draining() || t.unread() || length == untilClose && t.head.minor == 0
	t.startAnswer()
	t.writeLength(length, declared)
	t.endHead()
	t.answered, t.outcome.Status = true, t.answer.status
	if err := t.relayBody(length); err != nil {
		return err
	}
	t.clean = t.reusable(t.x.Method(), length)
	return nil
}

// startAnswer begins the client's answer: the service's status, and its fields
// but for those that end at this hop (RFC 9110 section 7.6.1).
func (t *turn) startAnswer() {
	reason := t.answer.reason
	if reason == "" {
		reason = http.StatusText(t.answer.status)
	}
	t.begun(t.answer.status, reason)
	hop := t.answer.Values("Connection")
	dated := t.answer.status < 200
	for i := range t.answer.lines {
		f := &t.answer.lines[i]
		if !t.x.KeepAnswer(f.name) || strings.EqualFold(f.name, "Content-Length") || len(hop) > 0 && gate.HasToken(hop, f.name) {
			continue
		}
		dated = dated || strings.EqualFold(f.name, "Date")
		t.appendField(f.name, f.value)
	}
	if t.answer.status < 200 {
		return
	}
	t.x.AddAnswer(t.add)
	if !dated {
		t.appendField("Date", date(t.now))
	}
}

// writeLength says anew how long the body is.
func (t *turn) writeLength(length, declared int64) {
	switch {
	case length > 0 || length == 0 && t.answer.hasBody(t.x.Method()):
		t.out = appendLength(t.out, length)
	case length == 0 && declared >= 0:
		t.out = appendLength(t.out, declared)
	case length < 0 && t.head.minor > 0:
		t.appendField("Transfer-Encoding", "chunked")
		for _, names := range t.answer.Values("Trailer") {
			t.appendField("Trailer", names) // they are passed on
		}
	}
}

// appendLength appends a Content-Length of n bytes.
func appendLength(out []byte, n int64) []byte {
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, n, 10)
	return append(out, "\r\n"...)
}

// relayBody writes the head that stands in out, and with it what of the body
// has come already, then the rest as it comes.
func (t *turn) relayBody(length int64) error {
	if length < 0 {
		return t.relayUnmeasured(length == chunked)
	}
	here := min(length, int64(t.back.w-t.back.r))
	t.out = append(t.out, t.back.rest()[:here]...)
	t.back.r += int(here)
	if length > here {
		t.phase(length)
	}
	if err := t.write(t.out); err != nil {
		return err
	}
	t.outcome.BytesOut = here
	if length == here {
		return nil
	}
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	for left := length - here; left > 0; {
		n, err := t.fill(buf[:min(left, bodyBuffer)])
		if err != nil {
			return brokenOff(err)
		}
		left -= int64(n)
		if err := t.relayed(buf[:n], n); err != nil {
			return err
		}
	}
	return nil
}

// phase begins an answer that goes on behind its first bytes.
func (t *turn) phase(length int64) {
	kind := ""
	if v := t.answer.Values("Content-Type"); len(v) > 0 {
		kind = v[0]
	}
	t.pace.Answering(gate.PhaseOf(kind, length))
	t.judged = time.Time{} // a stream's right is looked at when it begins
}

// relayed writes a piece of the body, of which n bytes are content, and looks
// from time to time whether the answer may go on.
func (t *turn) relayed(piece []byte, n int) error {
	t.pace.Giving(true)
	err := t.write(piece)
	t.pace.Giving(false)
	if err != nil {
		return err
	}
	t.outcome.BytesOut += int64(n)
	if t.watched || t.now.Sub(t.judged) < gate.Recheck {
		return nil
	}
	return t.judge()
}

// brokenOff names the end of an answer before its end.
func brokenOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return gate.ErrBrokeOff
	}
	return err
}

// relayUnmeasured passes on a body whose length only its end tells. The client
// gets it in chunks of our own, or, in HTTP/1.0, until the connection closes.
func (t *turn) relayUnmeasured(framed bool) error {
	t.phase(-1)
	body := unmeasured{framed: framed}
	content, err := body.take(t, t.back.rest())
	if err != nil {
		t.answered = false // nothing has been written: there is still time for a 502
		return err
	}
	t.appendPiece(content)
	t.outcome.BytesOut += int64(len(content))
	if err := t.write(t.out); err != nil {
		return err
	}
	buf := bodyBuffers.Get().(*[bodyBuffer]byte)
	defer bodyBuffers.Put(buf)
	for !body.ended {
		n, err := t.fill(buf[chunkBefore : bodyBuffer-chunkBehind])
		switch {
		case err == io.EOF && !framed:
			body.ended = true
		case err != nil:
			return brokenOff(err)
		}
		content, err := body.take(t, buf[chunkBefore:chunkBefore+n])
		if err != nil {
			return err
		}
		if err := t.relayPiece(buf, content); err != nil {
			return err
		}
	}
	t.out = t.out[:0]
	t.appendEnd(body.trailer)
	return t.write(t.out)
}

// unmeasured is a body whose end shows when it comes.
type unmeasured struct {
	chunks
	framed bool
	ended  bool
}

// take takes the content out of what has come.
func (b *unmeasured) take(t *turn, p []byte) ([]byte, error) {
	t.back.r, t.back.w = 0, 0
	if !b.framed {
		return p, nil
	}
	n, took, err := b.decode(p, p)
	if err != nil {
		return nil, broken(err)
	}
	b.ended = b.done()
	t.back.w = len(p) - took // bytes behind the answer: the connection is not to be trusted again
	return p[:n], nil
}

func (t *turn) relayPiece(buf *[bodyBuffer]byte, content []byte) error {
	switch {
	case len(content) == 0:
		return nil
	case t.head.minor == 0:
		return t.relayed(content, len(content))
	}
	return t.relayed(frameChunk(buf[:], content), len(content))
}

// appendPiece appends content to out, as a chunk where the client takes chunks.
func (t *turn) appendPiece(content []byte) {
	if len(content) == 0 {
		return
	}
	if t.head.minor == 0 {
		t.out = append(t.out, content...)
		return
	}
	t.out = strconv.AppendInt(t.out, int64(len(content)), 16)
	t.out = append(t.out, "\r\n"...)
	t.out = append(t.out, content...)
	t.out = append(t.out, "\r\n"...)
}

// appendEnd appends the last chunk and the trailers that the service sent.
func (t *turn) appendEnd(trailer []byte) {
	if t.head.minor == 0 {
		return
	}
	t.out = append(t.out, "0\r\n"...)
	for _, line := range t.trailers(trailer) {
		if t.x.KeepAnswer(line.name) && !strings.EqualFold(line.name, "Content-Length") {
			t.appendField(line.name, line.value)
		}
	}
	t.out = append(t.out, "\r\n"...)
}

// trailers are the fields that came behind the body, which chunks has checked.
func (t *turn) trailers(section []byte) []field {
	if t.from != nil {
		return trailers(t.from)
	}
	if len(section) <= len("\r\n") {
		return nil
	}
	var f fields
	f.parse(section)
	return f.lines
}
