package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// ErrBeyondLoopback is returned by Serve for a data listener that others than this
// machine can reach. Whoever reaches the service directly writes its identity headers.
var ErrBeyondLoopback = errors.New("the data listener can be reached from beyond loopback")

// Config is what an operator may choose. The zero value is a working service.
type Config struct {
	// Logger gets one line per request and the life of the process. Nil discards.
	Logger *slog.Logger
	// Version is shown as scopegate_billing_build_info.
	Version string
	// DrainDelay is how long the listener stays open once readiness is gone, so that
	// balancers notice. Zero closes it at once.
	DrainDelay time.Duration
	// DrainTimeout bounds the work in flight after the listener closed. Zero means 30 s.
	DrainTimeout time.Duration
	// InsecureListenBeyondLoopback lets Serve take a data listener that other machines
	// reach. Only a service whose network is closed in another way may set it.
	InsecureListenBeyondLoopback bool
}

// Server is the example service, wired but not yet listening.
type Server struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	data     http.Handler
	admin    http.Handler
	draining atomic.Bool
}

// New wires a service from cfg. It opens nothing.
func New(cfg Config) (*Server, error) {
	if cfg.DrainDelay < 0 || cfg.DrainTimeout < 0 {
		return nil, errors.New("billing: drain delay and drain timeout cannot be negative")
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: cfg.Logger}
	s.registry, s.requests = newMetrics(cfg.Version)
	s.data = s.observe(billing())
	s.admin = s.adminRoutes()
	return s, nil
}

// DataHandler answers the service's own routes.
func (s *Server) DataHandler() http.Handler { return s.data }

// AdminHandler answers /livez, /readyz and /metrics.
func (s *Server) AdminHandler() http.Handler { return s.admin }

// Serve answers on both listeners until ctx ends, then drains: readiness turns 503, the
// data listener stays open for DrainDelay while answers say Connection: close, and work in
// flight gets DrainTimeout. It closes both listeners, and returns nil after a clean drain.
func (s *Server) Serve(ctx context.Context, data, admin net.Listener) error {
	if !s.cfg.InsecureListenBeyondLoopback && !isLoopback(data.Addr()) {
		data.Close()
		admin.Close()
		return fmt.Errorf("listen on %s: %w", data.Addr(), ErrBeyondLoopback)
	}
	dataServer, adminServer := s.httpServer(s.data), s.httpServer(s.admin)
	run, ctx := errgroup.WithContext(ctx)
	run.Go(func() error { return serve(dataServer, data, "data") })
	run.Go(func() error { return serve(adminServer, admin, "admin") })
	run.Go(func() error {
		<-ctx.Done()
		return s.drain(dataServer, adminServer)
	})
	s.log.Info("billing serves", "listen", data.Addr().String(), "admin", admin.Addr().String())
	return run.Wait()
}

// drain ends both servers. The admin port goes last, so that readiness is seen to be gone
// and the last scrape is not lost.
func (s *Server) drain(data, admin *http.Server) error {
	s.draining.Store(true)
	s.log.Info("billing drains", "delay", s.cfg.DrainDelay.String())
	data.SetKeepAlivesEnabled(false)
	time.Sleep(s.cfg.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	err := data.Shutdown(ctx)
	if err != nil {
		data.Close()
		err = fmt.Errorf("drain the data listener: %w", err)
	}
	admin.Close()
	return err
}

// httpServer bounds what a client can hold open. IdleTimeout is longer than the gateway
// keeps idle connections, so that the gateway never writes into one that is closing.
func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

func serve(server *http.Server, listener net.Listener, name string) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", name, err)
	}
	return nil
}

// isLoopback tells whether only this machine reaches addr. A unix socket counts: its
// file mode says who.
func isLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	default:
		return false
	}
}
