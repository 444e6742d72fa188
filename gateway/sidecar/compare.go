package sidecar

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scopegate/scopegate/gateway/gate"
)

// Lines of requests that a candidate decides otherwise, beyond those that are written anyway: so
// many a second for each route and pair of outcomes, and so many in all, since strangers can
// cause them too.
const (
	comparedLines    = 2
	allComparedLines = 100
)

// comparison is what a route's requests were decided to by the active policy and by its
// candidate: by whether the active one allows, then by the candidate's verdict. From the first
// request on a scrape shows all pairs, so that a rate can be taken over the first difference.
type comparison struct {
	created time.Time
	pairs   [2][3]pair
}

type pair struct {
	counter atomic.Pointer[counter] // nil: 0
	lines   allowance
}

// difference is what a candidate makes of a request otherwise than the active policy did, or
// might, where it is undecided.
type difference struct {
	gate.Candidate
	lines *allowance // nil: there is no difference, or no candidate
}

// compare asks the candidate about an exchange and counts what it says.
//
// A request for which only the candidate has a route counts there, so that what it opens shows
// by its own name.
func (r *recorder) compare(x *gate.Exchange, at *slot, stripe int, now time.Time) (d difference) {
	candidate, judged := x.Candidate()
	if !judged {
		return d
	}
	if x.Match().Route == nil {
		at = x.Service().Meter.(*meter).slot(candidate.Decision.Match.Route)
	}
	active, same := 0, gate.CandidateDenies
	if decisionOf(x) == allow {
		active, same = 1, gate.CandidateAllows
	}
	all := at.in(r.traffic).comparison(now)
	p := &all.pairs[active][candidate.Verdict]
	r.traffic.counter(&p.counter, all.created).cells[stripe].n.Add(1)
	if candidate.Verdict != same {
		d = difference{candidate, &p.lines}
	}
	return d
}

// differing limits the lines of differences; see sampled.
func (r *recorder) differing(of *allowance, now time.Time) int64 {
	since := now.Sub(r.traffic.began)
	n := of.allow(comparedLines, since)
	if n > 0 && r.differed.allow(allComparedLines, since) == 0 {
		of.suppressed.Add(n)
		return 0
	}
	return n
}

// flushCompared accounts for lines that were held back, as flush does.
func (r *recorder) flushCompared() {
	for _, c := range r.traffic.shown(time.Now()) {
		all := c.compared.Load()
		if all == nil {
			continue
		}
		all.each(func(active string, v gate.Verdict, p *pair) {
			if n := p.lines.suppressed.Swap(0); n > 0 {
				r.events.Info("requests without a line", "service", c.service, "route", c.route, "decision", active, "candidate", v.String(), "sampled", n)
			}
		})
	}
}

// comparison returns the one that is there, or else a new one.
func (c *routeCounts) comparison(now time.Time) *comparison {
	if known := c.compared.Load(); known != nil {
		return known
	}
	c.compared.CompareAndSwap(nil, &comparison{created: now})
	return c.compared.Load()
}

// counter returns the one that is there, or else a new one.
func (t *traffic) counter(at *atomic.Pointer[counter], created time.Time) *counter {
	if n := at.Load(); n != nil {
		return n
	}
	at.CompareAndSwap(nil, &counter{created: created, cells: make([]counterCell, t.stripes)})
	return at.Load()
}

var descCandidate = desc("candidate_decisions_total", "Requests that a policy and its candidate have decided, by what each says.", "service", "route", "active", "candidate")

func (c *comparison) collect(out chan<- prometheus.Metric, p place) {
	c.each(func(active string, v gate.Verdict, of *pair) {
		var total uint64
		if n := of.counter.Load(); n != nil {
			total = n.total()
		}
		out <- prometheus.MustNewConstMetricWithCreatedTimestamp(descCandidate, prometheus.CounterValue, float64(total), c.created,
			p.service, p.route, active, v.String())
	})
}

func (c *comparison) each(visit func(active string, v gate.Verdict, p *pair)) {
	for i, active := range [...]string{deny, allow} {
		for v := range c.pairs[i] {
			visit(active, gate.Verdict(v), &c.pairs[i][v])
		}
	}
}
