package sidecar

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/fastlane"
	"github.com/scopegate/scopegate/gateway/proxy"
)

// lanes makes the lanes and the data port in front of them: HTTP/1 is read by the fast lane,
// HTTP/2 by net/http, which also reads HTTP/1 where every service says lane: standard.
func (s *Sidecar) lanes(cfg *Config) {
	errorLog := serverLog(s.log, newLimiter(refusedLines, httpServer))
	settings := cfg.proxyConfig()
	settings.ErrorLog = errorLog
	s.proxy = proxy.New(s.gate, settings)
	var http1 dataport.Lane = s.proxy
	if !cfg.Standard {
		http1 = fastlane.New(s.gate, fastlane.Config{
			HeadTimeout: settings.HeadTimeout, IdleTimeout: settings.IdleTimeout, HeadMax: settings.HeadMax,
		})
	}
	s.port = dataport.New(dataport.Config{
		HeadTimeout: settings.HeadTimeout,
		Limits: dataport.Limits{
			Connections: cfg.Limits.Connections,
			PerAddress:  cfg.Limits.PerAddress,
			Exempt:      cfg.TrustedProxies,
		},
		ErrorLog: errorLog,
	}, http1, s.proxy)
}

// serveData answers on the data port until ctx ends, a successor is ready or a listener fails,
// then drains.
func (s *Sidecar) serveData(ctx context.Context, data net.Listener, admin *adminPort, offer *dataport.Offer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- s.port.Serve(data, s.serverTLS()) }()
	end := ending(ctx, offer)
	var successor *dataport.Successor
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("data port: %w", err)
	case err = <-admin.failed:
		_ = s.port.Close() // the cause is the admin port
		<-failed
		err = fmt.Errorf("admin port: %w", err)
	case successor = <-end:
	}
	if err != nil {
		stop()
		s.handOver(<-end, admin)
		return err
	}
	c := s.current.Load().config
	s.handOver(successor, admin)
	s.draining.Store(successor == nil) // for the balancer: this address stays ready otherwise
	s.log.Info("draining", "delay", c.DrainDelay.String(), "timeout", c.DrainTimeout.String())
	err = s.port.Drain(context.WithoutCancel(ctx), dataport.Grace{Delay: c.DrainDelay, Work: c.DrainTimeout})
	if served := <-failed; err == nil {
		err = served
	}
	switch {
	case err == nil:
		s.log.Info("drained")
	case successor != nil && errors.Is(err, dataport.ErrCut):
		// No failure: a supervisor that starts this process again would have it take over in turn.
		s.log.Warn("drained", "error", err.Error())
	default:
		return fmt.Errorf("drain: %w", err)
	}
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
