package sidecar

import (
	"bytes"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueLines and queueBytes bound what waits for a writer that hangs.
	queueLines = 8192
	queueBytes = 4 << 20
	// linger is how long a line waits for others, to be written together with them.
	linger    = 10 * time.Millisecond
	pageBytes = 64 << 10
	// sparePages are kept for the next burst.
	sparePages = 8
	// pipeBytes is PIPE_BUF of Linux: so much goes into a pipe in one piece, even if another
	// process writes into it too, as during a takeover.
	pipeBytes = 4 << 10
)

// logQueue stands between whoever logs and the writer. A line is copied in and never waits for
// a slow disk or a full pipe: when the queue is full it is dropped and counted. Lines are
// written whole, in the order in which they came, many at a time. Outside of run (before a
// server serves, and after it ended) they are written at once.
//
// The lock is held for the copy of a line, and that is all that requests share; a queue for
// each core would save it and lose the order.
type logQueue struct {
	to   io.Writer
	most int          // bytes for one write, unless a line is longer
	lost atomic.Int64 // lines that were dropped or could not be written

	mu      sync.Mutex // guards the fields up to spare
	running bool
	pages   [][]byte // whole lines; only the last page is added to
	lines   int
	bytes   int
	spare   [][]byte // empty pages

	wake    chan struct{} // there are lines, or many lines
	writing sync.Mutex    // one write at a time; taken before mu is left, so that the order stays
}

func newLogQueue(to io.Writer) *logQueue {
	q := &logQueue{to: to, most: pageBytes, wake: make(chan struct{}, 1)}
	if f, ok := to.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
			q.most = pipeBytes
		}
	}
	return q
}

// Write puts one line, which ends with its only line feed. It keeps nothing of it, and cannot
// fail.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if !q.running {
		q.writing.Lock()
		q.mu.Unlock()
		q.write(line)
		q.writing.Unlock()
		return len(line), nil
	}
	fits := q.lines < queueLines && q.bytes+len(line) <= queueBytes
	wakes := false
	if fits {
		before := q.bytes
		q.add(line)
		wakes = before == 0 || before < pageBytes/2 && q.bytes >= pageBytes/2
	}
	q.mu.Unlock()
	if !fits {
		q.lost.Add(1)
	}
	if wakes {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// add copies a line into the last page that has room for it. The caller holds mu.
func (q *logQueue) add(line []byte) {
	last := len(q.pages) - 1
	if last < 0 || len(q.pages[last])+len(line) > cap(q.pages[last]) {
		var page []byte
		if n := len(q.spare); n > 0 && len(line) <= pageBytes {
			page, q.spare = q.spare[n-1], q.spare[:n-1]
		} else {
			page = make([]byte, 0, max(pageBytes, len(line)))
		}
		q.pages = append(q.pages, page)
		last++
	}
	q.pages[last] = append(q.pages[last], line...)
	q.lines++
	q.bytes += len(line)
}

// run writes what is queued until stop is closed, and then the rest.
func (q *logQueue) run(stop <-chan struct{}) {
	q.mu.Lock()
	q.running = true
	q.mu.Unlock()
	timer := time.NewTimer(linger)
	defer timer.Stop()
	var pages [][]byte
	for stopped := false; !stopped; {
		select {
		case <-q.wake:
		case <-stop:
		}
		timer.Reset(linger)
		if !q.plenty() {
			select {
			case <-timer.C:
			case <-q.wake:
			case <-stop:
			}
		}
		select {
		case <-stop:
			stopped = true
		default:
		}
		pages = q.drain(pages[:0], stopped)
	}
}

// plenty reports that there is enough for a write that is worth its while.
func (q *logQueue) plenty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes >= pageBytes/2
}

// drain writes all that is queued, with room's memory for what comes meanwhile, and returns
// such memory again.
func (q *logQueue) drain(room [][]byte, last bool) [][]byte {
	q.mu.Lock()
	pages := q.pages
	q.pages, q.lines, q.bytes = room, 0, 0
	q.running = !last
	q.writing.Lock()
	q.mu.Unlock()
	for _, page := range pages {
		q.write(page)
	}
	q.writing.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, page := range pages {
		if cap(page) == pageBytes && len(q.spare) < sparePages {
			q.spare = append(q.spare, page[:0])
		}
		pages[i] = nil
	}
	return pages
}

// write writes whole lines. A log that cannot be written cannot be complained about either, but
// it can be counted. The caller holds writing.
func (q *logQueue) write(lines []byte) {
	for len(lines) > 0 {
		piece := q.piece(lines)
		if n, err := q.to.Write(piece); err != nil {
			q.lost.Add(int64(bytes.Count(piece[n:], newline)))
		}
		lines = lines[len(piece):]
	}
}

var newline = []byte{'\n'}

// piece is what of the lines is written at once: as many as fit, and one at least.
func (q *logQueue) piece(lines []byte) []byte {
	if len(lines) <= q.most {
		return lines
	}
	if end := bytes.LastIndexByte(lines[:q.most], '\n'); end >= 0 {
		return lines[:end+1]
	}
	first, _, _ := bytes.Cut(lines, newline)
	return lines[:min(len(first)+1, len(lines))]
}
