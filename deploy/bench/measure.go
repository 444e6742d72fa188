package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// measureAll measures every chosen workload with every proxy, round by round. Within a
// round the proxies take turns at each workload, and who begins changes from round to
// round: what disturbs the machine for a while disturbs them all.
func measureAll(ctx context.Context, s settings, progress io.Writer) (*Report, error) {
	say := func(format string, args ...any) { fmt.Fprintf(progress, format+"\n", args...) }
	var chosen []workload
	for _, w := range workloads {
		if len(s.workloads) == 0 || slices.Contains(s.workloads, w.name) {
			chosen = append(chosen, w)
		}
	}
	began := time.Now()
	ctx, end := context.WithCancel(ctx)
	defer end()
	r, err := newRig(ctx, end, s, chosen, say)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for i := range chosen {
		chosen[i].proxies = slices.DeleteFunc(slices.Clone(chosen[i].proxies), func(name string) bool {
			return !s.wants(name) || !r.available(ctx, name)
		})
	}
	report := newReport(began, s, thisMachine(r.pinning), r.versions, chosen)
	for round := range s.rounds {
		for _, w := range chosen {
			for turn := range w.proxies {
				name := w.proxies[(turn+round)%len(w.proxies)]
				sample, err := r.measure(ctx, w, name, round)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", w.name, name, err)
				}
				say("round %d/%d  %-10s  %-16s  %s", round+1, s.rounds, w.name, name, sample.line(w))
				report.add(w.name, name, sample)
			}
		}
	}
	report.summarize()
	return report, nil
}

// measure makes one measurement. Memory is asked of a new process, which has nothing left
// over from other workloads.
func (r *rig) measure(ctx context.Context, w workload, name string, round int) (sample, error) {
	if w.anew {
		p, err := r.start(ctx, name, w.front)
		if err != nil {
			return sample{}, err
		}
		defer p.stop()
		return r.run(ctx, r.job(w, p, round))
	}
	key := name + "/" + string(w.front)
	if r.proxies[key] == nil {
		p, err := r.start(ctx, name, w.front)
		if err != nil {
			return sample{}, err
		}
		r.proxies[key] = p
	}
	return r.run(ctx, r.job(w, r.proxies[key], round))
}

// job turns a workload into the load generator's orders.
func (r *rig) job(w workload, p *proxy, round int) job {
	j := r.to(p)
	j.Connections, j.Streams, j.Rate, j.Body, j.Status = w.connections, w.streams, w.rate, w.body, w.status
	j.Warm, j.Duration, j.Idle, j.Settle = max(200, 2*w.connections), r.duration, w.idle, r.settle
	if w.tokens != noToken {
		j.Tokens = r.file(string(w.tokens))
	}
	j.WarmTokens = j.Tokens
	if r.profile != "" && p.admin != "" {
		j.Admin, j.Profile = p.admin, filepath.Join(r.profile, fmt.Sprintf("%s-%s-%d", w.name, p.name, round+1))
	}
	if w.everyRoute {
		j.Paths = p.routes
	}
	switch {
	case w.idle:
		j.Connections = r.idle
	case w.body >= 1<<20:
		j.Warm = 4 * w.connections
	case w.tokens == manyTokens:
		j.Warm = r.tokens // each is known to whoever remembers, before time counts
	case w.tokens == newTokens:
		j.WarmTokens = r.file(string(oneToken))
		j.From, j.To, j.Limit = round*r.fresh, (round+1)*r.fresh, r.fresh
	}
	return j
}

// line says on one line what a sample is about, for whoever watches.
func (s sample) line(w workload) string {
	switch {
	case s.Wrong > 0:
		return fmt.Sprintf("%d of %d WRONG: %s", s.Wrong, s.Wrong+s.Requests, s.FirstFault)
	case w.idle:
		return fmt.Sprintf("%6.1f KiB a connection", s.IdleKiB)
	case w.anew:
		return fmt.Sprintf("%6.1f MiB", float64(s.Resident)/1024)
	}
	return fmt.Sprintf("%7d requests, %6.1f us CPU each", s.Requests, cpuMicroseconds(s))
}
