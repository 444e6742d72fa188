package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headTimeout  = 10 * time.Second
	bodyTimeout  = 30 * time.Second
	writeTimeout = 60 * time.Second
	idleTimeout  = 2 * time.Minute
	workTimeout  = 30 * time.Second // for what is in flight when draining
	idleGrace    = time.Second      // for connections that are idle then
	maxHead      = 32 << 10
	keyInterval  = 30 * time.Second // at most half of token.Timetable.Reload
)

// Serve answers on both listeners until ctx ends, then drains, and closes the
// store. It returns nil after a clean drain; the listeners are closed in any
// case.
func (s *Server) Serve(ctx context.Context, public, admin net.Listener) error {
	publicServer, adminServer := s.httpServer(s.handler), s.httpServer(s.AdminHandler())
	keys, stopKeys := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeys()
	failed := make(chan error, 2)
	var running sync.WaitGroup
	start := func(name string, srv *http.Server, ln net.Listener) {
		running.Go(func() {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !s.draining.Load() {
				failed <- fmt.Errorf("serve %s: %w", name, err)
			}
		})
	}
	start("public", publicServer, public)
	start("admin", adminServer, admin)
	running.Go(func() { s.keepKeys(keys) })
	s.log.Info("serving", "issuer", s.cfg.Issuer, "public", public.Addr().String(), "admin", admin.Addr().String(),
		"signup", string(s.cfg.Signup), "services_claim", string(s.cfg.Claim))

	var err error
	select {
	case <-ctx.Done():
		err = s.drain(publicServer, public)
	case err = <-failed:
		s.draining.Store(true)
	}
	err = errors.Join(err, ignoreClosed(publicServer.Close()), ignoreClosed(adminServer.Close()))
	stopKeys()
	running.Wait()
	return errors.Join(err, s.Close())
}

// drain goes on answering for a while, so that load balancers can take notice;
// then it stops listening, and waits for what is under way. Nobody gets a 503
// for our being asked to stop.
func (s *Server) drain(srv *http.Server, ln net.Listener) error {
	s.log.Info("draining", "delay", s.cfg.DrainDelay.String())
	s.draining.Store(true)
	pause(s.cfg.DrainDelay)
	if err := ignoreClosed(ln.Close()); err != nil {
		return fmt.Errorf("stop listening: %w", err)
	}
	pause(idleGrace)
	ctx, cancel := context.WithTimeout(context.Background(), workTimeout)
	defer cancel()
	if err := ignoreClosed(srv.Shutdown(ctx)); err != nil {
		return fmt.Errorf("drain: requests still in flight after %s: %w", workTimeout, err)
	}
	s.log.Info("drained")
	return nil
}

func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// keepKeys follows the key timetable until ctx ends. A failure leaves the keys
// that are known in use; the timetable has room for a long outage.
func (s *Server) keepKeys(ctx context.Context) {
	tick := time.NewTicker(keyInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.ring.Refresh(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Error("signing keys not refreshed", "error", err)
		}
		if _, unopened := s.ring.Keys(time.Now()); unopened > 0 {
			s.log.Error("rows in the key table were not made under the master key; they are not used", "rows", unopened)
		}
	}
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}
