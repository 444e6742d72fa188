package dataport

import (
	"context"
	"errors"
	"time"
)

const (
	// idleGrace is how long idle connections stay after the listener.
	idleGrace = time.Second
	// cutGrace is how long what was cut may take to end, so that it is recorded: a lane
	// looks once a second (gate.Recheck) whether it was.
	cutGrace = 2 * time.Second
	// drainPoll is how often a drain looks whether connections have ended.
	drainPoll = 20 * time.Millisecond
)

// ErrCut is returned by [Port.Drain] when the time was up before the work was
// done.
var ErrCut = errors.New("dataport: the drain's time was up before all work in flight was done")

// Drain stops serving without losing a request that was accepted:
//
//  1. for g.Delay everything goes on, and each answer asks its client to leave
//     (Connection: close, over HTTP/2 a GOAWAY);
//  2. the listeners take in what the kernel has queued for them, and close, unless
//     [Port.HandOver] has closed them already;
//  3. a second later idle HTTP/1 connections end; those with a request, or of
//     which nothing has been read yet, end after their answer, and HTTP/2
//     connections after a GOAWAY and their last stream; then tunnels have their time;
//  4. when g.Work is over, or ctx is done, whatever is left is cut, and has a moment to be
//     recorded.
//
// Lanes are shut down only when HTTP/1 has ended: http.Server.Shutdown would
// lose requests, because it discards one that it reads after its start.
func (p *Port) Drain(ctx context.Context, g Grace) error {
	p.draining.Store(true)
	pause(ctx, g.Delay)
	p.stopListening()
	ctx, cancel := context.WithTimeout(ctx, queueGrace+idleGrace+g.Work)
	defer cancel()
	pause(ctx, queueGrace+idleGrace)
	p.awaitListeners(ctx)
	p.endHTTP1(ctx)
	var err error
	for _, lane := range p.lanes() {
		if failed := lane.Shutdown(ctx); failed != nil {
			err = failed
		}
	}
	if err == nil {
		err = p.awaitRest(ctx)
	}
	p.Close()
	if err == nil || ctx.Err() == nil {
		return nil
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cutGrace)
	defer cancel()
	p.awaitRest(ctx) // or not
	return ErrCut
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (p *Port) stopListening() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.listeners {
		l.stop()
	}
}

// awaitListeners waits until all that was queued has been taken in.
func (p *Port) awaitListeners(ctx context.Context) {
	for p.accepting.Load() > 0 && ctx.Err() == nil {
		pause(ctx, drainPoll)
	}
}

// endHTTP1 ends idle HTTP/1 connections until there is no HTTP/1 connection
// left: one with a request in hand becomes idle or closes after it, and a new
// one brings its request or runs into the time limit for heads. A request that has
// arrived is served, even if its lane did not get to reading it yet: a process that
// stood still for a second finds its clients' requests and the end of their grace
// in the same moment.
func (p *Port) endHTTP1(ctx context.Context) {
	for {
		left := false
		idle := p.conns.collect(func(c *Conn) bool {
			state := c.State()
			if state == StateTunnel || c.HTTP2() {
				return false
			}
			left = true
			return state == StateIdle
		})
		for _, c := range idle {
			if silent(c.socket) {
				p.http1.EndIdle(c)
			}
		}
		if !left || ctx.Err() != nil {
			return
		}
		pause(ctx, drainPoll)
	}
}

// awaitRest waits for tunnels, and for what lanes still do on a goroutine of
// the port's.
func (p *Port) awaitRest(ctx context.Context) error {
	for {
		n := p.Connections()
		if n.New+n.Active+n.Idle+n.Tunnel == 0 && p.serving.Load() == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause(ctx, drainPoll)
	}
}
