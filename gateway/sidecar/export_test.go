package sidecar

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SetPause replaces how s waits for files to settle, so that tests neither sleep nor race.
func (s *Sidecar) SetPause(f func(context.Context, time.Duration) error) { s.pause = f }

// OnReload calls f after every attempt to load the configuration again, with whether it was
// taken. It must be set before Serve.
func (s *Sidecar) OnReload(f func(ok bool)) {
	s.reloaded = func(r reloadReport) { f(r.ok) }
}

// SettleTime is the pause between the two readings of a changed configuration.
const SettleTime = settleTime

// Registry is what the admin port's /metrics shows.
func (s *Sidecar) Registry() *prometheus.Registry { return s.metrics.registry }
