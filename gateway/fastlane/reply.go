package fastlane

import (
	"errors"
	"net/http"

	"github.com/scopegate/scopegate/gateway/gate"
)

// mostAnswerHead bounds an answer's head, in bytes.
const mostAnswerHead = 256 << 10

// reply is what has come from a service: a head, and what stands behind it.
type reply struct {
	back   source
	answer answerHead // its texts are views into back
}

// asker is whoever asked for a reply.
type asker interface {
	fill(p []byte) (int, error) // reads on from the service
	relayInterim() error        // passes the 1xx answer on that was read
}

var errBigAnswer = errors.New("the head of the service's answer is too large")

// read reads heads until the final one, or a 101, in answer to a request with
// this method.
func (r *reply) read(method string, who asker) error {
	looked, interim := 0, 0
	for {
		end, next, err := endOfHead(r.back.rest(), looked)
		if err != nil {
			return broken(err)
		}
		if end == 0 {
			looked = next
			if !r.back.room(mostAnswerHead) {
				return errBigAnswer
			}
			n, err := who.fill(r.back.buf[r.back.w:])
			r.back.w += n
			if err != nil {
				return err
			}
			continue
		}
		err = r.answer.parse(r.back.rest()[:end])
		r.back.r, looked = r.back.r+end, 0
		if err != nil {
			return broken(err)
		}
		if r.answer.status == http.StatusSwitchingProtocols || r.answer.status >= 200 {
			return nil
		}
		if _, _, err := answerLength(&r.answer, method); err != nil {
			return broken(err) // no body follows (RFC 9110 section 15.2), but framing that is none is in doubt here too
		}
		if interim++; interim > gate.MostInterim {
			return gate.ErrInterim
		}
		if err := who.relayInterim(); err != nil {
			return err
		}
	}
}

// reusable reports, when the body has been read, that the connection may serve
// another request: the answer said itself where it ends, nothing came behind it,
// and the service neither closes nor may still be sending.
func (r *reply) reusable(method string, length int64) bool {
	return length != untilClose && r.back.r == r.back.w &&
		persists(&r.answer.fields, r.answer.minor) && method != http.MethodHead && !r.answer.announcesBody(method)
}

// hasBody: RFC 9110 section 6.4.1.
func (h *answerHead) hasBody(method string) bool {
	return method != http.MethodHead && h.status != http.StatusNoContent && h.status != http.StatusNotModified
}

// announcesBody reports an answer without a body that speaks of one all the same.
// A service that then sends it, if only a last chunk, would answer the next
// request with it (RFC 9110 section 8.6 and RFC 9112 section 6.1 forbid both to 204).
func (h *answerHead) announcesBody(method string) bool {
	return !h.hasBody(method) && (len(h.Values("Transfer-Encoding")) > 0 ||
		h.status == http.StatusNoContent && !saysZero(h.Values("Content-Length")))
}

// saysZero: there is no length, or it is 0, as services write that take 204 for
// any other answer.
func saysZero(lengths []string) bool {
	return len(lengths) == 0 || len(lengths) == 1 && lengths[0] == "0"
}

// broken names a fault of the service's.
func broken(err error) error { return &gate.Refusal{Reason: gate.ReasonUpstreamBroken, Err: err} }
