package gate

import "strings"

// Servers behind CGI, WSGI, PHP and the like turn a field name into a variable
// by upper-casing it and replacing what is no letter or digit, so that
// X~Auth~Subject and X_Auth_Subject both become HTTP_X_AUTH_SUBJECT. Names are
// therefore compared after the same folding (CVE-2025-64484,
// CVE-2026-54763 and the dot form are attacks on gateways that did not).

// longestName is the longest field name that is looked at as a whole. A longer
// one is folded only as far as that, which is enough for the prefixes.
const longestName = 96

// foldInto folds name into buf and returns what was written.
func foldInto(buf *[longestName]byte, name string) []byte {
	n := min(len(name), longestName)
	for i := range n {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		default:
			c = '-'
		}
		buf[i] = c
	}
	return buf[:n]
}

// Fold gives a field name the form in which names are compared. What lies
// beyond its first 96 bytes is cut off.
func Fold(name string) string {
	var buf [longestName]byte
	return string(foldInto(&buf, name))
}

func foldAll(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[Fold(n)] = true
	}
	return m
}

// fieldClass says what becomes of a client's field.
type fieldClass uint8

const (
	fieldPlain      fieldClass = iota // goes on
	fieldOurs                         // the gateway writes it: identity, request id
	fieldTrace                        // traceparent and tracestate: go on if well formed
	fieldForwarding                   // X-Forwarded-*, X-Real-IP: go on from a trusted proxy
	fieldDropped                      // removed unless keep_headers names it
	fieldHop                          // ends at this hop: framing, connection, Expect, Trailer
	fieldCredential                   // Authorization
	fieldExact                        // Host and Cookie: go on in their own spelling only
	fieldOverride                     // asks for another method
)

// classes names every field that does not simply go on, folded.
var classes = map[string]fieldClass{
	"x-request-id": fieldOurs,

	"traceparent": fieldTrace,
	"tracestate":  fieldTrace,

	"x-real-ip": fieldForwarding,

	"x-original-url":        fieldDropped,
	"x-original-uri":        fieldDropped,
	"x-rewrite-url":         fieldDropped,
	"x-replaced-path":       fieldDropped,
	"x-envoy-original-path": fieldDropped,
	"forwarded":             fieldDropped,
	"remote-user":           fieldDropped,
	"proxy":                 fieldDropped,

	"connection":          fieldHop,
	"content-length":      fieldHop,
	"expect":              fieldHop,
	"http2-settings":      fieldHop,
	"keep-alive":          fieldHop,
	"proxy-authenticate":  fieldHop,
	"proxy-authorization": fieldHop,
	"proxy-connection":    fieldHop,
	"te":                  fieldHop,
	"trailer":             fieldHop,
	"transfer-encoding":   fieldHop,
	"upgrade":             fieldHop,

	"authorization": fieldCredential,

	"host":   fieldExact,
	"cookie": fieldExact,

	"x-http-method-override": fieldOverride,
	"x-http-method":          fieldOverride,
	"x-method-override":      fieldOverride,
}

func classify(name string) fieldClass {
	if !interesting(name) {
		return fieldPlain
	}
	var buf [longestName]byte
	folded := foldInto(&buf, name)
	if class, ok := classes[string(folded)]; ok {
		return class
	}
	switch {
	case strings.HasPrefix(string(folded), "x-auth-"):
		return fieldOurs
	case strings.HasPrefix(string(folded), "x-forwarded-"):
		return fieldForwarding
	}
	return fieldPlain
}

// interesting is a quick no for the first letters with which no name in
// classes begins.
func interesting(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] | 0x20 {
	case 'x', 't', 'f', 'r', 'p', 'c', 'e', 'h', 'k', 'u', 'a':
		return true
	}
	return false
}

// MayKeep reports whether keep_headers may name a field. It may not where the
// gateway's own safety depends on the field: identity, framing, connection,
// credential, Host, Cookie, method overrides.
func MayKeep(name string) bool {
	switch classify(name) {
	case fieldPlain, fieldForwarding, fieldDropped:
		return true
	}
	return false
}

// MayCarryClaim reports whether claim_headers may name a field. It may not where
// the field has a meaning already, to the gateway or for the body.
func MayCarryClaim(name string) bool {
	switch Fold(name) {
	case "content-type", "content-encoding":
		return false
	}
	return classify(name) == fieldPlain
}

// Keep reports whether a client's field line goes on to the service as it
// came. It is asked for every line of an admitted request, and knows nothing
// of Connection: what a client names there cannot remove anything
// (GHSA-w9mr-28mw-j8hg).
func (x *Exchange) Keep(name, value string) bool {
	switch classify(name) {
	case fieldPlain:
		return !x.snapshot.isClaimHeader(name)
	case fieldForwarding:
		return x.trusted && inOwnSpelling(name) && !x.written(name) || x.service.keeps(name)
	case fieldDropped:
		return x.service.keeps(name)
	case fieldTrace:
		return x.traced()
	case fieldExact:
		return strings.EqualFold(name, "cookie")
	case fieldCredential:
		return strings.EqualFold(name, "authorization") && x.keepsCredential(value)
	default:
		return false
	}
}

// inOwnSpelling tells X-Forwarded-Proto from X_Forwarded_Proto: a trusted proxy
// writes the one over what its client sent, and may pass on the other.
func inOwnSpelling(name string) bool { return strings.EqualFold(name, Fold(name)) }

// keepsCredential: a public route looks at no token, so another scheme is the
// service's own business there, but a Bearer token is not shown to a service
// that did not ask for one.
func (x *Exchange) keepsCredential(value string) bool {
	if x.match.Public() {
		_, isBearer := bearer(value)
		return !isBearer
	}
	return x.service.ForwardToken
}

func (s *Service) keeps(name string) bool {
	return len(s.keep) > 0 && s.keep[Fold(name)]
}

func (n *Snapshot) isClaimHeader(name string) bool {
	if len(n.claims) == 0 {
		return false
	}
	var buf [longestName]byte
	return n.claims[string(foldInto(&buf, name))]
}

// IsOverride reports whether a field of this name asks for another method than
// the request's own, in any spelling that a service may fold to one.
func IsOverride(name string) bool { return classify(name) == fieldOverride }
