// Package proxy is the standard lane: net/http reads what clients send, the
// gate judges it, and httputil.ReverseProxy carries what was allowed.
//
// It owns sockets and everything about them: accepting connections and how
// many, HTTP/1 and HTTP/2, TLS on both sides, bodies and their limits, time
// limits, WebSocket tunnels, draining, and one connection pool per service.
//
// It does not own any decision. Which service, which path, whether the caller
// may, which header fields go on and how a refusal looks are questions for
// package gate; by the time that a request is rewritten the answer is yes. It
// does not own configuration files, certificates' renewal, metrics or logs
// either: the sidecar hands it values and reads counts from it.
//
// What a service receives is written anew by http.Transport from the gate's
// reading, never copied from the client's bytes: one method, one target, one
// Host, one framing.
package proxy
