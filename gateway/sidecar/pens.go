package sidecar

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// mostStripes bounds what a series takes in memory on machines with many cores.
const mostStripes = 16

// pens are what requests are recorded with. Each has a stripe, and whoever holds it counts in
// the cells of that stripe alone. sync.Pool gives a goroutine the pen that was last put back on
// its core, so that a cell is written by one core. Go shows a program no core to count by, and a
// connection wanders between cores: numbers of connections would keep nobody apart.
//
// Nothing but speed relies on it. Two cores may come to share a stripe: there are more cores
// than stripes, or a goroutine was interrupted while it held a pen and another took a new one.
type pens struct {
	pool    sync.Pool // of *pen
	making  sync.Mutex
	stripes []stripe
}

// stripe is alone on its cache line.
type stripe struct {
	pens    atomic.Int32
	allowed atomic.Uint64 // requests that sampling has seen
	_       [48]byte
}

// pen belongs to one goroutine at a time.
type pen struct {
	stripe int
	line   []byte  // room for a line
	claims []claim // room for a line's claims
}

// longestKept bounds a pen's room for lines, in bytes: few are so long.
const longestKept = 16 << 10

func newPens(stripes int) *pens {
	p := &pens{stripes: make([]stripe, stripes)}
	p.pool.New = func() any { return p.make() }
	return p
}

func (p *pens) take() *pen { return p.pool.Get().(*pen) }

// back takes a pen back, which must not hold on to a token's claims.
func (p *pens) back(pn *pen) {
	clear(pn.claims)
	pn.claims = pn.claims[:0]
	if cap(pn.line) > longestKept {
		pn.line = nil
	}
	p.pool.Put(pn)
}

// make gives a new pen the stripe that fewest others have. The garbage collector takes pens
// that were idle for long.
func (p *pens) make() *pen {
	p.making.Lock()
	defer p.making.Unlock()
	least := 0
	for i := range p.stripes {
		if p.stripes[i].pens.Load() < p.stripes[least].pens.Load() {
			least = i
		}
	}
	s := &p.stripes[least]
	s.pens.Add(1)
	pn := &pen{stripe: least}
	runtime.AddCleanup(pn, func(s *stripe) { s.pens.Add(-1) }, s)
	return pn
}
