// Package proxy is the standard lane: net/http reads what clients send, the
// gate judges it, and httputil.ReverseProxy carries what was allowed, over
// connections of net/http's client or of another that it is given.
//
// It owns what passes over a connection once package dataport has found its
// protocol: HTTP/2, and HTTP/1 where it is asked to read that; bodies and their
// limits, time limits, WebSocket tunnels, the end of streams in a drain, and
// one connection pool per service, TLS included.
//
// It does not own any decision. Which service, which path, whether the caller
// may, which header fields go on and how a refusal looks are questions for
// package gate; by the time that a request is rewritten the answer is yes. It
// does not own configuration files, certificates' renewal, metrics or logs
// either: the sidecar hands it values and reads counts from it.
//
// What a service receives is written anew by that client from the gate's
// reading, never copied from the client's bytes: one method, one target, one
// Host, one framing.
package proxy
