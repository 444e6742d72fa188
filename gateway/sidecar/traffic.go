package sidecar

import (
	"maps"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scopegate/scopegate/gateway/gate"
)

// traffic counts the requests of every route. Each series has a cell for every stripe, on cache
// lines of its own: a request adds to the cells of its pen and takes no lock, a scrape adds the
// cells up. Only the first request of a combination of labels allocates.
//
// A scrape may see a part of what a request adds: a histogram's sum differs from its buckets by
// no more requests than are being counted at that moment. Its count is the sum of its buckets.
type traffic struct {
	stripes int // of the pens
	began   time.Time

	mu     sync.Mutex // guards the map and every routeCounts.gone
	routes map[place]*routeCounts
}

// place is a route by its labels; through reloads they stay while policies are replaced.
type place struct{ service, route string }

// keptFor is how long a route's series are shown after it has left the configuration: several
// scrapes, so that its last requests are seen.
const keptFor = 10 * time.Minute

// routeCounts are the series of one route.
type routeCounts struct {
	place
	gone     time.Time // when the route left the configuration; zero: it is served
	requests atomic.Pointer[map[fate]*counter]
	duration atomic.Pointer[histogram]
	upstream atomic.Pointer[histogram]
	compared atomic.Pointer[comparison] // with the candidate's decisions
}

// fate is what became of a request, by its labels beside the place.
type fate struct {
	method, reason string
	status         int
}

func newTraffic() *traffic {
	return &traffic{stripes: min(runtime.GOMAXPROCS(0), mostStripes), began: time.Now(), routes: map[place]*routeCounts{}}
}

// at returns the series of a place, which are found again as long as they are shown.
func (t *traffic) at(p place) *routeCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.routes[p]
	if c == nil {
		c = &routeCounts{place: p}
		c.requests.Store(&map[fate]*counter{})
		t.routes[p] = c
	}
	c.gone = time.Time{} // the next keep knows better
	return c
}

// keep says which places are served from now on.
func (t *traffic) keep(served map[place]bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, c := range t.routes {
		switch {
		case served[p]:
			c.gone = time.Time{}
		case c.gone.IsZero():
			c.gone = now
		}
	}
	t.sweep(now)
}

// sweep forgets what has been gone for long. The caller holds mu.
func (t *traffic) sweep(now time.Time) {
	maps.DeleteFunc(t.routes, func(_ place, c *routeCounts) bool {
		return !c.gone.IsZero() && now.Sub(c.gone) >= keptFor
	})
}

// observe counts one request. The strings of f are copied if they are kept.
func (t *traffic) observe(c *routeCounts, stripe int, f fate, o *gate.Outcome, now time.Time, took time.Duration) {
	n := (*c.requests.Load())[f]
	if n == nil {
		n = t.first(c, f, now)
	}
	n.cells[stripe].n.Add(1)
	t.histogram(&c.duration, now).observe(stripe, took)
	if o.Upstream > 0 {
		t.histogram(&c.upstream, now).observe(stripe, o.Upstream)
	}
}

// first makes the counter of a combination that is new.
func (t *traffic) first(c *routeCounts, f fate, now time.Time) *counter {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := *c.requests.Load()
	if n := known[f]; n != nil {
		return n
	}
	f.method, f.reason = strings.Clone(f.method), strings.Clone(f.reason)
	n := &counter{created: now, cells: make([]counterCell, t.stripes)}
	more := maps.Clone(known)
	more[f] = n
	c.requests.Store(&more)
	return n
}

// histogram returns the one that is there, or else a new one.
func (t *traffic) histogram(at *atomic.Pointer[histogram], now time.Time) *histogram {
	if h := at.Load(); h != nil {
		return h
	}
	at.CompareAndSwap(nil, &histogram{created: now, cells: make([]histogramCell, t.stripes)})
	return at.Load()
}

// counter is one series of requests_total.
type counter struct {
	created time.Time
	cells   []counterCell
}

type counterCell struct {
	n atomic.Uint64
	_ [56]byte
}

func (c *counter) total() (n uint64) {
	for i := range c.cells {
		n += c.cells[i].n.Load()
	}
	return n
}

// buckets are in seconds and fit both a cached allow (tens of microseconds) and a slow
// upstream.
var buckets = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// histogram is one series of a family of durations.
type histogram struct {
	created time.Time
	cells   []histogramCell
}

type histogramCell struct {
	counts [len(buckets) + 1]atomic.Uint64 // the last one is what is beyond all bounds
	sum    atomic.Uint64                   // a float64's bits, in seconds
	_      [48]byte
}

func (h *histogram) observe(stripe int, d time.Duration) {
	seconds, bucket := d.Seconds(), 0
	for bucket < len(buckets) && seconds > buckets[bucket] {
		bucket++
	}
	c := &h.cells[stripe]
	c.counts[bucket].Add(1)
	for {
		was := c.sum.Load()
		if c.sum.CompareAndSwap(was, math.Float64bits(math.Float64frombits(was)+seconds)) {
			return
		}
	}
}

// metric adds the cells up.
func (h *histogram) metric(d *prometheus.Desc, p place) prometheus.Metric {
	var counts [len(buckets) + 1]uint64
	var sum float64
	for i := range h.cells {
		for b := range counts {
			counts[b] += h.cells[i].counts[b].Load()
		}
		sum += math.Float64frombits(h.cells[i].sum.Load())
	}
	var count uint64
	below := make(map[float64]uint64, len(buckets))
	for b, n := range counts {
		count += n
		if b < len(buckets) {
			below[buckets[b]] = count
		}
	}
	return prometheus.MustNewConstHistogramWithCreatedTimestamp(d, count, sum, below, h.created, p.service, p.route)
}

var (
	descRequests = desc("requests_total", "Requests that came to an end, by what became of them.", "service", "route", "method", "code", "reason")
	descDuration = desc("request_duration_seconds", "Time from a request's head to the end of its answer.", "service", "route")
	descUpstream = desc("upstream_duration_seconds", "Time from sending a request's head to the service to the head of its answer.", "service", "route")
)

// Describe implements [prometheus.Collector].
func (t *traffic) Describe(out chan<- *prometheus.Desc) {
	out <- descRequests
	out <- descDuration
	out <- descUpstream
	out <- descCandidate
}

// Collect implements [prometheus.Collector].
func (t *traffic) Collect(out chan<- prometheus.Metric) {
	for _, c := range t.shown(time.Now()) {
		for f, n := range *c.requests.Load() {
			out <- prometheus.MustNewConstMetricWithCreatedTimestamp(descRequests, prometheus.CounterValue, float64(n.total()), n.created,
				c.service, c.route, f.method, strconv.Itoa(f.status), f.reason)
		}
		if h := c.duration.Load(); h != nil {
			out <- h.metric(descDuration, c.place)
		}
		if h := c.upstream.Load(); h != nil {
			out <- h.metric(descUpstream, c.place)
		}
		if cmp := c.compared.Load(); cmp != nil {
			cmp.collect(out, c.place)
		}
	}
}

// shown lists the series of a scrape, so that no request waits until it is written.
func (t *traffic) shown(now time.Time) []*routeCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	all := make([]*routeCounts, 0, len(t.routes))
	for _, c := range t.routes {
		all = append(all, c)
	}
	return all
}
