package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Grace is the time that a drain gives.
type Grace struct {
	Delay time.Duration // the listener stays open while whoever routes here learns of it
	Work  time.Duration // then what is in flight may take this long
}

const (
	// idleGrace is how long idle connections stay after the listener.
	idleGrace = time.Second
	// drainPoll is how often a drain looks whether connections have ended.
	drainPoll = 20 * time.Millisecond
)

// ErrCut is returned by [Proxy.Drain] when the time was up before the work was
// done.
var ErrCut = errors.New("proxy: the drain's time was up before all work in flight was done")

// Drain stops serving without losing a request that was accepted:
//
//  1. for g.Delay everything goes on, and each answer asks its client to leave
//     (Connection: close, over HTTP/2 a GOAWAY);
//  2. the listeners take in what the kernel has queued for them, and close;
//  3. a second later idle HTTP/1 connections end; those with a request, or of
//     which nothing has been read yet, end after their answer, and HTTP/2
//     connections after a GOAWAY and their last stream;
//  4. when g.Work is over, or ctx is done, whatever is left is cut.
//
// http.Server.Shutdown alone would lose requests: it discards a request that
// it reads after its start, so it may only run when HTTP/1 has ended.
func (p *Proxy) Drain(ctx context.Context, g Grace) error {
	p.draining.Store(true)
	pause(ctx, g.Delay)
	p.stopListening()
	ctx, cancel := context.WithTimeout(ctx, queueGrace+idleGrace+g.Work)
	defer cancel()
	pause(ctx, queueGrace+idleGrace)
	p.endHTTP1(ctx)
	err := p.server.Shutdown(ctx) // HTTP/2: GOAWAY, then the streams in hand
	if err == nil {
		err = p.awaitTunnels(ctx)
	}
	p.Close()
	if err != nil && ctx.Err() != nil {
		return ErrCut
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (p *Proxy) stopListening() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.listeners {
		l.stop()
	}
}

// endHTTP1 closes idle HTTP/1 connections until there is no HTTP/1 connection
// left: one with a request in hand becomes idle or closes after it, and a new
// one brings its request or runs into the time limit for heads.
func (p *Proxy) endHTTP1(ctx context.Context) {
	for {
		left := false
		idle := p.conns.collect(func(c *conn) bool {
			state := http.ConnState(c.state.Load())
			if state == http.StateHijacked || c.http2.Load() {
				return false
			}
			left = true
			return state == http.StateIdle
		})
		for _, c := range idle {
			c.endIdle()
		}
		if !left || ctx.Err() != nil {
			return
		}
		pause(ctx, drainPoll)
	}
}

// awaitTunnels waits for those that http.Server no longer knows.
func (p *Proxy) awaitTunnels(ctx context.Context) error {
	for p.tunnels.Load() > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause(ctx, drainPoll)
	}
	return nil
}
