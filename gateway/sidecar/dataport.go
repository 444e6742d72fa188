package sidecar

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/scopegate/scopegate/gateway/proxy"
)

// serveData answers on the data port until ctx ends or a listener fails, then drains.
func (s *Sidecar) serveData(ctx context.Context, data net.Listener, adminFailed <-chan error) error {
	failed := make(chan error, 1)
	go func() { failed <- s.proxy.Serve(data, s.serverTLS()) }()
	select {
	case err := <-failed:
		return fmt.Errorf("data port: %w", err)
	case err := <-adminFailed:
		_ = s.proxy.Close() // the cause is the admin port
		<-failed
		return fmt.Errorf("admin port: %w", err)
	case <-ctx.Done():
	}
	c := s.current.Load().config
	s.draining.Store(true)
	s.log.Info("draining", "delay", c.DrainDelay.String(), "timeout", c.DrainTimeout.String())
	err := s.proxy.Drain(context.WithoutCancel(ctx), proxy.Grace{Delay: c.DrainDelay, Work: c.DrainTimeout})
	if served := <-failed; err == nil {
		err = served
	}
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	s.log.Info("drained")
	return nil
}

// serverTLS makes every handshake use the certificate, the client authorities and the
// protocols of the configuration that is served at that moment.
func (s *Sidecar) serverTLS() *tls.Config {
	first := s.current.Load().tls
	if first == nil {
		return nil
	}
	outer := first.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if now := s.current.Load().tls; now != nil {
			return now, nil
		}
		return first, nil // switching TLS off needs a restart
	}
	return outer
}
