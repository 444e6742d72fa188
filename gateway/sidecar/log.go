package sidecar

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// logQueueLength bounds the lines that wait for the writer: at some 700 bytes each, three
// megabytes.
const logQueueLength = 4096

// logQueue puts a bounded queue between whoever logs and the writer. A request never waits
// for a slow disk or a full pipe: when the queue is full, the line is dropped and counted.
// Outside of run (before a server serves, and after it ended) lines are written at once.
type logQueue struct {
	dropped atomic.Int64

	mu     sync.RWMutex // guards queue
	queue  chan entry   // nil: write at once
	direct sync.Mutex   // one line at a time
}

type entry struct {
	to     slog.Handler
	record slog.Record
}

// run writes queued lines until stop is closed, and then what is still queued.
func (q *logQueue) run(stop <-chan struct{}) {
	queue := make(chan entry, logQueueLength)
	q.mu.Lock()
	q.queue = queue
	q.mu.Unlock()
	for stopped := false; !stopped; {
		select {
		case e := <-queue:
			q.write(e)
		case <-stop:
			stopped = true
		}
	}
	q.mu.Lock() // whoever held the read lock has put its line, and nobody finds the queue any more
	q.queue = nil
	q.mu.Unlock()
	close(queue)
	for e := range queue {
		q.write(e)
	}
}

func (q *logQueue) put(e entry) {
	q.mu.RLock()
	queue := q.queue
	if queue != nil {
		defer q.mu.RUnlock()
		select {
		case queue <- e:
		default:
			q.dropped.Add(1)
		}
		return
	}
	q.mu.RUnlock()
	q.write(e)
}

func (q *logQueue) write(e entry) {
	q.direct.Lock()
	defer q.direct.Unlock()
	// A log that cannot be written cannot be complained about either.
	_ = e.to.Handle(context.Background(), e.record)
}

// queued is a slog.Handler whose lines go through the queue.
type queued struct {
	queue *logQueue
	to    slog.Handler
}

func (h queued) Enabled(ctx context.Context, l slog.Level) bool { return h.to.Enabled(ctx, l) }

func (h queued) Handle(_ context.Context, r slog.Record) error {
	h.queue.put(entry{h.to, r.Clone()})
	return nil
}

func (h queued) WithAttrs(a []slog.Attr) slog.Handler { return queued{h.queue, h.to.WithAttrs(a)} }
func (h queued) WithGroup(name string) slog.Handler   { return queued{h.queue, h.to.WithGroup(name)} }

// newHandler writes JSON, or text where the configuration or a terminal asks for it.
func newHandler(w io.Writer, format string, o *slog.HandlerOptions) slog.Handler {
	if format == "text" || format == "auto" && terminal(w) {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// serverLog is for http.Server's own complaints (broken handshakes, malformed heads): they
// are the clients' to cause, so they are limited like refusals.
func serverLog(l *slog.Logger, limit *limiter) *log.Logger {
	return log.New(serverLines{l, limit}, "", 0)
}

type serverLines struct {
	log   *slog.Logger
	limit *limiter
}

func (s serverLines) Write(line []byte) (int, error) {
	if n := s.limit.allow("http_server", time.Now()); n > 0 {
		text := clip(string(line), maxLogged)
		for len(text) > 0 && text[len(text)-1] == '\n' {
			text = text[:len(text)-1]
		}
		s.log.Warn("http server", "error", text, "sampled", n)
	}
	return len(line), nil
}

// limiter lets a number of lines through per second and key, and counts the others. Keys
// come from a closed set.
type limiter struct {
	perSecond int

	mu   sync.Mutex // guards keys
	keys map[string]*allowance
}

type allowance struct {
	second     int64
	used       int
	suppressed int64
}

func newLimiter(perSecond int) *limiter {
	return &limiter{perSecond: perSecond, keys: map[string]*allowance{}}
}

// allow returns 0 when the line is not to be written, and else for how many lines it stands:
// itself and those of its key that were held back since the last one.
func (l *limiter) allow(key string, now time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.keys[key]
	if a == nil {
		a = &allowance{}
		l.keys[key] = a
	}
	if second := now.Unix(); second != a.second {
		a.second, a.used = second, 0
	}
	if a.used >= l.perSecond {
		a.suppressed++
		return 0
	}
	a.used++
	n := 1 + a.suppressed
	a.suppressed = 0
	return n
}

// left returns how many lines were held back per key and not yet accounted for, and forgets
// them: the orderly end of a process.
func (l *limiter) left() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int64{}
	for key, a := range l.keys {
		if a.suppressed > 0 {
			out[key], a.suppressed = a.suppressed, 0
		}
	}
	return out
}
