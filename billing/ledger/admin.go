package ledger

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newMetrics makes the process's own registry: nothing global, so that several services
// can live in one process.
func newMetrics(version string) (*prometheus.Registry, *prometheus.CounterVec) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "scopegate_billing_requests_total",
		Help: "Requests answered by the example service, by method and status code.",
	}, []string{"method", "code"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "scopegate_billing_build_info",
		Help:        "Always 1; the label says which version runs.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	registry := prometheus.NewRegistry()
	registry.MustRegister(requests, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry, requests
}

// adminRoutes is the admin port: health for machines, and metrics.
func (s *Server) adminRoutes() http.Handler {
	metrics := promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		Registry:          s.registry,
		EnableOpenMetrics: true,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if readMethod(r.Method) != http.MethodGet {
			w.Header().Set("Allow", "GET, HEAD")
			detail(w, http.StatusMethodNotAllowed)
			return
		}
		switch r.URL.Path {
		case "/livez":
			writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		case "/readyz":
			s.readyz(w)
		case "/metrics":
			metrics.ServeHTTP(w, r)
		default:
			detail(w, http.StatusNotFound)
		}
	})
}

func (s *Server) readyz(w http.ResponseWriter) {
	if s.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// observe counts and logs each request once.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		tap := &tap{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(tap, r)
		s.requests.WithLabelValues(methodLabel(r.Method), strconv.Itoa(tap.status)).Inc()
		s.log.Info("request", "request_id", r.Header.Get("X-Request-Id"), "method", r.Method,
			"path", r.URL.Path, "status", tap.status,
			"duration_ms", float64(time.Since(start).Microseconds())/1000)
	})
}

// methodLabel keeps the label a closed set, whatever a client invents.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete:
		return method
	default:
		return "other"
	}
}

// tap remembers the status that was sent.
type tap struct {
	http.ResponseWriter
	status int
}

// WriteHeader keeps status and passes it on. The service sends no 1xx answers.
func (t *tap) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (t *tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }
