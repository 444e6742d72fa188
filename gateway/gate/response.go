package gate

import "strings"

// KeepAnswer reports whether a field line of the service's answer goes on to
// the client. Lanes ask it for every line of every answer, interim ones and a
// tunnel's 101 included; it does not allocate. Framing (Content-Length) is the
// lane's own affair, and so are the names that the answer's Connection lists.
func (x *Exchange) KeepAnswer(name string) bool {
	return !endsHere(name) && (!x.shares() || !isCORS(name))
}

// AddAnswer calls add for every field line that the gateway appends to a
// service's final answer. A lane calls it once the service's own lines are in
// place; it must append, not replace: Vary may be there already. Values may be
// views into the request.
func (x *Exchange) AddAnswer(add func(name, value string)) {
	if x.shares() {
		x.share(x.service.pages.expose, add)
	}
}

// endsHere reports a field of an answer that concerns this hop alone (RFC 9110
// section 7.6.1 and what RFC 2616 section 13.5.1 had beside it). The fields of
// a request that end here are in classes.
func endsHere(name string) bool {
	switch len(name) {
	case len("TE"):
		return strings.EqualFold(name, "TE")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer") || strings.EqualFold(name, "Upgrade")
	case len("Connection"):
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case len("Proxy-Connection"):
		return strings.EqualFold(name, "Proxy-Connection")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	case len("Proxy-Authenticate"):
		return strings.EqualFold(name, "Proxy-Authenticate")
	case len("Proxy-Authorization"):
		return strings.EqualFold(name, "Proxy-Authorization")
	}
	return false
}
