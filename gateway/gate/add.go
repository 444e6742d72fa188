package gate

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strings"
	"unsafe"
)

// written reports whether the gateway itself writes this forwarding field, so
// that the client's line must not go on beside it.
func (x *Exchange) written(name string) bool {
	switch Fold(name) {
	case "x-forwarded-for":
		return true
	case "x-forwarded-proto", "x-forwarded-host":
		return !x.trusted || len(x.in.Header.Values(name)) == 0
	}
	return false
}

// Add calls set once for each field that the gateway adds to the request: the
// forwarding fields, the request id, the trace and the identity. A lane sets
// them after it has copied what [Exchange.Keep] let through.
func (x *Exchange) Add(set func(name, value string)) {
	x.addForwarding(set)
	set("X-Request-Id", x.RequestID())
	if !x.traced() {
		set("Traceparent", x.made.traceparent())
	}
	if x.grant != nil && x.match.NeedsToken() {
		x.addIdentity(set)
	}
}

func (x *Exchange) addIdentity(set func(name, value string)) {
	if x.subject != "" {
		set("X-Auth-Subject", x.subject)
	}
	for _, f := range x.grant.fields {
		set(f.Name, f.Value)
	}
	for _, f := range x.person.fields {
		set(f.Name, f.Value)
	}
}

func (x *Exchange) addForwarding(set func(name, value string)) {
	if address := x.peer.text(x.in.Peer); address != "" {
		set("X-Forwarded-For", x.chain(address))
	} else if x.trusted {
		set("X-Forwarded-For", strings.Join(x.in.Header.Values("X-Forwarded-For"), ", "))
	}
	if x.written("X-Forwarded-Proto") {
		set("X-Forwarded-Proto", x.scheme())
	}
	if x.written("X-Forwarded-Host") && x.request.Host != "" {
		set("X-Forwarded-Host", x.request.Host)
	}
}

func (x *Exchange) scheme() string {
	if x.in.TLS {
		return "https"
	}
	return "http"
}

// chain is X-Forwarded-For: what a trusted proxy said, then the peer.
func (x *Exchange) chain(address string) string {
	if !x.trusted {
		return address
	}
	said := x.in.Header.Values("X-Forwarded-For")
	if len(said) == 0 {
		return address
	}
	return strings.Join(said, ", ") + ", " + address
}

// peerText remembers how an address is written: the requests of a connection
// have one peer.
type peerText struct {
	of      netip.AddrPort
	written string
}

// text is p's address without port and zone; "" for a unix socket.
func (t *peerText) text(p netip.AddrPort) string {
	if !p.IsValid() {
		return ""
	}
	if t.of != p {
		t.of, t.written = p, p.Addr().Unmap().WithZone("").String()
	}
	return t.written
}

// longestRequestID bounds a trusted proxy's request id, in bytes.
const longestRequestID = 128

// RequestID names the exchange in answers, to the service and in the log: what
// a trusted proxy sent, if that is one short visible word, else 26 random
// characters.
func (x *Exchange) RequestID() string {
	if x.id != "" {
		return x.id
	}
	if x.trusted {
		if v := x.in.Header.Values("X-Request-Id"); len(v) == 1 && isWord(v[0], longestRequestID) {
			x.id = v[0]
			return x.id
		}
	}
	x.id = x.made.requestID()
	return x.id
}

func isWord(s string, longest int) bool {
	if s == "" || len(s) > longest {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// traced reports whether the client sent one well-formed W3C traceparent. If
// not, the gateway begins a trace, and a tracestate without one is dropped.
func (x *Exchange) traced() bool {
	v := x.in.Header.Values("Traceparent")
	return len(v) == 1 && isTraceparent(v[0])
}

// isTraceparent checks version 00 of W3C Trace Context:
// 00-<32 hex>-<16 hex>-<2 hex>, neither id all zero.
func isTraceparent(s string) bool {
	const form = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh"
	if len(s) != len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] != 'h' {
			if s[i] != form[i] {
				return false
			}
			continue
		}
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

// made holds the texts that an exchange makes for itself, so that they need no
// memory of their own; they live until the next [Gate.Begin]. Their random
// parts have to be unique, not secret, and come from ChaCha8.
type made struct {
	id    [26]byte
	trace [55]byte
}

// requestID is 128 random bits in base 32 (RFC 4648 section 6).
func (m *made) requestID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	high, low := rand.Uint64(), rand.Uint64()
	for i := range m.id {
		m.id[i] = alphabet[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return unsafe.String(&m.id[0], len(m.id))
}

// traceparent begins a trace that is not sampled (W3C Trace Context, version 00).
func (m *made) traceparent() string {
	var ids [24]byte
	for i := 0; i < len(ids); i += 8 {
		binary.LittleEndian.PutUint64(ids[i:], rand.Uint64()|1) // an id of zeros is none
	}
	copy(m.trace[:], "00-")
	hex.Encode(m.trace[3:], ids[:16])
	m.trace[35] = '-'
	hex.Encode(m.trace[36:], ids[16:])
	copy(m.trace[52:], "-00")
	return unsafe.String(&m.trace[0], len(m.trace))
}
