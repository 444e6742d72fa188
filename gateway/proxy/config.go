package proxy

import (
	"log"
	"time"
)

// Config holds what concerns connections, before their service is known. Zero
// values mean the defaults that stand beside them.
type Config struct {
	// HTTP1 makes net/http read HTTP/1 as well; without it the lane must be given
	// HTTP/2 connections only.
	HTTP1       bool
	HeadTimeout time.Duration // from a request's first byte to its head's last: 10s
	IdleTimeout time.Duration // a kept-alive connection without a request: 75s
	HeadMax     int64         // bytes of a request's head: 64 KiB
	// ErrorLog receives what net/http has to say about single connections;
	// nil discards it.
	ErrorLog *log.Logger
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
