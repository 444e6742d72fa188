package account

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Lanes bounds a hash queue. The zero value takes the defaults: as many hash at
// once as there are processors.
type Lanes struct {
	Workers int           // how many hash at once, each with the memory of Params
	Waiting int           // how many may wait; a quarter of it for one network
	Longest time.Duration // how long one may wait, 10 s
}

func (l Lanes) withDefaults(waiting int) Lanes {
	setInt(&l.Workers, runtime.GOMAXPROCS(0))
	setInt(&l.Waiting, waiting)
	if l.Longest == 0 {
		l.Longest = 10 * time.Second
	}
	return l
}

var errQueueFull = errors.New("account: hash queue is full")

// hashQueue lets a bounded number in at once and a bounded number wait. Networks
// take turns: a flood from one of them waits behind itself, and everybody else
// waits for one of its hashes at most.
type hashQueue struct {
	limits Lanes

	mu      sync.Mutex // guards all below
	busy    int
	waiting int
	held    map[netip.Prefix]int       // per network: waiting and hashing
	lines   map[netip.Prefix][]*ticket // per network, oldest first; never empty
	turns   []netip.Prefix             // networks that have a line, next first
	pace    time.Duration              // how long one hash took of late
}

// ticket is one place in a line; turn is closed when it is called.
type ticket struct{ turn chan struct{} }

func newHashQueue(l Lanes) *hashQueue {
	return &hashQueue{limits: l, held: map[netip.Prefix]int{}, lines: map[netip.Prefix][]*ticket{}}
}

// enter waits for a turn; leave gives it back and must be called once. It fails
// at once with errQueueFull when the queue, or the network's quarter of it, is
// full, after the longest wait with the same, and with ctx's error when that
// ends first.
func (q *hashQueue) enter(ctx context.Context, net netip.Prefix) (leave func(), err error) {
	t, err := q.draw(net)
	if err != nil {
		return nil, err
	}
	limit := time.NewTimer(q.limits.Longest)
	defer limit.Stop()
	select {
	case <-t.turn:
	case <-ctx.Done():
		if q.giveUp(net, t) {
			return nil, ctx.Err()
		}
	case <-limit.C:
		if q.giveUp(net, t) {
			return nil, errQueueFull
		}
	}
	start := time.Now()
	return sync.OnceFunc(func() { q.leave(net, time.Since(start)) }), nil
}

func (q *hashQueue) draw(net netip.Prefix) (*ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &ticket{turn: make(chan struct{})}
	if q.held[net] >= max(1, q.limits.Waiting/4) {
		return nil, errQueueFull
	}
	if q.busy < q.limits.Workers {
		q.busy++
		q.held[net]++
		close(t.turn)
		return t, nil
	}
	if q.waiting >= q.limits.Waiting {
		return nil, errQueueFull
	}
	q.waiting++
	q.held[net]++
	if len(q.lines[net]) == 0 {
		q.turns = append(q.turns, net)
	}
	q.lines[net] = append(q.lines[net], t)
	return t, nil
}

// leave hands the place to the next network's oldest.
func (q *hashQueue) leave(net netip.Prefix, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pace = (3*q.pace + took) / 4
	q.drop(net)
	if len(q.turns) == 0 {
		q.busy--
		return
	}
	next := q.turns[0]
	q.turns = q.turns[1:]
	t := q.lines[next][0]
	if q.lines[next] = q.lines[next][1:]; len(q.lines[next]) > 0 {
		q.turns = append(q.turns, next)
	} else {
		delete(q.lines, next)
	}
	q.waiting--
	close(t.turn)
}

// giveUp takes a ticket out of its line. False means that it was called in the
// meantime: then the caller has its turn and goes on.
func (q *hashQueue) giveUp(net netip.Prefix, t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.Index(q.lines[net], t)
	if at < 0 {
		return false
	}
	if q.lines[net] = slices.Delete(q.lines[net], at, at+1); len(q.lines[net]) == 0 {
		delete(q.lines, net)
		q.turns = slices.DeleteFunc(q.turns, func(n netip.Prefix) bool { return n == net })
	}
	q.waiting--
	q.drop(net)
	return true
}

func (q *hashQueue) drop(net netip.Prefix) {
	if q.held[net]--; q.held[net] == 0 {
		delete(q.held, net)
	}
}

func (q *hashQueue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// patience is about how long it takes until the queue has drained.
func (q *hashQueue) patience() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pace * time.Duration(q.waiting+q.busy) / time.Duration(q.limits.Workers)
}
