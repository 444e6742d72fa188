// Package fastlane is the fast lane: HTTP/1.x from client to service, read and
// written by code of its own.
//
// One goroutine owns a client's connection from its first byte to its last and
// works as a loop: read a head, ask the gate, refuse or forward, relay the
// answer, next. It reads in this order:
//
//	lane.go      the lane as the data port sees it
//	conn.go      one connection: wait, serve, wait
//	turn.go      one request: begin, admit, refuse or forward, finish
//	head.go      the bytes of a head, strictly (RFC 9112 sections 2 to 5)
//	framing.go   where a body ends (RFC 9112 section 6.3)
//	chunks.go    chunked framing (RFC 9112 section 7.1)
//	forward.go   the judged request, written anew, and its answer
//	upload.go    the client's body on its way to the service
//	relay.go     the service's body on its way to the client
//	tunnel.go    both ways at once, after a 101
//	reply.go     the head of a service's answer, and what it says of its connection
//	upstream.go  the pool of connections to one service
//	far.go       one of them: looked at, asked, heard
//	roundtrip.go requests that net/http has read, over the same connections
//	body.go      the bodies of those, and of their answers
//	streams.go   services that speak HTTP/2, over net/http's client
//	socket.go    an end of a connection and its time limits
//
// It decides nothing: whether a request may go on, which of its fields do, and
// how a refusal looks are questions for package gate. What is well formed is
// decided here, and narrowly: whatever two readers of HTTP/1 could read in two
// ways ends in 400 and a closed connection. What goes on is written from what
// was understood, field by field; no byte of the client's framing is copied.
//
// Texts are views into the connection's buffers (unsafe.String), so that a
// request needs no memory. They live until [gate.Exchange.End] has returned.
package fastlane
