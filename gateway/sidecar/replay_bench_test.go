//go:build unix

package sidecar_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/replay"
)

// logFile is a decision log as the gateway's own recorder writes it.
func logFile(b *testing.B, lines int) string {
	name := filepath.Join(b.TempDir(), "decisions.jsonl")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := newRecorded(b, 1, "", w)
	type done struct {
		x       *gate.Exchange
		outcome gate.Outcome
	}
	var exchanges []done
	for i := range 100 {
		for _, target := range []string{"GET /billing/acme/invoices", "GET /billing/", "POST /billing/", "GET /healthz", fmt.Sprintf("PATCH /any?%d", i)} {
			var method, path string
			_, _ = fmt.Sscan(target, &method, &path)
			x, outcome := r.admitted(b, method, path, target != "GET /healthz")
			exchanges = append(exchanges, done{x, outcome})
		}
	}
	for i := range lines {
		at := &exchanges[i%len(exchanges)]
		r.gateway.Recorder().Record(at.x, at.outcome)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return name
}

// processorTime is what the process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReplay puts a log of half a million lines, of which every fifth has a claim, to a
// policy. lines/cpu-s is what one core does: it does not depend on who else uses the machine's.
func BenchmarkReplay(b *testing.B) {
	const lines = 500_000
	name := logFile(b, lines)
	p, findings := policy.Load("candidate.yaml", []byte(worldPolicy))
	if p == nil {
		b.Fatal(findings)
	}
	cfg := replay.Config{Policies: map[string]*policy.Policy{p.Service(): p}, Samples: 3}
	for _, jobs := range []int{1, 2} {
		b.Run(fmt.Sprintf("jobs=%d", jobs), func(b *testing.B) {
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				r, err := cfg.Run(b.Context(), &decisions.Reader{Jobs: jobs}, []decisions.Source{decisions.File(name)})
				if err != nil || r.Judged.Lines != lines || len(r.Changes) > 0 {
					b.Fatalf("%+v, %v", r, err)
				}
			}
			read := float64(b.N) * lines
			b.ReportMetric(read/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(read/(processorTime(b)-before).Seconds(), "lines/cpu-s")
		})
	}
}
