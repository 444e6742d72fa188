package sidecar

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/scopegate/scopegate/gateway/gate"
)

const (
	namespace = "scopegate_gateway"
	unmatched = "unmatched"
	other     = "other"
)

// metrics are the gateway's own registry. Every label takes its values from a closed set:
// services, route templates and issuers of the configuration, methods of the policies, the
// reasons of the gate, and status codes.
type metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	upstream *prometheus.HistogramVec

	policyInfo    *prometheus.GaugeVec
	reloads       *prometheus.CounterVec
	reloadOK      *prometheus.GaugeVec
	reloadTime    *prometheus.GaugeVec
	configOK      prometheus.Gauge
	restartNeeded prometheus.Gauge
}

// labels are one exchange's values.
type labels struct {
	service, route, method, reason string
}

// buckets are in seconds and fit both a cached allow (tens of microseconds) and a slow
// upstream.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"service", "route"})
		m.registry.MustRegister(v)
		return v
	}
	m.requests = counter("requests_total", "Requests that came to an end, by what became of them.", "service", "route", "method", "code", "reason")
	m.duration = histogram("request_duration_seconds", "Time from a request's head to the end of its answer.")
	m.upstream = histogram("upstream_duration_seconds", "Time from sending a request's head to the service to the head of its answer.")
	m.policyInfo = gauge("policy_info", "The policy that is served; always 1.", "service", "hash")
	m.reloads = counter("policy_reloads_total", "Attempts to load a service's policy after the first.", "service", "result")
	m.reloadOK = gauge("policy_last_reload_successful", "Whether the last attempt to load the policy succeeded.", "service")
	m.reloadTime = gauge("policy_last_reload_success_timestamp_seconds", "When the policy was last loaded, in Unix time.", "service")
	m.configOK = gauge("config_last_reload_successful", "Whether the last attempt to load the configuration succeeded.").WithLabelValues()
	m.restartNeeded = gauge("restart_needed", "Whether the configuration on disk has changes that only a restart takes up.").WithLabelValues()
	m.build()
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *metrics) build() {
	revision, version := "", "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "What this binary was built from; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(build)
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second, Registry: m.registry,
	})
}

func (m *metrics) observe(l *labels, o gate.Outcome, took time.Duration) {
	m.requests.WithLabelValues(l.service, l.route, l.method, strconv.Itoa(o.Status), l.reason).Inc()
	m.duration.WithLabelValues(l.service, l.route).Observe(took.Seconds())
	if o.Upstream > 0 {
		m.upstream.WithLabelValues(l.service, l.route).Observe(o.Upstream.Seconds())
	}
}

// labelsOf finds an exchange's values; paths and unknown methods never become one.
func labelsOf(x *gate.Exchange) labels {
	l := labels{service: unmatched, route: unmatched, method: other, reason: string(x.Reason())}
	s := x.Service()
	if s == nil {
		return l
	}
	l.service = s.Name()
	l.method = methodLabel(x)
	if m := x.Match(); m.Route != nil {
		l.route = m.Route.Template()
	}
	return l
}

// standardMethods stand for themselves under ANY.
var standardMethods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

// methodLabel is the method if the service's policy names it, also where it answers 404 or 405.
// An override that a path accepts is the method that was judged.
func methodLabel(x *gate.Exchange) string {
	m := x.Method()
	if x.Service().Policy.NamesMethod(m) {
		return m
	}
	if rule := x.Match().Rule; rule != nil && rule.Method() == "ANY" && standardMethods[m] {
		return m
	}
	return other
}
