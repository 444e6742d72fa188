package gate

import (
	"strings"
	"sync/atomic"
	"time"
)

// Timeouts bound the steps of one exchange with a service. Zero values mean
// the defaults that stand beside them.
type Timeouts struct {
	BodyIdle   time.Duration // between two reads of the request's body: 30s
	Upstream   time.Duration // until the service's answer begins, and between two reads of an answer of declared length: 60s
	WriteIdle  time.Duration // between two writes to a client that reads slowly: 30s
	TunnelIdle time.Duration // a tunnel or stream on which nothing moves: 5m
	TunnelMax  time.Duration // a tunnel or stream on a public route: 1h
}

// WithDefaults fills in what is zero.
func (t Timeouts) WithDefaults() Timeouts {
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

const (
	// afterExpiry is how long an ordinary answer may go on after its token has
	// ended.
	afterExpiry = 5 * time.Minute
	// Recheck is how often a running stream's right to go on is looked at, and
	// so how late it may end after its key or route has gone.
	Recheck = time.Second
)

// Phase is what an admitted exchange is waiting for.
type Phase int32

// The phases of an exchange.
const (
	Awaiting  Phase = iota // the service has not begun to answer
	Measured               // it answers with a declared length
	Unlimited              // it answers for as long as it has something to say
	Streaming              // an event stream, a gRPC stream or a tunnel
)

// PhaseOf is the phase that an answer's head begins: by its Content-Type, and
// by its length in bytes, which is negative where none is declared.
func PhaseOf(contentType string, length int64) Phase {
	const grpc = "application/grpc"
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.TrimSpace(kind)
	switch {
	case strings.EqualFold(kind, "text/event-stream"), len(kind) >= len(grpc) && strings.EqualFold(kind[:len(grpc)], grpc):
		return Streaming
	case length < 0:
		return Unlimited
	default:
		return Measured
	}
}

// Pace says how long an admitted exchange may go on. The steps of a lane note
// that something moved; the lane asks [Pace.Judge] when the time that it was
// given is over. All but Start and Judge may be called from any goroutine.
type Pace struct {
	Limits Timeouts
	// Allowed asks whether the exchange may still go on; see [Exchange.StillAllowed].
	Allowed func() bool
	// End is when the right to the exchange runs out; zero: it does not.
	End time.Time

	begun   time.Time
	moved   atomic.Int64 // when something last moved, in nanoseconds after begun
	phase   atomic.Int32
	taking  atomic.Bool // blocked on the client's body
	giving  atomic.Bool // blocked on the client's socket
	retired time.Time   // when an ordinary answer was first not allowed any more
}

// Start starts the clock at now. Limits, Allowed and End must have been set.
func (p *Pace) Start(now time.Time) {
	p.begun, p.retired = now, time.Time{}
	p.moved.Store(0)
	p.phase.Store(int32(Awaiting))
	p.taking.Store(false)
	p.giving.Store(false)
}

// Touch notes that something moved.
func (p *Pace) Touch() { p.moved.Store(int64(time.Since(p.begun))) }

// Taking begins (true) or ends (false) a wait for the client's body.
func (p *Pace) Taking(blocked bool) { p.Touch(); p.taking.Store(blocked); p.Touch() }

// Giving begins (true) or ends (false) a wait for the client to read.
func (p *Pace) Giving(blocked bool) { p.Touch(); p.giving.Store(blocked); p.Touch() }

// Gives reports a wait for the client to read.
func (p *Pace) Gives() bool { return p.giving.Load() }

// Answering moves on to the phase of the answer.
func (p *Pace) Answering(phase Phase) {
	p.Touch()
	p.phase.Store(int32(phase))
}

// Phase is the phase that the exchange is in.
func (p *Pace) Phase() Phase { return Phase(p.phase.Load()) }

// First is how long nothing needs to be looked at after Start.
func (p *Pace) First() time.Duration {
	return min(p.Limits.Upstream, p.Limits.BodyIdle, p.Limits.WriteIdle)
}

// Judge returns for how long nothing needs to be looked at, or why the
// exchange has to end: a [*Refusal].
func (p *Pace) Judge(now time.Time) (time.Duration, error) {
	limit, late := p.waitingFor()
	idle := now.Sub(p.begun) - time.Duration(p.moved.Load())
	if idle >= limit {
		return 0, late
	}
	wait := limit - idle
	end := p.lastMoment(now)
	if end.IsZero() {
		return p.soon(wait), nil
	}
	left := end.Sub(now)
	if left <= 0 {
		return 0, ErrEnded
	}
	return p.soon(min(wait, left)), nil
}

// soon bounds a wait by how often streams are looked at.
func (p *Pace) soon(wait time.Duration) time.Duration {
	if p.Phase() == Streaming {
		return min(wait, Recheck)
	}
	return min(wait, 30*time.Second)
}

// waitingFor is the limit of what the exchange is doing now, and the error of
// exceeding it.
func (p *Pace) waitingFor() (time.Duration, error) {
	phase := p.Phase()
	switch {
	case p.giving.Load():
		return p.Limits.WriteIdle, ErrSlowReader
	case phase == Awaiting && p.taking.Load():
		return p.Limits.BodyIdle, ErrSlowBody
	case phase == Awaiting || phase == Measured:
		return p.Limits.Upstream, ErrSlowUpstream
	default:
		return p.Limits.TunnelIdle, ErrIdle
	}
}

// lastMoment is when the exchange ends however busy it is. A stream ends with
// the right to it; an ordinary answer may be finished within five minutes.
func (p *Pace) lastMoment(now time.Time) time.Time {
	if p.Phase() == Streaming {
		if !p.Allowed() {
			return now
		}
		if p.End.IsZero() {
			return p.begun.Add(p.Limits.TunnelMax)
		}
		return p.End
	}
	if p.retired.IsZero() && !p.Allowed() {
		p.retired = now
	}
	switch {
	case !p.retired.IsZero() && (p.End.IsZero() || p.retired.Before(p.End)):
		return p.retired.Add(afterExpiry)
	case !p.End.IsZero():
		return p.End.Add(afterExpiry)
	default:
		return time.Time{}
	}
}
