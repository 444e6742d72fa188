package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// watch ends an exchange that has stopped moving or may go on no longer. It is
// one timer for all limits of an exchange: the steps only note that something
// moved, and the timer looks, when it fires, at what is being waited for.
type watch struct {
	limits Timeouts
	begun  time.Time
	moved  atomic.Int64 // when something last moved, in nanoseconds after begun
	phase  atomic.Int32
	taking atomic.Bool // blocked on the client's body
	giving atomic.Bool // blocked on the client's socket

	// allowed asks whether a stream or tunnel may still go on.
	allowed func() bool
	// end is when the right to the exchange runs out; zero: it does not.
	end time.Time
	// stop ends the exchange with the reason for it, once.
	stop func(error)

	mu       sync.Mutex // guards what follows, and is held while stop runs
	timer    *time.Timer
	done     bool
	withdrew time.Time // when allowed first said no, for ordinary answers
}

// The phases of an exchange.
const (
	awaiting  int32 = iota // the service has not begun to answer
	measured               // it answers with a declared length
	unlimited              // it answers for as long as it has something to say
	streaming              // an event stream, a gRPC stream or a tunnel
)

// recheck is how often a running stream's right to go on is looked at, and so
// how late it may end after its key or route has gone.
const recheck = time.Second

// start begins watching. The fields above stop must have been set.
func (w *watch) start() {
	w.begun = time.Now()
	w.moved.Store(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(min(w.limits.Upstream, w.limits.BodyIdle, w.limits.WriteIdle), w.check)
}

// finish ends the watching; stop is not called afterwards.
func (w *watch) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// touch notes that something moved.
func (w *watch) touch() { w.moved.Store(int64(time.Since(w.begun))) }

// enter begins a step that may block, leave ends it.
func (w *watch) enter(step *atomic.Bool) {
	w.touch()
	step.Store(true)
}

func (w *watch) leave(step *atomic.Bool) {
	step.Store(false)
	w.touch()
}

// answering moves on to the phase of the answer, and looks soon enough for it.
func (w *watch) answering(phase int32) {
	w.touch()
	w.phase.Store(phase)
	if phase == streaming {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.done {
			w.timer.Reset(0)
		}
	}
}

// interrupt ends the exchange now, unless it has ended.
func (w *watch) interrupt(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.done = true
		w.stop(err)
	}
}

func (w *watch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	now := time.Now()
	wait, err := w.judge(now)
	if err != nil {
		w.done = true
		w.stop(err)
		return
	}
	w.timer.Reset(wait)
}

// judge returns how long nothing needs to be looked at, or why the exchange
// has to end.
func (w *watch) judge(now time.Time) (time.Duration, error) {
	limit, late := w.waitingFor()
	idle := now.Sub(w.begun) - time.Duration(w.moved.Load())
	if idle >= limit {
		return 0, late
	}
	wait := limit - idle
	end := w.lastMoment(now)
	if end.IsZero() {
		return w.soon(wait), nil
	}
	left := end.Sub(now)
	if left <= 0 {
		return 0, errEnded
	}
	return w.soon(min(wait, left)), nil
}

// soon bounds a wait by how often streams are looked at.
func (w *watch) soon(wait time.Duration) time.Duration {
	if w.phase.Load() == streaming {
		return min(wait, recheck)
	}
	return min(wait, 30*time.Second)
}

// waitingFor is the limit of what the exchange is doing now, and the error of
// exceeding it.
func (w *watch) waitingFor() (time.Duration, error) {
	phase := w.phase.Load()
	switch {
	case w.giving.Load():
		return w.limits.WriteIdle, errSlowReader
	case phase == awaiting && w.taking.Load():
		return w.limits.BodyIdle, errSlowBody
	case phase == awaiting || phase == measured:
		return w.limits.Upstream, errSlowUpstream
	default:
		return w.limits.TunnelIdle, errIdle
	}
}

// lastMoment is when the exchange ends however busy it is. A stream ends with
// the right to it; an ordinary answer may be finished within five minutes.
func (w *watch) lastMoment(now time.Time) time.Time {
	if w.phase.Load() == streaming {
		if !w.allowed() {
			return now
		}
		if w.end.IsZero() {
			return w.begun.Add(w.limits.TunnelMax)
		}
		return w.end
	}
	if w.withdrew.IsZero() && !w.allowed() {
		w.withdrew = now
	}
	switch {
	case !w.withdrew.IsZero() && (w.end.IsZero() || w.withdrew.Before(w.end)):
		return w.withdrew.Add(afterExpiry)
	case !w.end.IsZero():
		return w.end.Add(afterExpiry)
	default:
		return time.Time{}
	}
}
