package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/proxy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Sidecar is one gateway process as a value. Make it with [New], then call [Sidecar.Serve]
// once.
type Sidecar struct {
	source   Source
	began    *Config // what the process started with: the keys that need a restart
	pprof    bool
	queue    *logQueue
	log      *slog.Logger
	metrics  *metrics
	recorder *recorder
	gate     *gate.Gate
	proxy    *proxy.Proxy
	port     *dataport.Port

	current  atomic.Pointer[state]        // what is served
	last     atomic.Pointer[reloadReport] // the last attempt to load
	flights  sync.Map                     // service name -> *atomic.Int64
	draining atomic.Bool
	asked    chan struct{} // Reload was called

	// Owned by the goroutine that watches.
	tried *fileSet

	verifying verifying
	patience  time.Duration // with comparisons of policies
	pause     func(context.Context, time.Duration) error
	reloaded  func(reloadReport) // tests wait for it; nil otherwise
}

// reloadReport is what became of an attempt to load the configuration.
type reloadReport struct {
	at       time.Time
	ok       bool
	findings policy.Findings
	err      error    // a fault that only building showed
	restart  []string // keys whose change needs a restart
}

// New builds a gateway from a configuration that [LoadConfig] returned. It opens no socket
// and starts no goroutine. Log lines go to w; they are text if w is a terminal, JSON
// otherwise, unless the configuration says which.
func New(cfg *Config, w io.Writer) (*Sidecar, error) {
	s := &Sidecar{
		source:  cfg.Source,
		began:   cfg,
		pprof:   cfg.Pprof,
		queue:   newLogQueue(w),
		metrics: newMetrics(),
		asked:   make(chan struct{}, 1),
		tried:   cfg.files,
		pause:   pause,

		patience: patience,
	}
	text := isText(w, cfg.Log.Format)
	s.log = slog.New(newHandler(s.queue, text, nil))
	s.recorder = newRecorder(s.metrics.traffic, s.queue, text, s.log)
	s.verifying.log = s.log

	first, err := s.build(cfg, nil)
	if err != nil {
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	s.gate = gate.New(first.snapshot, s.recorder)
	s.lanes(cfg)
	s.publish(first)
	s.last.Store(&reloadReport{at: first.loaded, ok: true})
	s.metrics.collect(s)
	for _, f := range cfg.Warnings {
		s.log.Warn("configuration", "finding", f.String())
	}
	return s, nil
}

// DataHandler answers what comes to the data port: the services, behind the gate.
func (s *Sidecar) DataHandler() http.Handler { return s.proxy }

// AdminHandler answers what comes to the admin port.
func (s *Sidecar) AdminHandler() http.Handler { return s.admin() }

// Serve answers on both listeners until ctx ends or a new process has taken over, then drains,
// and closes them. It returns nil after a drain in which everything in flight came to its end,
// and an error when a listener failed or work had to be cut off.
func (s *Sidecar) Serve(ctx context.Context, data, admin net.Listener) error {
	return s.serve(ctx, data, admin, nil)
}

// serve serves on sockets of its own, or on those of a predecessor as soon as that lets go of them.
func (s *Sidecar) serve(ctx context.Context, data, admin net.Listener, from *dataport.Predecessor) error {
	stopLog := make(chan struct{})
	var logging sync.WaitGroup
	logging.Go(func() { s.queue.run(stopLog) })
	defer func() {
		s.recorder.flush()
		close(stopLog)
		logging.Wait()
	}()

	// Keys, file watch and admin port outlive ctx: requests in flight need keys, and the
	// balancer has to read that this process is draining.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	s.verifying.start(life, s.current.Load().verifier)
	defer s.verifying.stop()
	defer func() {
		for _, up := range s.current.Load().upstreams {
			up.Close() // nobody comes for what is kept of it
		}
	}()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	background.Go(func() { s.watch(watching) })

	if err := s.succeed(ctx, from); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	offer, err := s.offer(data, admin, from)
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	port := s.newAdminPort(admin)
	background.Go(port.serve)
	defer port.server.Close()

	s.log.Info("serving", "listen", data.Addr().String(), "admin", admin.Addr().String(), "config", s.source.File)
	return s.serveData(ctx, data, port, offer)
}

// publish makes n what is served: one swap for the gate, then what describes it.
func (s *Sidecar) publish(n *state) {
	before := s.current.Swap(n)
	s.gate.Publish(n.snapshot)
	s.recorder.describe(n)
	s.metrics.describe(before, n)
	if before == nil {
		return
	}
	for cfg, up := range before.upstreams {
		if n.upstreams[cfg] == nil {
			up.Close()
		}
	}
}

// take serves a configuration that was read again, or, where it has errors and cfg is nil or it
// cannot be built, goes on with what was served before; then it says what became of it. A person
// who asked for it gets all of it: nothing is held back then.
func (s *Sidecar) take(ctx context.Context, cfg *Config, findings policy.Findings, asked bool) {
	report := reloadReport{at: time.Now(), findings: findings}
	before := s.current.Load()
	if cfg != nil {
		report.err = s.replace(ctx, cfg, before, asked)
		report.ok = report.err == nil
	}
	if report.ok {
		report.restart = restartOnly(s.began, cfg)
	}
	s.last.Store(&report)
	s.metrics.reloaded(before, s.current.Load(), &report)
	s.logReload(&report)
	if report.ok {
		s.logAccess(ctx, before, s.current.Load(), asked)
	}
	if s.reloaded != nil {
		s.reloaded(report)
	}
}

// replace builds a configuration and publishes it. An error changes nothing.
func (s *Sidecar) replace(ctx context.Context, cfg *Config, before *state, asked bool) error {
	var back []held
	if cfg.HoldWidening && !asked {
		cfg, back = s.holdBack(ctx, cfg, before)
	}
	n, err := s.build(cfg, before)
	if err != nil {
		return err
	}
	n.held = back
	if n.verifier != before.verifier {
		s.verifying.start(ctx, n.verifier)
		awaitKeys(ctx, n.verifier)
	}
	s.publish(n)
	s.verifying.keep(n.verifier)
	return nil
}

func (s *Sidecar) logReload(r *reloadReport) {
	if !r.ok {
		attrs := []any{"config", s.source.File, "findings", lines(r.findings.Errors())}
		if r.err != nil {
			attrs = append(attrs, "error", r.err.Error())
		}
		s.log.Error("reload refused, the last good configuration goes on", attrs...)
		return
	}
	attrs := []any{"config", s.source.File, "policies", s.current.Load().hashes()}
	if candidates := s.current.Load().candidateHashes(); len(candidates) > 0 {
		attrs = append(attrs, "candidates", candidates)
	}
	s.log.Info("reloaded", attrs...)
	for _, f := range r.findings {
		s.log.Warn("configuration", "finding", f.String())
	}
	if len(r.restart) > 0 {
		s.log.Warn("restart needed", "id", idRestart, "keys", strings.Join(r.restart, ", "))
	}
}

func lines(fs policy.Findings) []string {
	const most = 20 // a log line is no place for a whole file's faults
	out := make([]string, 0, min(len(fs), most))
	for _, f := range fs[:min(len(fs), most)] {
		out = append(out, f.String())
	}
	return out
}

// hashes are the policies' hashes by service.
func (n *state) hashes() map[string]string {
	out := map[string]string{}
	for _, svc := range n.snapshot.Services() {
		out[svc.Name()] = svc.Policy.Hash()
	}
	return out
}

// verifying runs the background refreshes of the verifier that is served, and for a moment
// during a reload those of its successor.
type verifying struct {
	log *slog.Logger

	mu      sync.Mutex // guards running
	running map[*token.Verifier]func()
}

// start runs v until it is stopped.
func (r *verifying) start(ctx context.Context, v *token.Verifier) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := v.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			r.log.Error("keys are no longer refreshed", "error", err.Error())
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[*token.Verifier]func(){}
	}
	r.running[v] = func() { cancel(); <-done }
}

// keep stops every verifier but v.
func (r *verifying) keep(v *token.Verifier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, stop := range r.running {
		if other != v {
			stop()
			delete(r.running, other)
		}
	}
}

func (r *verifying) stop() { r.keep(nil) }
