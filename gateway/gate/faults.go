package gate

import (
	"errors"

	"github.com/scopegate/scopegate/gateway/policy"
)

// What only a lane can find out. Each is a refusal as long as the answer has
// not begun, and the cause in the record afterwards.
var (
	ErrMalformed = fault(ReasonMalformed, "the request is not well formed")
	ErrSlowHead  = fault(ReasonRequestTimeout, "the client stopped sending its head")
	ErrSlowBody  = fault(ReasonRequestTimeout, "the client stopped sending its body")
	ErrBigBody   = fault(ReasonBodyTooLarge, "the body is larger than the service allows")
	ErrBigHead   = fault(ReasonHeadTooLarge, "the head is larger than the service allows")
	ErrBigURI    = &Refusal{Reason: ReasonHeadTooLarge, Status: 414, Err: errors.New("the request-target is larger than the service allows")}
	ErrExpect    = &Refusal{Reason: ReasonMalformed, Status: 417, Err: errors.New("the Expect field is not exactly 100-continue on an HTTP/1.1 request with a body")}
	ErrProtocol  = &Refusal{Reason: ReasonMalformed, Status: 501, Err: errors.New("extended CONNECT to anything but a WebSocket that the route allows")}
	ErrVersion   = &Refusal{Reason: ReasonMalformed, Status: 505, Err: errors.New("the request line of HTTP/1 names another version")}
	ErrHost      = &Refusal{Reason: ReasonAmbiguous, Guard: policy.RuleHost}
	ErrHandshake = fault(ReasonMalformed, "not a WebSocket handshake of version 13 with one key of 16 bytes and no body")

	ErrNoConnection = fault(ReasonOverloaded, "the service has as many connections as limits.connections allows")
	ErrSlowUpstream = fault(ReasonUpstreamTimeout, "the service did not answer in time")
	ErrUnasked      = fault(ReasonUpstreamBroken, "the service switched protocols unasked or wrongly")
	ErrInterim      = fault(ReasonUpstreamBroken, "the service sent more than eight interim answers")
	ErrStatus       = fault(ReasonUpstreamBroken, "the service answered with a status that is none")
	ErrBrokeOff     = fault(ReasonUpstreamBroken, "the service broke off its answer")

	ErrGone       = fault(ReasonClientClosed, "the client went away")
	ErrSlowReader = fault(ReasonClientClosed, "the client stopped reading")

	ErrEnded   = fault(ReasonUpstreamTimeout, "the token, its key or the route ended")
	ErrIdle    = fault(ReasonUpstreamTimeout, "nothing moved on the stream")
	ErrDrained = fault(ReasonUpstreamTimeout, "the gateway stopped")
)

func fault(r Reason, text string) *Refusal {
	return &Refusal{Reason: r, Err: errors.New(text)}
}

// MostInterim bounds the 1xx answers to one request (RFC 9110 section 15.2 has
// no bound, and so an endless answer).
const MostInterim = 8
