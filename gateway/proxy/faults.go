package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/scopegate/scopegate/gateway/gate"
)

// What only a lane can find out. Each is a refusal as long as the answer has
// not begun, and the cause in the record afterwards.
var (
	errSlowBody = fault(gate.ReasonRequestTimeout, "the client stopped sending its body")
	errBigBody  = fault(gate.ReasonBodyTooLarge, "the body is larger than the service allows")
	errBigHead  = fault(gate.ReasonHeadTooLarge, "the head is larger than the service allows")
	errBigURI   = &gate.Refusal{Reason: gate.ReasonHeadTooLarge, Status: 414, Err: errors.New("the request-target is larger than the service allows")}
	errExpect   = &gate.Refusal{Reason: gate.ReasonMalformed, Status: 417, Err: errors.New("the Expect field is not exactly 100-continue on an HTTP/1.1 request with a body")}
	errProtocol = &gate.Refusal{Reason: gate.ReasonMalformed, Status: 501, Err: errors.New("extended CONNECT to anything but a WebSocket that the route allows")}
	errUpgrade  = fault(gate.ReasonMalformed, "not a WebSocket handshake of version 13 with one key of 16 bytes and no body")

	errSlowUpstream = fault(gate.ReasonUpstreamTimeout, "the service did not answer in time")
	errUnasked      = fault(gate.ReasonUpstreamBroken, "the service switched protocols unasked or wrongly")
	errInterim      = fault(gate.ReasonUpstreamBroken, "the service sent more than eight interim answers")
	errStatus       = fault(gate.ReasonUpstreamBroken, "the service answered with a status that is none")
	errBrokeOff     = fault(gate.ReasonUpstreamBroken, "the service broke off its answer")

	errGone       = fault(gate.ReasonClientClosed, "the client went away")
	errSlowReader = fault(gate.ReasonClientClosed, "the client stopped reading")

	errEnded   = fault(gate.ReasonUpstreamTimeout, "the token, its key or the route ended")
	errIdle    = fault(gate.ReasonUpstreamTimeout, "nothing moved on the stream")
	errDrained = fault(gate.ReasonUpstreamTimeout, "the gateway stopped")
)

func fault(r gate.Reason, text string) *gate.Refusal {
	return &gate.Refusal{Reason: r, Err: errors.New(text)}
}

// faultOf finds the reason for which forwarding failed with err. What the
// exchange knows about its own ends comes first: an upstream's error is often
// only the echo of a client that stopped.
func (e *exchange) faultOf(err error) *gate.Refusal {
	var named *gate.Refusal
	if f := e.body.fault(); f != nil {
		return f
	}
	if errors.As(context.Cause(e.ctx), &named) || errors.As(err, &named) {
		return named
	}
	if e.client.Err() != nil {
		return errGone
	}
	var dial errDial
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &dial), errors.As(err, &certificate):
		return &gate.Refusal{Reason: gate.ReasonUpstreamUnreachable, Err: err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &gate.Refusal{Reason: gate.ReasonUpstreamTimeout, Err: err}
	}
	return &gate.Refusal{Reason: gate.ReasonUpstreamBroken, Err: err}
}

// cut is what ended an answer before its end.
type cut struct{ error }

// cutBy notes what cut the answer short; the first cause counts.
func (e *exchange) cutBy(err error) { e.cut.CompareAndSwap(nil, &cut{err}) }

func (e *exchange) whyCut() error {
	if c := e.cut.Load(); c != nil {
		return c.error
	}
	return errBrokeOff
}
