package sidecar

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scopegate/scopegate/gateway/gate"
)

// SetPause replaces how s waits for files to settle, so that tests neither sleep nor race.
func (s *Sidecar) SetPause(f func(context.Context, time.Duration) error) { s.pause = f }

// SetPatience replaces the time that s has for the comparison of policies.
func (s *Sidecar) SetPatience(d time.Duration) { s.patience = d }

// OnReload calls f after every attempt to load the configuration again, with whether it was
// taken. It must be set before Serve.
func (s *Sidecar) OnReload(f func(ok bool)) {
	s.reloaded = func(r reloadReport) { f(r.ok) }
}

// SettleTime is the pause between the two readings of a changed configuration.
const SettleTime = settleTime

// Registry is what the admin port's /metrics shows.
func (s *Sidecar) Registry() *prometheus.Registry { return s.metrics.registry }

// Gate judges what the data port reads.
func (s *Sidecar) Gate() *gate.Gate { return s.gate }

// Recorder receives every exchange of the gate.
func (s *Sidecar) Recorder() gate.Recorder { return s.recorder }

// RunLog writes the log in the background until the function that it returns is called.
func (s *Sidecar) RunLog() (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { s.queue.run(stop); close(ended) }()
	return func() { close(stop); <-ended }
}

// LostLines counts what the log dropped.
func (s *Sidecar) LostLines() int64 { return s.queue.lost.Load() }
