package sidecar

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// runQueue runs q until the function that it returns is called.
func runQueue(q *logQueue) (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { q.run(stop); close(ended) }()
	return func() { close(stop); <-ended }
}

// gateWriter holds every write back until it is opened.
type gateWriter struct {
	open chan struct{}
	mu   sync.Mutex
	got  bytes.Buffer
}

func (w *gateWriter) Write(p []byte) (int, error) {
	<-w.open
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.Write(p)
}

// A disk that hangs must not hold a request up: lines beyond the queue are dropped and
// counted, and what was queued is written when the process ends in order.
func TestTheLogNeverBlocksAndLosesNothingThatItQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gateWriter{open: make(chan struct{})}
		q := newLogQueue(w)
		log := slog.New(newHandler(q, false, nil))
		end := runQueue(q)
		synctest.Wait()

		const extra = 100
		log.Info("line", "n", 0)
		time.Sleep(linger)
		synctest.Wait() // the writer holds the first line, and is stuck with it
		for i := range queueLines + extra {
			log.Info("line", "n", i+1)
		}
		if got := q.lost.Load(); got != extra {
			t.Errorf("dropped %d, want %d", got, extra)
		}
		close(w.open)
		end()
		if got := strings.Count(w.got.String(), "\n"); got != queueLines+1 {
			t.Errorf("wrote %d lines, want %d", got, queueLines+1)
		}
		log.Info("after the end")
		if !strings.Contains(w.got.String(), "after the end") {
			t.Error("a line after the end is lost")
		}
	})
}

// The bound in bytes holds as that in lines does.
func TestTheLogIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gateWriter{open: make(chan struct{})}
		q := newLogQueue(w)
		end := runQueue(q)
		synctest.Wait()
		line := append(bytes.Repeat([]byte("x"), 100<<10-1), '\n')
		const lines = 100
		_, _ = q.Write(line)
		time.Sleep(linger)
		synctest.Wait() // the writer is stuck with that one
		for range lines - 1 {
			_, _ = q.Write(line)
		}
		if got, want := q.lost.Load(), int64(lines-1-queueBytes/len(line)); got != want {
			t.Errorf("dropped %d, want %d", got, want)
		}
		close(w.open)
		end()
		if got := int64(strings.Count(w.got.String(), "\n")); got+q.lost.Load() != lines {
			t.Errorf("%d lines were written, %d counted as lost, of %d", got, q.lost.Load(), lines)
		}
	})
}

// writes remembers every write by itself.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func TestLinesThatComeTogetherAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		q := newLogQueue(&w)
		end := runQueue(q)
		synctest.Wait()
		for i := range 100 {
			_, _ = fmt.Fprintf(q, "line %d\n", i)
		}
		time.Sleep(linger)
		synctest.Wait()
		if len(w.all) != 1 || strings.Count(w.all[0], "\n") != 100 {
			t.Errorf("%d writes", len(w.all))
		}
		time.Sleep(time.Hour)
		_, _ = fmt.Fprintln(q, "one more")
		time.Sleep(linger)
		synctest.Wait()
		if len(w.all) != 2 || w.all[1] != "one more\n" {
			t.Errorf("%d writes, the last of %q", len(w.all), w.all[len(w.all)-1])
		}
		end()
	})
}

// Whatever happens while the queue starts and ends: every line is written once, whole, and
// after those that its goroutine wrote before.
func TestStartAndEndLoseNoLine(t *testing.T) {
	const clients, each = 8, queueLines / 16 // all of them fit, if the writer is late
	for range 5 {
		var w writes
		q := newLogQueue(&w)
		var logging sync.WaitGroup
		halfway := make(chan struct{}, clients)
		for c := range clients {
			logging.Go(func() {
				for i := range each {
					if i == each/2 {
						halfway <- struct{}{}
					}
					_, _ = fmt.Fprintf(q, "%d %d %s\n", c, i, strings.Repeat("x", i%300))
				}
			})
		}
		end := runQueue(q)
		for range clients {
			<-halfway
		}
		end()
		logging.Wait()
		next := make([]int, clients)
		for line := range strings.Lines(strings.Join(w.all, "")) {
			var c, i int
			var rest string
			_, err := fmt.Sscanf(line, "%d %d %s", &c, &i, &rest)
			if i%300 != 0 && err != nil || rest != strings.Repeat("x", i%300) || next[c] != i {
				t.Fatalf("%q, where line %d of %d was due", line, next[c], c)
			}
			next[c]++
		}
		for c := range next {
			if next[c] != each {
				t.Errorf("%d has %d lines of %d", c, next[c], each)
			}
		}
	}
}

// fullDisk takes some bytes and then no more.
type fullDisk struct{ room int }

func (w *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func TestLinesThatCannotBeWrittenAreCounted(t *testing.T) {
	q := newLogQueue(&fullDisk{room: 3*len("line\n") + 2})
	end := runQueue(q)
	for range 10 {
		_, _ = q.Write([]byte("line\n"))
	}
	end()
	if got := q.lost.Load(); got != 7 {
		t.Errorf("%d lines are counted as lost, want 7", got)
	}
}

func TestPiecesOfAWriteAreWholeLines(t *testing.T) {
	q := &logQueue{most: 10}
	lines := "123\n5678\n0\na line that is longer\nx\ny\n1234567890\nz"
	var pieces []string
	for rest := []byte(lines); len(rest) > 0; {
		piece := q.piece(rest)
		pieces = append(pieces, string(piece))
		rest = rest[len(piece):]
	}
	if d := cmp.Diff([]string{"123\n5678\n", "0\n", "a line that is longer\n", "x\ny\n", "1234567890\n", "z"}, pieces); d != "" {
		t.Error(d)
	}
}
