package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const checkTimeout = 2 * time.Second

// AdminHandler is the admin port: whether the process lives, whether it should
// get traffic, and its metrics.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) {
		writePlain(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("/readyz", s.readyz)
	mux.Handle("/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		Registry: s.metrics.registry, EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writePlain(w, http.StatusNotFound, map[string]string{"detail": "Not Found"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writePlain(w, http.StatusMethodNotAllowed, map[string]string{"detail": "Method Not Allowed"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// readyz is 503 while draining, while the store does not answer, and while no
// key may sign. The reasons are shown to local callers only.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	checks := map[string]string{"draining": "no", "store": "ok", "keys": "ok"}
	ready := true
	if s.draining.Load() {
		checks["draining"], ready = "yes", false
	}
	if err := s.store.Ping(ctx); err != nil {
		checks["store"], ready = "does not answer", false
		s.log.Warn("not ready", "error", err)
	}
	now := time.Now()
	if at := s.ring.SignableAt(now); !at.Equal(now) {
		checks["keys"], ready = "no key may sign before "+at.UTC().Format(time.RFC3339), false
	}
	status, word := http.StatusOK, "ready"
	if !ready {
		status, word = http.StatusServiceUnavailable, "not ready"
	}
	if r.URL.Query().Has("verbose") && local(r) {
		writePlain(w, status, map[string]any{"status": word, "checks": checks})
		return
	}
	writePlain(w, status, map[string]string{"status": word})
}

// local reports whether a request comes from this machine and was meant to: a
// web page that rebinds its own name to 127.0.0.1 sends that name as Host.
func local(r *http.Request) bool {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if host == "localhost" {
		return true
	}
	_, err = netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
