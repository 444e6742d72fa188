package sidecar

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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

	traffic *traffic // what each request adds to

	policyInfo    *prometheus.GaugeVec
	reloads       *prometheus.CounterVec
	reloadOK      *prometheus.GaugeVec
	reloadTime    *prometheus.GaugeVec
	configOK      prometheus.Gauge
	restartNeeded prometheus.Gauge
	policyHeld    *prometheus.GaugeVec
	candidateInfo *prometheus.GaugeVec
	candidateOK   *prometheus.GaugeVec
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), traffic: newTraffic()}
	m.registry.MustRegister(m.traffic)
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
	m.policyInfo = gauge("policy_info", "The policy that is served; always 1.", "service", "hash")
	m.reloads = counter("policy_reloads_total", "Attempts to load a service's policy after the first.", "service", "result")
	m.reloadOK = gauge("policy_last_reload_successful", "Whether the last attempt to load the policy succeeded.", "service")
	m.reloadTime = gauge("policy_last_reload_success_timestamp_seconds", "When the policy was last loaded, in Unix time.", "service")
	m.configOK = gauge("config_last_reload_successful", "Whether the last attempt to load the configuration succeeded.").WithLabelValues()
	m.restartNeeded = gauge("restart_needed", "Whether the configuration on disk has changes that only a restart takes up.").WithLabelValues()
	m.policyHeld = gauge("policy_held", "Whether the policy on disk is held back because it widens access.", "service")
	m.candidateInfo = gauge("candidate_info", "The candidate policy that is evaluated beside the one that is served; always 1.", "service", "hash")
	m.candidateOK = gauge("candidate_last_reload_successful", "Whether the candidate policy's file could be used when it was last read.", "service")
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
