package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/scopegate/scopegate/gateway/gate"
)

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
		if e.conn != nil && e.conn.Cut() {
			return gate.ErrDrained
		}
		return gate.ErrGone
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
	return gate.ErrBrokeOff
}
