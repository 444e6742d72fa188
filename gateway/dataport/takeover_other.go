//go:build !linux

package dataport

import (
	"context"
	"errors"
)

// errLinux is why: the peer's user is found out, and descriptors are sent, as Linux does it.
var errLinux = errors.New("handing sockets over to a new process needs Linux")

// Offer, Successor and Predecessor are what they are on Linux; here there are none.
type (
	Offer       struct{}
	Successor   struct{ PID int }
	Predecessor struct {
		PID     int
		Sockets []Socket
	}
)

// NewOffer fails.
func NewOffer(string, []Socket, func(error)) (*Offer, error) { return nil, errLinux }

// TakeOver fails.
func TakeOver(string) (*Predecessor, error) { return nil, errLinux }

func (*Offer) Wait(context.Context) *Successor                  { return nil }
func (*Offer) Close() error                                     { return nil }
func (*Successor) Yours() error                                 { return nil }
func (*Predecessor) Release(context.Context, func() bool) error { return errLinux }
func (*Predecessor) Offer([]Socket, func(error)) *Offer         { return nil }
func (*Predecessor) Close()                                     {}
