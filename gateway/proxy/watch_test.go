package proxy

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// run starts a watch and returns after how long it stopped with what.
func run(t *testing.T, prepare func(*watch), during func(*watch)) (after time.Duration, why error) {
	t.Helper()
	stopped := make(chan error, 1)
	w := &watch{Pace: gate.Pace{Limits: gate.Timeouts{}.WithDefaults(), Allowed: func() bool { return true }}, stop: func(err error) { stopped <- err }}
	if prepare != nil {
		prepare(w)
	}
	w.start()
	begun := time.Now()
	go during(w)
	select {
	case why = <-stopped:
	case <-time.After(24 * time.Hour):
		w.finish()
		return 0, nil
	}
	return time.Since(begun), why
}

// TestWatch: each limit, at its time, by name.
func TestWatch(t *testing.T) {
	const hour = time.Hour
	end := func(in time.Duration) func(*watch) {
		return func(w *watch) { w.End = time.Now().Add(in) }
	}
	withdrawn := func(in time.Duration) func(*watch) {
		return func(w *watch) {
			gone := time.Now().Add(in)
			w.End = time.Now().Add(hour)
			w.Allowed = func() bool { return time.Now().Before(gone) }
		}
	}
	busy := func(phase gate.Phase) func(*watch) {
		return func(w *watch) {
			w.answering(phase)
			for range 24 * 3600 {
				time.Sleep(time.Second)
				w.Touch()
			}
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(*watch)
		during  func(*watch)
		after   time.Duration
		within  time.Duration // how much later is still right
		why     error
	}{
		{"the service says nothing", nil, func(*watch) {}, 60 * time.Second, 0, gate.ErrSlowUpstream},
		{"the client stops sending", nil, func(w *watch) { w.Taking(true) }, 30 * time.Second, 0, gate.ErrSlowBody},
		{"the client sends, then the service says nothing", nil, func(w *watch) {
			w.Taking(true)
			time.Sleep(20 * time.Second)
			w.Taking(false)
		}, 80 * time.Second, 0, gate.ErrSlowUpstream},
		{"the client sends slowly but does", nil, func(w *watch) {
			for range 100 {
				w.Taking(true)
				time.Sleep(29 * time.Second)
				w.Taking(false)
			}
		}, 2960 * time.Second, 0, gate.ErrSlowUpstream},
		{"a measured answer stops", nil, func(w *watch) { time.Sleep(5 * time.Second); w.answering(gate.Measured) }, 65 * time.Second, 0, gate.ErrSlowUpstream},
		{"an unmeasured answer stops", nil, func(w *watch) { w.answering(gate.Unlimited) }, 5 * time.Minute, 0, gate.ErrIdle},
		{"a stream stops", end(hour), func(w *watch) { w.answering(gate.Streaming) }, 5 * time.Minute, 0, gate.ErrIdle},
		{"the client stops reading", nil, func(w *watch) { w.answering(gate.Measured); w.Giving(true) }, 30 * time.Second, 0, gate.ErrSlowReader},
		{"a stream's token ends", end(7 * time.Minute), busy(gate.Streaming), 7 * time.Minute, 0, gate.ErrEnded},
		{"a stream's key or route goes", withdrawn(7 * time.Minute), busy(gate.Streaming), 7 * time.Minute, gate.Recheck, gate.ErrEnded},
		{"a public stream", nil, busy(gate.Streaming), hour, 0, gate.ErrEnded},
		{"an ordinary answer's token ends", end(7 * time.Minute), busy(gate.Measured), 12 * time.Minute, 0, gate.ErrEnded},
		{"an ordinary answer's key goes", withdrawn(7 * time.Minute), busy(gate.Unlimited), 12 * time.Minute, 30 * time.Second, gate.ErrEnded},
		{"an ordinary public answer", nil, busy(gate.Unlimited), 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				after, why := run(t, c.prepare, c.during)
				if why != c.why || after < c.after || after > c.after+c.within {
					t.Errorf("stopped after %v with %v, want %v with %v", after, why, c.after, c.why)
				}
				synctest.Wait()
				time.Sleep(48 * time.Hour) // lets during end
			})
		})
	}
}

// TestWatchFinished: after finish nothing is stopped, however late it is.
func TestWatchFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{Pace: gate.Pace{Limits: gate.Timeouts{}.WithDefaults(), Allowed: func() bool { return true }}, stop: func(err error) { t.Errorf("stopped: %v", err) }}
		w.start()
		w.finish()
		w.answering(gate.Streaming)
		time.Sleep(24 * time.Hour)
	})
}

// TestResetBudget: a browser's cancelling is no flood, a flood is.
func TestResetBudget(t *testing.T) {
	var b resetBudget
	now := time.Now()
	for i := range 100_000 {
		if now = now.Add(time.Second / resetRate); !b.spend(now) {
			t.Fatalf("%d a second are too many after %d", resetRate, i)
		}
	}
	for i := range resetBurst {
		if !b.spend(now) && i < resetBurst-1 {
			t.Fatalf("a burst of %d is too many", i)
		}
	}
	if b.spend(now) {
		t.Error("the budget has no end")
	}
}
