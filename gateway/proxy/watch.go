package proxy

import (
	"sync"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// watch ends an exchange that has stopped moving or may go on no longer. It is
// one timer for all limits of an exchange: the steps only note that something
// moved, and when the timer fires the pace is judged.
type watch struct {
	gate.Pace
	// stop ends the exchange with the reason for it, once.
	stop func(error)

	mu    sync.Mutex // guards what follows, and is held while stop runs
	timer *time.Timer
	done  bool
}

// start begins watching. The exported fields of the pace, and stop, must have
// been set.
func (w *watch) start() {
	w.Start(time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.First(), w.check)
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

// answering moves on to the phase of the answer, and looks soon enough for it.
func (w *watch) answering(phase gate.Phase) {
	w.Answering(phase)
	if phase == gate.Streaming {
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
	wait, err := w.Judge(time.Now())
	if err != nil {
		w.done = true
		w.stop(err)
		return
	}
	w.timer.Reset(wait)
}
