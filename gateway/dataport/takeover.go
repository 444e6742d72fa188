package dataport

import (
	"errors"
	"net"
)

// A takeover hands the listening sockets of a running process over to a new one, so that no
// connection is refused and none that the kernel has queued is lost; SO_REUSEPORT alone would
// lose the old process's queue. Both talk over a unix socket, in messages of one packet:
//
//	successor                           predecessor
//	TakeOver   connects         -->     Offer.Wait
//	           <--  sockets, and their descriptors
//	(fetches keys; the predecessor goes on serving)
//	Release    ready            -->
//	                                    Port.HandOver: accepts no more, closes its descriptors
//	           <--  yours               Successor.Yours
//	(accepts what is queued by now)     Port.Drain
//
// Exactly one of the two accepts at any time. A successor that ends, says no more, or takes too
// long before it is ready changes nothing. A predecessor that ends in the middle leaves
// everything to the successor, which then serves as soon as it is ready.

// Socket is a listening socket that is handed over.
type Socket struct {
	Name    string // what it is for, which the successor looks for: data, admin
	Address string // as it is configured
	net.Listener
}

// ErrNobody is returned by [TakeOver] when no process offers its sockets.
var ErrNobody = errors.New("dataport: nobody offers sockets to take over")
