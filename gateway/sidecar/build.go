package sidecar

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/proxy"
	"github.com/scopegate/scopegate/gateway/seal"
	"github.com/scopegate/scopegate/gateway/token"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// state is one configuration ready to be served. Nothing in it changes after it is built.
type state struct {
	config    *Config
	snapshot  *gate.Snapshot
	verifier  *token.Verifier
	upstreams map[upstream.Config]*bothLanes
	tls       *tls.Config // nil: plain text
	sealer    *sealer     // nil: no explanation is sealed
	loaded    time.Time
	held      []held // policies of the configuration in whose place older ones are served
}

// build makes a state of a configuration. Everything that can fail happens here, before
// anything that is being served is touched. What did not change is taken over from before:
// the verifier with its keys and tokens, and the pools of connections to services.
func (s *Sidecar) build(cfg *Config, before *state) (*state, error) {
	n := &state{
		config:    cfg,
		upstreams: map[upstream.Config]*bothLanes{},
		loaded:    time.Now(),
	}
	var err error
	if n.verifier, err = buildVerifier(cfg, before, s.log); err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	if cfg.TLS != nil {
		if n.tls, err = cfg.TLS.serverTLS(); err != nil {
			return nil, err
		}
	}
	if n.sealer, err = s.buildSealer(cfg, before); err != nil {
		return nil, fmt.Errorf("explain_key: %w", err)
	}
	services := make([]*gate.Service, 0, len(cfg.Services))
	for i := range cfg.Services {
		svc, err := s.buildService(&cfg.Services[i], n, before)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", cfg.Services[i].Policy.Service(), err)
		}
		services = append(services, svc)
	}
	if n.snapshot, err = gate.NewSnapshot(services, n.verifier, cfg.TrustedProxies); err != nil {
		return nil, err
	}
	return n, nil
}

// buildVerifier keeps the verifier of before where the issuers are the same: a change of a
// policy must not empty the cache of verified tokens.
func buildVerifier(cfg *Config, before *state, log *slog.Logger) (*token.Verifier, error) {
	var previous *token.Verifier
	if before != nil {
		previous = before.verifier
		if reflect.DeepEqual(before.config.Issuers, cfg.Issuers) {
			return previous, nil
		}
	}
	entries := cfg.TokenCache
	if entries == 0 {
		entries = -1 // token's zero value asks for the default
	}
	return token.New(token.Config{Issuers: cfg.Issuers, CacheEntries: entries, Logger: log}, previous)
}

// buildSealer keeps the sealer of before where the key is the same: a new one begins with a new
// secret, which costs more than anything else that a reload does.
func (s *Sidecar) buildSealer(cfg *Config, before *state) (*sealer, error) {
	if cfg.ExplainKey == "" {
		return nil, nil
	}
	if before != nil && before.config.ExplainKey == cfg.ExplainKey {
		return before.sealer, nil
	}
	key, err := seal.NewSealer([]byte(cfg.ExplainKey))
	if err != nil {
		return nil, err
	}
	return &sealer{key, s.recorder.pens}, nil
}

func (s *Sidecar) buildService(c *Service, n, before *state) (*gate.Service, error) {
	up, err := n.upstream(c, before)
	if err != nil {
		return nil, err
	}
	svc := &gate.Service{
		Policy:       c.Policy,
		Candidate:    candidateOf(c, before),
		Hosts:        c.Hosts,
		Accept:       token.Acceptance{Issuers: c.Issuers, Audience: c.Audience},
		Explain:      c.Explain,
		Sealer:       n.sealer,
		ForwardToken: c.ForwardToken,
		HideRoutes:   c.HideRoutes,
		ClaimHeaders: c.ClaimHeaders,
		KeepHeaders:  c.KeepHeaders,
		CORS:         c.CORS,
		Metadata:     c.Metadata,
		UpstreamHost: c.UpstreamHost,
		IdentityMax:  int(c.IdentityMax),
		InFlight:     s.inFlight(c.Policy.Service()),
		InFlightMax:  int64(c.Limits.InFlight),
		Upstream:     up,
	}
	svc.Meter = newMeter(svc)
	return svc, nil
}

// inFlight returns the counter of a service, the same one through all reloads, so that what
// began before a reload still counts after it.
func (s *Sidecar) inFlight(service string) *atomic.Int64 {
	n, _ := s.flights.LoadOrStore(service, new(atomic.Int64))
	return n.(*atomic.Int64)
}

// upstream finds the pool for a service: the one of before where nothing about it changed.
func (n *state) upstream(c *Service, before *state) (*bothLanes, error) {
	cfg := c.Upstream.proxyConfig(c)
	if up := n.upstreams[cfg]; up != nil {
		return up, nil
	}
	if before != nil && before.upstreams[cfg] != nil {
		n.upstreams[cfg] = before.upstreams[cfg]
		return n.upstreams[cfg], nil
	}
	up, err := newBothLanes(cfg, n.config.Standard)
	if err != nil {
		return nil, err
	}
	n.upstreams[cfg] = up
	return up, nil
}

func (u *Upstream) proxyConfig(c *Service) upstream.Config {
	return upstream.Config{
		Scheme:   u.Scheme,
		Address:  u.Address,
		Host:     u.Host,
		TLS:      u.TLS,
		HeadMax:  c.Limits.Head,
		BodyMax:  c.Limits.Body,
		MaxConns: c.Limits.Connections,
		Timeouts: gate.Timeouts{
			BodyIdle:   c.Timeouts.BodyIdle,
			Upstream:   c.Timeouts.Upstream,
			WriteIdle:  c.Timeouts.WriteIdle,
			TunnelIdle: c.Timeouts.TunnelIdle,
			TunnelMax:  c.Timeouts.TunnelMax,
		},
	}
}

// proxyConfig is what the standard lane does before it knows a request's service. The widest
// of the services' bounds holds for reading; each service's own is judged when its request has
// been read.
func (c *Config) proxyConfig() proxy.Config {
	p := proxy.Config{HTTP1: c.Standard}
	for i := range c.Services {
		s := &c.Services[i]
		p.HeadTimeout = max(p.HeadTimeout, s.Timeouts.Head)
		p.IdleTimeout = max(p.IdleTimeout, s.Timeouts.Idle)
		p.HeadMax = max(p.HeadMax, s.Limits.Head)
	}
	return p
}

// restartOnly names the keys in which a new configuration differs from the one that the
// process began with, and which are fixed as long as it runs.
func restartOnly(began, now *Config) []string {
	var out []string
	differs := func(key string, changed bool) {
		if changed {
			out = append(out, key)
		}
	}
	differs("listen", began.Listen != now.Listen)
	differs("admin", began.Admin != now.Admin)
	differs("limits", began.Limits != now.Limits)
	differs("lane", began.Standard != now.Standard)
	differs("tls (switched on or off)", (began.TLS == nil) != (now.TLS == nil))
	differs("token_cache", began.TokenCache != now.TokenCache)
	differs("log.format", began.Log.Format != now.Log.Format)
	differs("takeover", began.Takeover != now.Takeover)
	differs("pprof", began.Pprof != now.Pprof)
	a, b := began.proxyConfig(), now.proxyConfig()
	differs("timeouts.head, timeouts.idle or limits.head (the widest of all services)",
		a.HeadTimeout != b.HeadTimeout || a.IdleTimeout != b.IdleTimeout || a.HeadMax != b.HeadMax)
	differs("trusted_proxies (for limits.per_address only)", !reflect.DeepEqual(began.TrustedProxies, now.TrustedProxies))
	return out
}

// keysTime bounds the wait for a new issuer's first keys before its configuration is
// published, so that its tokens are not refused for the length of one fetch.
const keysTime = 3 * time.Second

// awaitKeys waits until every issuer of v has had keys, but not for long: an issuer that is
// down must not keep a new policy from being served.
func awaitKeys(ctx context.Context, v *token.Verifier) {
	ctx, cancel := context.WithTimeout(ctx, keysTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !hadKeys(v, false) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// hadKeys reports whether all issuers, or any, have had keys once.
func hadKeys(v *token.Verifier, anyIssuer bool) bool {
	status := v.Status()
	if len(status) == 0 {
		return true
	}
	n := 0
	for _, s := range status {
		if s.HadKeys {
			n++
		}
	}
	return n == len(status) || anyIssuer && n > 0
}
