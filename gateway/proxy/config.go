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

// Timeouts bound the steps of one exchange with a service. Zero values mean
// the defaults that stand beside them.
type Timeouts struct {
	BodyIdle   time.Duration // between two reads of the request's body: 30s
	Upstream   time.Duration // until the service's answer begins, and between two reads of an answer of declared length: 60s
	WriteIdle  time.Duration // between two writes to a client that reads slowly: 30s
	TunnelIdle time.Duration // a tunnel or stream on which nothing moves: 5m
	TunnelMax  time.Duration // a tunnel or stream on a public route: 1h
}

// afterExpiry is how long an ordinary answer may go on after its token has
// ended.
const afterExpiry = 5 * time.Minute

func (c Config) withDefaults() Config {
	c.HeadTimeout = orDuration(c.HeadTimeout, 10*time.Second)
	c.IdleTimeout = orDuration(c.IdleTimeout, 75*time.Second)
	if c.HeadMax <= 0 {
		c.HeadMax = 64 << 10
	}
	return c
}

func (t Timeouts) withDefaults() Timeouts {
	t.BodyIdle = orDuration(t.BodyIdle, 30*time.Second)
	t.Upstream = orDuration(t.Upstream, 60*time.Second)
	t.WriteIdle = orDuration(t.WriteIdle, 30*time.Second)
	t.TunnelIdle = orDuration(t.TunnelIdle, 5*time.Minute)
	t.TunnelMax = orDuration(t.TunnelMax, time.Hour)
	return t
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
