package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress shows how far long work has come, on one line that writes over itself. It is silent
// where standard error is no terminal, and for work that is done at once.
type progress struct {
	w     io.Writer // nil where nothing is shown
	what  string
	begun time.Time

	mu    sync.Mutex
	next  time.Time
	shown bool
}

// progress begins to show work: what names it, as in "probed".
func (a *app) progress(what string) *progress {
	p := &progress{what: what, begun: time.Now()}
	p.next = p.begun.Add(500 * time.Millisecond)
	if f, ok := a.stderr.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.w = f
		}
	}
	return p
}

// at shows that done of total are done; a total of 0 is one that nobody knows. It may be called
// from several goroutines, and as often as one likes.
func (p *progress) at(done, total int64) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next, p.shown = now.Add(200*time.Millisecond), true
	if total > 0 {
		fmt.Fprintf(p.w, "\r\033[K%s %d of %d, %d%%, %.0f s", p.what, done, total, done*100/total, now.Sub(p.begun).Seconds())
	} else {
		fmt.Fprintf(p.w, "\r\033[K%s %d, %.0f s", p.what, done, now.Sub(p.begun).Seconds())
	}
}

// end takes the line away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\033[K")
		p.shown = false
	}
}
