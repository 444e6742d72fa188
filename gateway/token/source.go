package token

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Waiting times between attempts: at the start, or without usable keys, and while the last
// good keys still serve. All with jitter, so that a fleet does not come back as one.
const (
	startBackOff = 100 * time.Millisecond
	startCeiling = 5 * time.Second
	retryBackOff = time.Second
)

// document is what one successful load brought.
type document struct {
	set       *keySet // nil when unchanged
	raw       []byte
	uri       string
	lifetime  time.Duration // for how long the sender calls it fresh; negative: it did not say
	unchanged bool          // 304: the set of before is still the current one
}

// source keeps one issuer's keys current. Readers take the snapshot and never wait; one
// goroutine at a time, the driver, loads.
type source struct {
	config IssuerConfig
	log    *slog.Logger
	snap   atomic.Pointer[snapshot]
	load   func(ctx context.Context) (*document, error) // nil: the keys are inline

	driver chan struct{} // holds one token while somebody drives
	stored []byte        // the last document, for jwks.file; the driver's alone
	wake   chan struct{} // tells the driver that orders changed

	mu       sync.Mutex // guards everything below
	unknown  unknownIDs
	started  uint64        // loads begun
	finished uint64        // loads ended
	lastOK   bool          // how the last one ended
	changed  chan struct{} // closed and replaced when a load ends
	due      time.Time     // of the next background load; zero: at once
	failures int           // loads failed since the last good one
	report   report
}

func newSource(config IssuerConfig, log *slog.Logger) *source {
	return &source{
		config:  config,
		log:     log.With("issuer", config.Issuer),
		driver:  make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}),
		unknown: newUnknownIDs(),
		report:  newReport(),
	}
}

// snapshot returns the current keys, or nil when there never were any.
func (s *source) snapshot() *snapshot { return s.snap.Load() }

// adopt takes over the keys of a source with the same origin.
func (s *source) adopt(old *source) {
	snap := old.snapshot()
	if snap == nil {
		return
	}
	s.snap.Store(&snapshot{set: snap.set, fetched: snap.fetched, until: snap.fetched.Add(s.config.JWKS.MaxStale)})
	s.report.hadKeys = true
}

// setInline publishes keys that stand in the configuration and never grow old.
func (s *source) setInline(set *keySet) {
	s.snap.Store(&snapshot{set: set, fetched: time.Now()})
	s.report.hadKeys = true
	s.warnSkipped(set)
}

// run loads until ctx ends. When another verifier drives the same source, it waits for it to end.
func (s *source) run(ctx context.Context) {
	select {
	case s.driver <- struct{}{}:
		defer func() { <-s.driver }()
	case <-ctx.Done():
		return
	}
	if s.load == nil {
		<-ctx.Done()
		return
	}
	s.restore()
	for ctx.Err() == nil {
		trigger, wait := s.next(time.Now())
		if wait <= 0 {
			s.refresh(ctx, trigger)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		}
		timer.Stop()
	}
}

// next says what is to be loaded for, and when.
func (s *source) next(now time.Time) (Trigger, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, trigger := s.due, TriggerBackground
	switch {
	case !s.report.loaded:
		trigger = TriggerStart
	case s.failures > 0:
		trigger = TriggerRetry
	}
	if ordered := s.unknown.ordered; !ordered.IsZero() && ordered.Before(at) {
		at, trigger = ordered, TriggerUnknownKid
	}
	return trigger, at.Sub(now)
}

// refresh loads once and publishes what came.
func (s *source) refresh(ctx context.Context, trigger Trigger) {
	began := time.Now()
	s.mu.Lock()
	s.started++
	asked := s.unknown.begin(began, trigger == TriggerUnknownKid, s.config.JWKS.UnknownKidInterval)
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, s.config.JWKS.Timeout)
	defer cancel()
	doc, err := s.load(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		s.abandon(asked)
		return
	}
	if err != nil {
		s.fail(trigger, err)
		return
	}
	s.succeed(trigger, doc, began, asked)
	s.keep(doc, began)
}

// abandon leaves a load that was broken off by shutting down or by handing over to the next
// driver as if it had not begun.
func (s *source) abandon(asked map[string]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started--
	s.unknown.restore(asked)
}

// fail keeps the last good keys and plans the next attempt.
func (s *source) fail(trigger Trigger, err error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	wait, ceiling := startBackOff, startCeiling
	if s.snapshot().usable(now) {
		wait, ceiling = retryBackOff, s.config.JWKS.MinRefresh
	}
	wait = min(wait<<min(s.failures, 20), ceiling)
	s.due = now.Add(rand.N(wait) + 1)
	s.failures++
	if s.failures == 1 || s.report.lastError != err.Error() {
		s.log.Warn("fetching keys failed", "error", err, "trigger", string(trigger))
	}
	s.report.failed(trigger, err)
	s.finish(false)
}

// succeed publishes the new snapshot. Everything that can fail has happened before.
func (s *source) succeed(trigger Trigger, doc *document, began time.Time, asked map[string]struct{}) {
	jwks := &s.config.JWKS
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.snapshot()
	set := doc.set
	switch {
	case doc.unchanged && old != nil:
		set = old.set
	case old != nil && old.set.same(set):
		s.warnChangedSkips(old.set, set)
	default:
		s.log.Info("new key set", "keys", set.ids(), "trigger", string(trigger))
		s.warnSkipped(set)
		s.unknown.forget()
	}
	s.snap.Store(&snapshot{set: set, fetched: began, until: began.Add(jwks.MaxStale)})
	s.unknown.settle(set, asked, began)
	if s.failures > 0 {
		s.log.Info("keys are fetched again", "failures", s.failures)
	}
	s.failures = 0
	s.due = time.Now().Add(jwks.pause(doc.lifetime))
	s.report.succeeded(trigger, doc)
	s.finish(true)
}

// pause is the time until the next background load: what the sender calls fresh, within the
// configured bounds, and up to a tenth less, so that a fleet spreads out.
func (j *JWKSConfig) pause(lifetime time.Duration) time.Duration {
	if lifetime < 0 {
		lifetime = j.MaxRefresh
	}
	lifetime = min(max(lifetime, j.MinRefresh), j.MaxRefresh)
	return max(lifetime-rand.N(lifetime/10+1), j.MinRefresh)
}

// finish wakes all who wait for a load. The caller holds mu.
func (s *source) finish(ok bool) {
	s.finished++
	s.lastOK = ok
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *source) warnSkipped(set *keySet) {
	if len(set.skipped) > 0 {
		s.log.Warn("some keys of the issuer are not used", "why", set.skipped)
	}
}

func (s *source) warnChangedSkips(old, set *keySet) {
	if !slices.Equal(old.skipped, set.skipped) {
		s.warnSkipped(set)
	}
}
