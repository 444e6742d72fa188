package sidecar

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A hundred lines a second and reason; the next line that is written stands for those that
// were held back, so that the sum of sampled is the number of requests.
func TestRefusalsAreLimitedPerReasonAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(100, "token_missing", "no_route")
		written, stands := 0, int64(0)
		ask := func(reason string) {
			if n := l.allow(reason, time.Now()); n > 0 {
				written++
				stands += n
			}
		}
		for range 1000 {
			ask("token_missing")
		}
		if written != 100 || stands != 100 {
			t.Fatalf("in the first second: %d lines for %d requests", written, stands)
		}
		if n := l.allow("no_route", time.Now()); n != 1 {
			t.Errorf("another reason is held back too: %d", n)
		}
		time.Sleep(time.Second)
		ask("token_missing")
		if written != 101 || stands != 1001 {
			t.Errorf("then: %d lines for %d requests", written, stands)
		}
		for range 250 {
			ask("token_missing")
		}
		var left int64
		for _, n := range l.left() {
			left += n
		}
		if stands+left != 1251 {
			t.Errorf("%d accounted for, %d at the end, of 1251", stands, left)
		}
	})
}

// However many ask at once, no second has more lines than it may, and every request is
// accounted for.
func TestTheLimiterIsExactOnManyCores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seconds, clients, each = 5, 8, 500
		l := newLimiter(100, "token_missing")
		var stands atomic.Int64
		for s := range seconds {
			var written atomic.Int64
			var asking sync.WaitGroup
			for c := range clients {
				asking.Go(func() {
					now := time.Now()
					if c == 0 && s > 0 {
						now = now.Add(-time.Second) // who read the clock and was then held up
					}
					for range each {
						if n := l.allow("token_missing", now); n > 0 {
							written.Add(1)
							stands.Add(n)
						}
					}
				})
			}
			asking.Wait()
			if n := written.Load(); n < 100 || n > 200 {
				t.Errorf("second %d has %d lines", s, n)
			}
			time.Sleep(time.Second)
		}
		if total := stands.Load() + l.left()["token_missing"]; total != seconds*clients*each {
			t.Errorf("%d accounted for, of %d", total, seconds*clients*each)
		}
	})
}

func TestAReasonThatNobodyThoughtOfIsLimitedToo(t *testing.T) {
	l := newLimiter(1, "known")
	now := time.Now()
	for _, reason := range []string{"strange", "stranger", "strangest"} {
		l.allow(reason, now)
	}
	if n := l.left()[other]; n != 2 {
		t.Errorf("%d held back, want 2", n)
	}
}
