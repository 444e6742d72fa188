package dataport

import (
	"log"
	"net/netip"
	"time"
)

// Config is what a [Port] is made with.
type Config struct {
	// HeadTimeout is the time from accept until the connection's protocol is known, TLS
	// handshake included: 10s if it is zero.
	HeadTimeout time.Duration
	Limits      Limits
	// ErrorLog receives what there is to say about single connections: failed
	// handshakes, and a listener that has no descriptor left. nil discards it.
	ErrorLog *log.Logger
}

// Limits bound the connections of the data port from accept on.
type Limits struct {
	Connections int // at once; 0 means no bound
	PerAddress  int // at once from one IPv4 address or IPv6 /64; 0 means no bound
	// Exempt are peers that are not counted by address: a load balancer is one
	// address for all its clients. Loopback peers are always exempt.
	Exempt []netip.Prefix
}

// Grace is the time that a drain gives.
type Grace struct {
	Delay time.Duration // the listener stays open while whoever routes here learns of it
	Work  time.Duration // then what is in flight may take this long
}
