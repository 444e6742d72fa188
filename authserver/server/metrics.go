package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/token"
)

const namespace = "scopegate_authserver"

// metrics is the process's own registry. All labels come from closed sets.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	logins   *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	hashWait *prometheus.HistogramVec
	store    *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "requests_total",
			Help: "Requests answered, by route template, method and status.",
		}, []string{"route", "method", "code"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "logins_total",
			Help: "Login attempts by result.",
		}, []string{"result"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "tokens_issued_total",
			Help: "Access tokens issued by claims profile.",
		}, []string{"profile"}),
		hashWait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "hash_wait_seconds",
			Help:    "How long a password waited for its turn to be hashed.",
			Buckets: []float64{.001, .005, .02, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"queue"}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "store_duration_seconds",
			Help:    "How long transactions of the store took, by kind.",
			Buckets: []float64{.0002, .001, .005, .02, .1, .5, 2},
		}, []string{"op"}),
	}
	for _, result := range []string{"ok", "invalid", "refused", "scopes", "throttled", "busy", "error"} {
		m.logins.WithLabelValues(result)
	}
	m.tokens.WithLabelValues("login")
	m.registry.MustRegister(m.requests, m.logins, m.tokens, m.hashWait, m.store,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds the gauges that are read from the parts at scrape time.
func (m *metrics) watch(accounts *account.Service, ring *token.Ring) {
	m.registry.MustRegister(&keyGauge{ring: ring}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "hash_queue_depth",
		Help: "Passwords that wait to be hashed, logins and signups together.",
	}, func() float64 {
		stats := accounts.HashStats()
		return float64(stats.LoginQueue + stats.SignupQueue)
	}))
}

// keyGauge counts signing keys by state. The state "unopened" is an alarm:
// somebody without the master key wrote a row.
type keyGauge struct{ ring *token.Ring }

var keysDesc = prometheus.NewDesc(namespace+"_keys",
	"Signing keys by state; unopened above zero means that rows were not made under the master key.",
	[]string{"state"}, nil)

// Describe is part of prometheus.Collector.
func (g *keyGauge) Describe(ch chan<- *prometheus.Desc) { ch <- keysDesc }

// Collect is part of prometheus.Collector.
func (g *keyGauge) Collect(ch chan<- prometheus.Metric) {
	keys, unopened := g.ring.Keys(time.Now())
	count := map[token.State]int{}
	for _, k := range keys {
		count[k.State]++
	}
	for _, state := range []token.State{token.Waiting, token.Published, token.Signing, token.Retiring, token.Retired} {
		ch <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(count[state]), string(state))
	}
	ch <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(unopened), "unopened")
}

// timedStore is a store whose transactions are measured.
type timedStore struct {
	account.Store
	seconds *prometheus.HistogramVec
}

// View measures account.Store.View.
func (t timedStore) View(ctx context.Context, fn func(account.Tx) error) error {
	defer t.since("view", time.Now())
	return t.Store.View(ctx, fn)
}

// Update measures account.Store.Update.
func (t timedStore) Update(ctx context.Context, fn func(account.Tx) error) error {
	defer t.since("update", time.Now())
	return t.Store.Update(ctx, fn)
}

func (t timedStore) since(op string, begin time.Time) {
	t.seconds.WithLabelValues(op).Observe(time.Since(begin).Seconds())
}
