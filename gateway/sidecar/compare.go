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
// candidate: by whether the active one allows, then by the candidate's verdict.
type comparison [2][3]struct {
	counter atomic.Pointer[counter]
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
	pair := &at.in(r.traffic).comparison()[active][candidate.Verdict]
	r.traffic.counter(&pair.counter, now).cells[stripe].n.Add(1)
	if candidate.Verdict != same {
		d = difference{candidate, &pair.lines}
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
		all.each(func(active string, v gate.Verdict, _ *counter, lines *allowance) {
			if n := lines.suppressed.Swap(0); n > 0 {
				r.events.Info("requests without a line", "service", c.service, "route", c.route, "decision", active, "candidate", v.String(), "sampled", n)
			}
		})
	}
}

// comparison returns the one that is there, or else a new one.
func (c *routeCounts) comparison() *comparison {
	if known := c.compared.Load(); known != nil {
		return known
	}
	c.compared.CompareAndSwap(nil, &comparison{})
	return c.compared.Load()
}

// counter returns the one that is there, or else a new one.
func (t *traffic) counter(at *atomic.Pointer[counter], now time.Time) *counter {
	if n := at.Load(); n != nil {
		return n
	}
	at.CompareAndSwap(nil, &counter{created: now, cells: make([]counterCell, t.stripes)})
	return at.Load()
}

var descCandidate = desc("candidate_decisions_total", "Requests that a policy and its candidate have decided, by what each says.", "service", "route", "active", "candidate")

func (c *comparison) collect(out chan<- prometheus.Metric, p place) {
	c.each(func(active string, v gate.Verdict, n *counter, _ *allowance) {
		out <- prometheus.MustNewConstMetricWithCreatedTimestamp(descCandidate, prometheus.CounterValue, float64(n.total()), n.created,
			p.service, p.route, active, v.String())
	})
}

// each visits the pairs that there have been.
func (c *comparison) each(visit func(active string, v gate.Verdict, n *counter, lines *allowance)) {
	for i, active := range [...]string{deny, allow} {
		for v := range c[i] {
			if n := c[i][v].counter.Load(); n != nil {
				visit(active, gate.Verdict(v), n, &c[i][v].lines)
			}
		}
	}
}
