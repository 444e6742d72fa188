package proxy

import (
	"log"
	"net/netip"
	"time"
)

// Config holds what concerns the data port as a whole. Zero values mean the
// defaults that stand beside them.
type Config struct {
	HeadTimeout time.Duration // from a request's first byte to its head's last, and for the TLS handshake: 10s
	IdleTimeout time.Duration // a kept-alive connection without a request: 75s
	HeadMax     int64         // bytes of a request's head: 64 KiB
	Limits      Limits
	// ErrorLog receives what net/http has to say about single connections;
	// nil discards it.
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

func (c Config) withDefaults() Config {
	c.HeadTimeout = orDuration(c.HeadTimeout, 10*time.Second)
	c.IdleTimeout = orDuration(c.IdleTimeout, 75*time.Second)
	if c.HeadMax <= 0 {
		c.HeadMax = 64 << 10
	}
	return c
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
