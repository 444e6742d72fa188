package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// idleGrace is how long kept-alive connections stay open after the listener has closed: a
// request that was on its way is still answered.
const idleGrace = time.Second

func (s *Sidecar) connections() map[string]int64 { return s.conns.counts() }

// connCounts counts the data port's connections by state.
type connCounts struct {
	active, idle atomic.Int64
}

func (c *connCounts) counts() map[string]int64 {
	return map[string]int64{"active": c.active.Load(), "idle": c.idle.Load()}
}

// serveData answers on the data port until ctx ends or a listener fails, then drains.
func (s *Sidecar) serveData(ctx context.Context, data net.Listener, adminFailed <-chan error) error {
	server := &http.Server{Handler: s.DataHandler()}
	dataFailed := make(chan error, 1)
	go func() { dataFailed <- server.Serve(data) }()
	select {
	case err := <-dataFailed:
		return fmt.Errorf("data port: %w", err)
	case err := <-adminFailed:
		_ = server.Close()
		<-dataFailed
		return fmt.Errorf("admin port: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log.Info("draining", "delay", s.current.Load().config.DrainDelay.String())
	_ = s.pause(context.WithoutCancel(ctx), s.current.Load().config.DrainDelay)
	err := server.Shutdown(context.WithoutCancel(ctx))
	if serveErr := <-dataFailed; !errors.Is(serveErr, http.ErrServerClosed) && err == nil {
		err = serveErr
	}
	return err
}
