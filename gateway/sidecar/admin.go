package sidecar

import (
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"
)

// admin answers on the admin port. Beyond loopback it says only what a balancer and
// Prometheus need; what describes the gateway from inside goes to local peers, and only under
// a Host that no foreign web page can have (DNS rebinding).
func (s *Sidecar) admin() http.Handler {
	scrape := s.metrics.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		switch {
		case r.URL.Path == "/livez":
			say(w, http.StatusOK, "ok\n")
		case r.URL.Path == "/readyz" && !r.URL.Query().Has("verbose"):
			s.readyz(w)
		case r.URL.Path == "/metrics":
			scrape.ServeHTTP(w, r)
		case !s.inside(r.URL.Path):
			http.NotFound(w, r)
		case !local(r):
			http.Error(w, "only for local peers that ask for localhost or an address", http.StatusForbidden)
		case r.URL.Path == "/readyz":
			s.readyzVerbose(w)
		case r.URL.Path == "/policy" && r.URL.Query().Has("source"):
			s.showSource(w, r.URL.Query().Get("source"))
		case r.URL.Path == "/policy":
			s.showPolicy(w)
		default:
			profile(w, r)
		}
	})
}

const pprofPath = "/debug/pprof/"

// inside tells the paths that only local peers may see.
func (s *Sidecar) inside(path string) bool {
	return path == "/readyz" || path == "/policy" || s.pprof && strings.HasPrefix(path, pprofPath)
}

// local reports whether the peer is on this machine and named it in a way that a page from
// elsewhere, with a name that was made to resolve to 127.0.0.1, cannot.
func local(r *http.Request) bool {
	return localPeer(r) && localHost(r.Host)
}

func localPeer(r *http.Request) bool {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() == "unix" {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

func localHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a peer that went away needs no answer
}

func profile(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, pprofPath) {
	case "cmdline":
		http.NotFound(w, r) // shows flags, and nothing that a profile needs
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}

// adminPort is the admin port while it is open.
type adminPort struct {
	server   *http.Server
	listener net.Listener
	failed   chan error
}

func (s *Sidecar) newAdminPort(l net.Listener) *adminPort {
	a := &adminPort{adminServer(s.admin()), l, make(chan error, 1)}
	a.server.ErrorLog = serverLog(s.log, newLimiter(refusedLines, httpServer))
	return a
}

// serve answers until the port is closed or fails.
func (a *adminPort) serve() { a.failed <- a.server.Serve(a.listener) }

// handOver leaves the port to a process that has its socket too.
func (a *adminPort) handOver() {
	if u, ok := a.listener.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	a.listener.Close()
}

// endClients makes those that keep their connections open new ones, which the other process
// answers. Not by Shutdown, which drops requests that are read after it.
func (a *adminPort) endClients() { a.server.SetKeepAlivesEnabled(false) }

// adminServer has tight limits of its own: the port serves a handful of peers, and must
// answer them while the data port is flooded.
func adminServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // a CPU profile takes 30 seconds
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}
