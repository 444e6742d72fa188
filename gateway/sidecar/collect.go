package sidecar

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scopegate/scopegate/gateway/token"
)

// describe sets what follows from the configuration that is served. Services that are gone
// leave the gauges.
func (m *metrics) describe(before, n *state) {
	for name, hash := range hashesOf(before) {
		if n.hashes()[name] != hash {
			m.policyInfo.DeleteLabelValues(name, hash)
		}
		if n.hashes()[name] == "" {
			m.reloadOK.DeleteLabelValues(name)
			m.reloadTime.DeleteLabelValues(name)
			m.policyHeld.DeleteLabelValues(name)
		}
	}
	for name, hash := range n.hashes() {
		m.policyInfo.WithLabelValues(name, hash).Set(1)
		m.reloadOK.WithLabelValues(name).Set(1)
		back := n.holds(name) != nil
		m.policyHeld.WithLabelValues(name).Set(truth(back))
		if !back {
			m.reloadTime.WithLabelValues(name).Set(float64(n.loaded.UnixMilli()) / 1000)
		}
		m.reloads.WithLabelValues(name, "success")
		m.reloads.WithLabelValues(name, "held")
		m.reloads.WithLabelValues(name, "failure")
	}
	m.configOK.Set(1)
	m.describeCandidates(before, n)
}

func hashesOf(n *state) map[string]string {
	if n == nil {
		return nil
	}
	return n.hashes()
}

// reloaded counts an attempt. A failure is charged to the services whose policy files have
// errors; when the fault lies in gateway.yaml, to all of them, because none was taken up.
func (m *metrics) reloaded(before, now *state, r *reloadReport) {
	m.restartNeeded.Set(float64(min(len(r.restart), 1)))
	if r.ok {
		for name := range now.hashes() {
			became := "success"
			if now.holds(name) != nil {
				became = "held"
			}
			m.reloads.WithLabelValues(name, became).Inc()
		}
		return
	}
	m.configOK.Set(0)
	guilty := before.guilty(r)
	for name := range before.hashes() {
		if guilty == nil || guilty[name] {
			m.reloads.WithLabelValues(name, "failure").Inc()
			m.reloadOK.WithLabelValues(name).Set(0)
		}
	}
}

// guilty names the services whose policy files have errors; nil means that the fault is not
// one of a known policy alone.
func (n *state) guilty(r *reloadReport) map[string]bool {
	out := map[string]bool{}
	for _, f := range r.findings.Errors() {
		known := false
		for i := range n.config.Services {
			if s := &n.config.Services[i]; s.PolicyFile == f.File {
				out[s.Policy.Service()], known = true, true
			} else if s.Candidate.File == f.File {
				known = true // of nothing that is served
			}
		}
		if !known {
			return nil
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// collector reads what other packages count at the moment of a scrape.
type collector struct{ s *Sidecar }

func (m *metrics) collect(s *Sidecar) { m.registry.MustRegister(collector{s}) }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	descAge         = desc("jwks_age_seconds", "Time since an issuer's keys were last known to be current.", "issuer")
	descKeys        = desc("jwks_keys", "Usable keys of an issuer.", "issuer")
	descStale       = desc("jwks_stale", "Whether the last refresh of an issuer's keys failed.", "issuer")
	descRefreshes   = desc("jwks_refreshes_total", "Loads of an issuer's keys.", "issuer", "trigger", "result")
	descUnknownKids = desc("unknown_kids_total", "Tokens whose key the issuer's snapshot lacked.", "issuer", "outcome")
	descHits        = desc("token_cache_hits_total", "Tokens that were found verified.")
	descMisses      = desc("token_cache_misses_total", "Tokens that had to be verified.")
	descEntries     = desc("token_cache_entries", "Verified tokens that are remembered.")
	descConnections = desc("connections", "Connections of the data port.", "state")
	descRefused     = desc("connections_refused_total", "Connections beyond the limits that were turned away.")
	descDropped     = desc("log_dropped_total", "Log lines that were lost: the queue was full, or they could not be written.")
)

// Describe implements [prometheus.Collector].
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descAge, descKeys, descStale, descRefreshes, descUnknownKids, descHits, descMisses, descEntries, descConnections, descRefused, descDropped} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	v := c.s.current.Load().verifier
	for _, i := range v.Status() {
		gauge(descAge, i.Age.Seconds(), i.Issuer)
		gauge(descKeys, float64(i.Keys), i.Issuer)
		gauge(descStale, truth(i.Stale), i.Issuer)
		for _, trigger := range triggers {
			for _, result := range results {
				counter(descRefreshes, i.Refreshes[token.Refresh{Trigger: trigger, Result: result}], i.Issuer, string(trigger), string(result))
			}
		}
		for _, outcome := range outcomes {
			counter(descUnknownKids, i.UnknownKids[outcome], i.Issuer, string(outcome))
		}
	}
	cache := v.Stats()
	counter(descHits, cache.Hits)
	counter(descMisses, cache.Misses)
	gauge(descEntries, float64(cache.Entries))
	conns := c.s.port.Connections()
	gauge(descConnections, float64(conns.New), "new")
	gauge(descConnections, float64(conns.Active), "active")
	gauge(descConnections, float64(conns.Idle), "idle")
	gauge(descConnections, float64(conns.Tunnel), "tunnel")
	counter(descRefused, conns.Refused)
	counter(descDropped, uint64(c.s.queue.lost.Load()))
}

// Every value of a label is there from the start, so that a rate can be taken over its first
// event.
var (
	triggers = []token.Trigger{token.TriggerStart, token.TriggerBackground, token.TriggerRetry, token.TriggerUnknownKid}
	results  = []token.Result{token.ResultOK, token.ResultUnchanged, token.ResultFailed}
	outcomes = []token.Outcome{token.OutcomeFetched, token.OutcomeAbsent, token.OutcomeRemembered, token.OutcomeBudget, token.OutcomeCrowded, token.OutcomeUnavailable}
)

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
