package sidecar

import (
	"sync/atomic"
	"time"
)

// limiter lets a number of lines through per second and key, and counts the others. It takes
// no lock: what strangers can make many of is what it is for.
type limiter struct {
	perSecond uint64
	began     time.Time
	keys      map[string]*allowance // never changes
	others    *allowance            // for a key that nobody thought of
}

type allowance struct {
	window     atomic.Uint64 // a second since began in the upper half, the lines written in it in the lower
	suppressed atomic.Int64  // lines that no written one has accounted for
}

// newLimiter limits each of the keys for itself.
func newLimiter(perSecond uint64, keys ...string) *limiter {
	l := &limiter{perSecond: perSecond, began: time.Now(), keys: map[string]*allowance{}, others: &allowance{}}
	for _, key := range keys {
		l.keys[key] = &allowance{}
	}
	return l
}

// allow returns 0 when the line is not to be written, and else for how many lines it stands:
// itself and those of its key that were held back since the last one.
func (l *limiter) allow(key string, now time.Time) int64 {
	a := l.keys[key]
	if a == nil {
		a = l.others
	}
	return a.allow(l.perSecond, now.Sub(l.began))
}

// allow is that for one key, in the time since whoever limits it began.
func (a *allowance) allow(perSecond uint64, since time.Duration) int64 {
	second := uint64(since/time.Second) << 32
	for {
		window := a.window.Load()
		next := max(window+1, second+1) // whoever read the clock a second ago counts in the newer window
		if window >= second && uint64(uint32(window)) >= perSecond {
			a.suppressed.Add(1)
			return 0
		}
		if a.window.CompareAndSwap(window, next) {
			return 1 + a.suppressed.Swap(0)
		}
	}
}

// left returns how many lines were held back per key and not yet accounted for, and forgets
// them: the orderly end of a process.
func (l *limiter) left() map[string]int64 {
	out := map[string]int64{}
	for key, a := range l.keys {
		if n := a.suppressed.Swap(0); n > 0 {
			out[key] = n
		}
	}
	if n := l.others.suppressed.Swap(0); n > 0 {
		out[other] = n
	}
	return out
}
