package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopegate/scopegate/deploy/parts"
)

// TestMain lets copies of the test's program be the service and the load generator.
func TestMain(m *testing.M) {
	if play(os.Getenv(roleVariable)) {
		return
	}
	os.Exit(m.Run())
}

// small is every workload once, as short as a figure can be.
func small() settings {
	return settings{rounds: 1, duration: 50 * time.Millisecond, tokens: 40, fresh: 40, idle: 20, routes: 300, settle: 10 * time.Millisecond}
}

// TestASmallRun says nothing about speed: only that every workload is measured, that every
// answer was right, and that the figures can be what they say they are.
func TestASmallRun(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it builds the gateway and measures processes, which the plain run does")
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("SKIPPED: there is no /proc, from which a process's time is read")
	}
	var progress bytes.Buffer
	report, err := measureAll(t.Context(), small(), &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	if err := report.fault(); err != nil {
		t.Error(err)
	}
	if len(report.Workloads) != len(workloads) {
		t.Errorf("%d workloads were measured, want %d", len(report.Workloads), len(workloads))
	}
	for _, w := range report.Workloads {
		if len(w.Rows) == 0 {
			t.Errorf("%s: nobody was measured", w.Name)
		}
		for _, row := range w.Rows {
			plausible(t, w, row)
		}
	}
	if log := report.row("one", scopegateLog); log == nil || log.Ratios[scopegate][cpuMetric].Median <= 0 {
		t.Error("the gateway that logs every line is not compared with the one that does not")
	}
	for _, v := range targets {
		if report.row(v.workload, v.against) == nil && v.against != "" {
			continue // a baseline that is not installed
		}
		if !slices.ContainsFunc(report.Targets, func(got Verdict) bool {
			return got.Workload == v.workload && got.Against == v.against && got.Metric == v.metric
		}) {
			t.Errorf("the target of %s against %q was not judged", v.workload, v.against)
		}
	}
	t.Run("beside others", func(t *testing.T) { // what is installed was measured, with the configurations in this folder
		for _, program := range []string{nginx, haproxy, caddy} {
			if installed(program) == "" {
				parts.Missing(t, "proxies", program+" is not installed")
			}
		}
	})
	inJSON(t, report)
	var table strings.Builder
	report.print(&table)
	for _, want := range []string{"body-1m", scopegateRoutes, report.Machine.Processor, report.Began.Format("2006")} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, table.String())
		}
	}
}

// TestProfiles: a run of one proxy under one workload leaves that gateway's profiles.
func TestProfiles(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("SKIPPED: there is no /proc, from which a process's time is read")
	}
	s := small()
	s.workloads, s.proxies, s.profile = []string{"one"}, []string{scopegate}, t.TempDir()
	report, err := measureAll(t.Context(), s, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if rows := report.Workloads[0].Rows; len(report.Workloads) != 1 || len(rows) != 1 || rows[0].Proxy != scopegate {
		t.Errorf("more was measured than was asked for: %+v", report.Workloads)
	}
	for _, name := range []string{"one-scopegate-1.cpu", "one-scopegate-1.allocs"} {
		text, err := os.ReadFile(filepath.Join(s.profile, name))
		if err != nil || !bytes.HasPrefix(text, []byte{0x1f, 0x8b}) { // pprof's files are gzip
			t.Errorf("%s is no profile: %v", name, err)
		}
	}
}

// plausible checks what holds on any machine at any speed.
func plausible(t *testing.T, w *Workload, row *Row) {
	t.Helper()
	m := row.Metrics
	for name, s := range m {
		if math.IsNaN(s.Median) || math.IsInf(s.Median, 0) || s.Min > s.Median || s.Median > s.Max {
			t.Errorf("%s, %s: %s is %v", w.Name, row.Proxy, name, *s)
		}
	}
	if rss := m[memoryMetric].Median; rss < 1 || rss > 4096 {
		t.Errorf("%s, %s: %g MiB of memory", w.Name, row.Proxy, rss)
	}
	if find(w.Name).idle {
		return
	}
	if rate := m[rateMetric].Median; rate <= 0 || w.Name == "rate" && rate > 2200 {
		t.Errorf("%s, %s: %g requests a second", w.Name, row.Proxy, rate)
	}
	if cpu := m[cpuMetric].Median; cpu <= 0 || cpu > 1e6 {
		t.Errorf("%s, %s: %g us of CPU for a request", w.Name, row.Proxy, cpu)
	}
	if p50, p99 := m[p50Metric].Median, m[p99Metric].Median; p50 <= 0 || p50 > p99 {
		t.Errorf("%s, %s: p50 %g us, p99 %g us", w.Name, row.Proxy, p50, p99)
	}
}

// inJSON checks the members that scripts read.
func inJSON(t *testing.T, report *Report) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "figures.json")
	if err := report.write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Began, Machine, Versions, Rounds, Targets json.RawMessage
		Duration                                  float64 `json:"duration_seconds"`
		Workloads                                 []struct {
			Name string
			Rows []struct {
				Proxy   string
				Metrics map[string]struct{ Median, Min, Max *float64 }
				Samples []map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for name, member := range map[string]json.RawMessage{"began": got.Began, "machine": got.Machine, "versions": got.Versions, "rounds": got.Rounds, "targets": got.Targets} {
		if len(member) == 0 || string(member) == "null" {
			t.Errorf("the JSON has no %s", name)
		}
	}
	for _, w := range got.Workloads {
		for _, row := range w.Rows {
			for name := range metrics {
				if m := row.Metrics[name]; m.Median == nil || m.Min == nil || m.Max == nil {
					t.Errorf("the JSON has no whole %s of %s, %s", name, w.Name, row.Proxy)
				}
			}
			if len(row.Samples) != 1 || row.Samples[0]["cpu_seconds"] == nil {
				t.Errorf("the JSON has %d samples of %s, %s, want one with cpu_seconds", len(row.Samples), w.Name, row.Proxy)
			}
		}
	}
}

// A slow answer delays the requests behind it, and they count as slow too ("coordinated
// omission", named by Gil Tene): one that takes 95 ms at 100 requests a second makes ten
// slow ones, not one.
func TestOpenLoopCountsWaitingForASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			defer far.Close()
			in := bufio.NewReader(far)
			for wait := 95 * time.Millisecond; ; wait = 0 {
				if _, err := readHead(in); err != nil {
					return
				}
				time.Sleep(wait)
				io.WriteString(far, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
			}
		}()
		c := over(near)
		start := time.Now()
		c.openLoop(&source{paths: 1}, start, 10*time.Millisecond, start.Add(200*time.Millisecond))
		if c.fault != nil || len(c.took) != 20 {
			t.Fatalf("%d answers (%v), want 20", len(c.took), c.fault)
		}
		for i, got := range c.took {
			want := max(0, 95*time.Millisecond-time.Duration(i)*10*time.Millisecond)
			if got != want {
				t.Errorf("request %d took %s, want %s", i, got, want)
			}
		}
	})
}

// over makes a client that speaks HTTP/1.1 on a connection.
func over(conn net.Conn) *client {
	j := &job{Status: 200}
	return &client{job: j, conn: conn, wire: newHTTP1(j, conn), started: make([]time.Time, 1)}
}

func TestWrongAnswersAreFaults(t *testing.T) {
	for name, answer := range map[string]string{
		"another status":   "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
		"a short body":     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
		"a chunked body":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no answer at all": "",
	} {
		near, far := net.Pipe()
		go func() {
			readHead(bufio.NewReader(far))
			io.WriteString(far, answer)
			far.Close()
		}()
		c := over(near)
		if c.exchange(time.Now(), "", 0) || c.wrong != 1 || len(c.took) != 0 {
			t.Errorf("%s: it is counted as an answer", name)
		}
		near.Close()
	}
}

func TestStatistics(t *testing.T) {
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median of three is %g", got)
	}
	if got := median([]float64{4, 1, 2, 9}); got != 3 {
		t.Errorf("median of four is %g", got)
	}
	var all []time.Duration
	for i := range 1000 {
		all = append(all, time.Duration(i+1)*time.Microsecond)
	}
	for percent, want := range map[int]float64{50: 500, 99: 990, 100: 1000} {
		if got := quantile(all, percent); got != want {
			t.Errorf("quantile %d is %g, want %g", percent, got, want)
		}
	}
	// Both became twice as slow in the second round: the ratio is the same in each.
	of := []sample{{Requests: 10, CPU: 3}, {Requests: 10, CPU: 6}}
	to := []sample{{Requests: 10, CPU: 1}, {Requests: 10, CPU: 2}}
	if got := *ratios(of, to)[cpuMetric]; got != (Spread{3, 3, 3}) {
		t.Errorf("the ratio is %v, want 3 in both", got)
	}
}

func TestFlags(t *testing.T) {
	for line, want := range map[string]string{
		"--quick":                  "",
		"--rounds 2 --duration 1s": "",
		"--workloads one,refused":  "",
		"--workloads on":           `no workload "on"`,
		"--proxies nginx,haproxy":  "",
		"--proxies ngin":           `no proxy "ngin"`,
		"--rounds 1000":            "from 1 to",
		"--duration 1h":            "from 50ms to",
		"quick":                    "unexpected argument",
	} {
		_, err := parse(strings.Fields(line), io.Discard)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	if s, err := parse([]string{"--quick", "--rounds", "9"}, io.Discard); err != nil || s.rounds != 9 || s.duration != time.Second {
		t.Errorf("--quick --rounds 9 is %d rounds of %s: %v", s.rounds, s.duration, err)
	}
	if err := command(t.Context(), []string{"--help"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help gives %v", err)
	}
}

// TestStopsWhenToldTo: a run that is interrupted leaves no process and no folder behind.
func TestStopsWhenToldTo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measureAll(ctx, small(), io.Discard); err == nil {
		t.Error("a run that was interrupted gives a report")
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left behind (%v)", left, err)
	}
}

// The two accounts of a process's time agree: the fine one is not another quantity.
func TestBothAccountsOfTimeAgree(t *testing.T) {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("SKIPPED: there is no /proc")
	}
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
	}
	fine, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	coarse, err := cpuTicks(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if apart := (fine - coarse).Abs(); apart > 50*time.Millisecond+coarse/5 {
		t.Errorf("the scheduler says %s, /proc/self/stat %s", fine, coarse)
	}
}
