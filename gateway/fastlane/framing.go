package fastlane

import (
	"errors"
	"strings"

	"github.com/scopegate/scopegate/gateway/gate"
)

// How long a body is, where it is not a number of bytes.
const (
	chunked    int64 = -1 // as long as its chunks say
	untilClose int64 = -2 // an answer that ends with its connection
)

var (
	errFraming = &gate.Refusal{Reason: gate.ReasonMalformed, Err: errors.New("the body's length is said in more than one way, or in none that all readers share")}
	errCoding  = &gate.Refusal{Reason: gate.ReasonMalformed, Status: 501, Err: errors.New("a transfer coding other than chunked")}
)

// requestLength is the length of a request's body: bytes, or chunked. RFC 9112
// section 6.3 lets a server repair much of what is refused here; every repair
// is one that another server makes otherwise.
func requestLength(h *requestHead) (int64, error) {
	codings, lengths := h.Values("Transfer-Encoding"), h.Values("Content-Length")
	switch {
	case len(codings) == 0 && len(lengths) == 0:
		return 0, nil
	case len(codings) == 0:
		return oneLength(lengths)
	case len(lengths) > 0, len(codings) > 1, h.minor == 0, promisesFraming(&h.fields):
		return 0, errFraming // sections 6.1 and 6.3
	case isChunked(codings[0]):
		return chunked, nil
	case knownAlone(codings[0]):
		return 0, errCoding // section 6.1: 501
	}
	return 0, errFraming
}

// isChunked ignores the case of ASCII letters only: Unicode has a K (U+212A) that
// folds to k, and that no other reader takes for one.
func isChunked(coding string) bool {
	return len(coding) == len("chunked") && strings.EqualFold(coding, "chunked")
}

// promisesFraming reports a Trailer that names what must not stand behind a body
// (RFC 9110 section 6.5.1): a reader that merges trailers into the head would
// find another framing there.
func promisesFraming(f *fields) bool {
	names := f.Values("Trailer")
	return len(names) > 0 && (gate.HasToken(names, "Content-Length") || gate.HasToken(names, "Transfer-Encoding") || gate.HasToken(names, "Trailer"))
}

// knownAlone tells a coding that is merely not spoken here from one that is
// written so that some reader may take it for chunked.
func knownAlone(coding string) bool {
	switch strings.ToLower(coding) {
	case "gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "identity":
		return true
	}
	return false
}

// oneLength reads the one Content-Length: digits and nothing else, and no list
// of equal ones (RFC 9110 section 8.6 allows a reader to take that for one).
func oneLength(lines []string) (n int64, err error) {
	if len(lines) != 1 || len(lines[0]) == 0 || len(lines[0]) > 18 {
		return 0, errFraming
	}
	for _, d := range []byte(lines[0]) {
		if d < '0' || d > '9' {
			return 0, errFraming
		}
		n = n*10 + int64(d-'0')
	}
	return n, nil
}

// answerLength is the length of an answer's body to a request with this method:
// bytes, chunked, or untilClose. declared is the Content-Length of an answer
// that has one and no body, as to HEAD; else -1.
func answerLength(h *answerHead, method string) (length, declared int64, err error) {
	codings, lengths := h.Values("Transfer-Encoding"), h.Values("Content-Length")
	if len(codings) > 0 && (len(lengths) > 0 || len(codings) > 1 || h.minor == 0 || !isChunked(codings[0]) || promisesFraming(&h.fields)) {
		return 0, -1, errFraming
	}
	n := int64(-1)
	if len(lengths) > 0 {
		if n, err = oneLength(lengths); err != nil {
			return 0, -1, err
		}
	}
	switch {
	case h.status == 204:
		return 0, -1, nil // RFC 9110 section 15.3.5: no body, no length
	case method == "HEAD" || h.status == 304:
		return 0, n, nil
	case len(codings) > 0:
		return chunked, -1, nil
	case n >= 0:
		return n, -1, nil
	}
	return untilClose, -1, nil
}

// persists reports whether the sender of a head keeps its connection open (RFC
// 9112 section 9.3). Keeping HTTP/1.0 connections is left to others: section
// C.2.2 warns proxies of it.
func persists(f *fields, minor int) bool {
	return minor >= 1 && !gate.HasToken(f.Values("Connection"), "close")
}
