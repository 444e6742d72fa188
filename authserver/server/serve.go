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
	drainPoll    = 20 * time.Millisecond
	maxHead      = 32 << 10
	keyInterval  = 30 * time.Second // at most half of token.Timetable.Reload
)

// Serve answers on both listeners until ctx ends, then drains, and closes the
// store. It returns nil after a clean drain; the listeners are closed in any
// case.
func (s *Server) Serve(ctx context.Context, public, admin net.Listener) error {
	publicServer, adminServer := s.httpServer(s.handler), s.httpServer(s.AdminHandler())
	publicServer.ConnState = s.countConnections
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
	open := &listener{Listener: public}
	start("public", publicServer, open)
	start("admin", adminServer, admin)
	running.Go(func() { s.keepKeys(keys) })
	s.log.Info("serving", "issuer", s.cfg.Issuer, "public", public.Addr().String(), "admin", admin.Addr().String(),
		"signup", string(s.cfg.Signup), "services_claim", string(s.cfg.Claim))

	var err error
	select {
	case <-ctx.Done():
		err = s.drain(publicServer, open)
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
//
// Two things would lose requests: a listen queue that is closed with clients in
// it, and http.Server.Shutdown, which drops a request whose head it has not read
// when it begins. So the queue is emptied first, and Shutdown comes last.
func (s *Server) drain(srv *http.Server, ln *listener) error {
	s.log.Info("draining", "delay", s.cfg.DrainDelay.String())
	s.draining.Store(true)
	pause(s.cfg.DrainDelay)
	if err := ignoreClosed(ln.stop()); err != nil {
		return fmt.Errorf("stop listening: %w", err)
	}
	pause(queueGrace + idleGrace)
	srv.SetKeepAlivesEnabled(false) // ends idle connections, and every other after its answer
	for deadline := time.Now().Add(workTimeout); s.connections.Load() > 0; pause(drainPoll) {
		if time.Now().After(deadline) {
			return fmt.Errorf("drain: requests still in flight after %s", workTimeout)
		}
	}
	if err := ignoreClosed(srv.Shutdown(context.Background())); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	s.log.Info("drained")
	return nil
}

// countConnections is the public port's http.Server.ConnState.
func (s *Server) countConnections(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
	}
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
