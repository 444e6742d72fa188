package proxy

import (
	"net/http"
	"strings"

	"github.com/scopegate/scopegate/gateway/gate"
)

// header shows net/http's fields to the gate.
type header http.Header

// Values returns the values of a field by its canonical name.
func (h header) Values(name string) []string { return h[name] }

// fields writes the outbound head: what the gate keeps, then what it adds.
func (e *exchange) fields(method string) http.Header {
	in := e.r.Header
	out := make(http.Header, len(in)+12)
	for name, values := range in {
		if name == "" || name[0] == ':' {
			continue
		}
		for _, v := range values {
			if e.x.Keep(name, v) {
				out[name] = append(out[name], v)
			}
		}
	}
	e.x.Add(func(name, value string) {
		out[http.CanonicalHeaderKey(name)] = []string{value}
	})
	if gate.HasToken(in["Te"], "trailers") {
		out["Te"] = []string{"trailers"} // gRPC services insist on it
	}
	if !isSafe(method) {
		hideIdempotency(out)
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = []string{""} // keeps the transport from naming itself
	}
	return out
}

// strip removes from an answer's fields what does not go on to the client.
func (e *exchange) strip(h http.Header) {
	for name := range h {
		if !e.x.KeepAnswer(name) {
			delete(h, name)
		}
	}
}

// answerFields makes of the fields of the service's final answer what the client
// gets to see.
func (e *exchange) answerFields(h http.Header) {
	e.strip(h)
	e.x.AddAnswer(h.Add)
}

// hideIdempotency keeps http.Transport from sending a POST twice. It takes
// Idempotency-Key for leave to do so, looking the field up under its canonical
// name; names are case-insensitive on the wire (RFC 9110 section 5.1), so the
// service reads the same field in lower case.
func hideIdempotency(h http.Header) {
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = v
		}
	}
}
