package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// The metrics' names, in the JSON and in targets.
const (
	cpuMetric    = "cpu_us_per_request"
	rateMetric   = "requests_per_second"
	p50Metric    = "p50_us"
	p99Metric    = "p99_us"
	busyMetric   = "cpu_share" // of one processor
	memoryMetric = "rss_mib"   // after the measurement; depends on earlier ones but in "memory" and "idle"
	idleMetric   = "idle_connection_kib"
)

// metrics says how each is read from a sample.
var metrics = map[string]func(sample) float64{
	cpuMetric:    cpuMicroseconds,
	rateMetric:   func(s sample) float64 { return divide(float64(s.Requests), s.Seconds) },
	p50Metric:    func(s sample) float64 { return s.P50 },
	p99Metric:    func(s sample) float64 { return s.P99 },
	busyMetric:   func(s sample) float64 { return divide(s.CPU, s.Seconds) },
	memoryMetric: func(s sample) float64 { return float64(s.Resident) / 1024 },
	idleMetric:   func(s sample) float64 { return s.IdleKiB },
}

func cpuMicroseconds(s sample) float64 { return divide(s.CPU*1e6, float64(s.Requests)) }

// divide is 0 where there is nothing to divide by.
func divide(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Report is a whole run. Its JSON is what --json writes.
type Report struct {
	Began     time.Time         `json:"began"`
	Seconds   float64           `json:"seconds"` // that the whole run took
	Revision  string            `json:"revision"`
	Machine   Machine           `json:"machine"`
	Versions  map[string]string `json:"versions"` // of the baselines that are installed
	Rounds    int               `json:"rounds"`
	Duration  float64           `json:"duration_seconds"` // of one measurement
	Workloads []*Workload       `json:"workloads"`
	Targets   []Verdict         `json:"targets"`
}

// Workload is what was measured of one kind of traffic.
type Workload struct {
	Name string `json:"name"`
	What string `json:"what"`
	Rows []*Row `json:"rows"`
	anew bool
}

// Row is one proxy under one workload.
type Row struct {
	Proxy   string             `json:"proxy"`
	Metrics map[string]*Spread `json:"metrics"`
	// Ratios are by baseline and metric, of the ratios within each round.
	Ratios  map[string]map[string]*Spread `json:"ratios"`
	Samples []sample                      `json:"samples"` // by round
}

// Spread is a metric over the rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Verdict is a figure of the design beside what was measured.
type Verdict struct {
	Workload string  `json:"workload"`
	Proxy    string  `json:"proxy"`
	Metric   string  `json:"metric"`
	Against  string  `json:"against,omitempty"` // empty: the figure itself, not a ratio
	Bound    float64 `json:"bound"`
	Least    bool    `json:"at_least"`
	Measured Spread  `json:"measured"`
	Busy     float64 `json:"cpu_share"` // of the less busy of the two
	Reached  bool    `json:"reached"`   // by the median
}

func newReport(began time.Time, s settings, m Machine, versions map[string]string, chosen []workload) *Report {
	r := &Report{Began: began, Machine: m, Versions: versions, Rounds: s.rounds, Duration: s.duration.Seconds(), Revision: revision()}
	for _, w := range chosen {
		named := &Workload{Name: w.name, What: w.what, anew: w.anew}
		for _, proxy := range w.proxies {
			named.Rows = append(named.Rows, &Row{Proxy: proxy})
		}
		r.Workloads = append(r.Workloads, named)
	}
	return r
}

// revision is the commit that is measured, as far as git can tell.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func (r *Report) row(workload, proxy string) *Row {
	for _, w := range r.Workloads {
		if w.Name != workload {
			continue
		}
		for _, row := range w.Rows {
			if row.Proxy == proxy {
				return row
			}
		}
	}
	return nil
}

func (r *Report) add(workload, proxy string, s sample) {
	row := r.row(workload, proxy)
	row.Samples = append(row.Samples, s)
}

// summarize computes everything that follows from the samples.
func (r *Report) summarize() {
	r.Seconds = time.Since(r.Began).Seconds()
	for _, w := range r.Workloads {
		for _, row := range w.Rows {
			row.Metrics = map[string]*Spread{}
			row.Ratios = map[string]map[string]*Spread{}
			for name, read := range metrics {
				row.Metrics[name] = spread(row.Samples, read)
			}
			for _, baseline := range baselines {
				if base := r.row(w.Name, baseline); base != nil && base != row {
					row.Ratios[baseline] = ratios(row.Samples, base.Samples)
				}
			}
		}
	}
	for _, t := range targets {
		if v, measured := r.judge(t); measured {
			r.Targets = append(r.Targets, v)
		}
	}
}

func spread(samples []sample, read func(sample) float64) *Spread {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = read(s)
	}
	return spreadOf(values)
}

func spreadOf(values []float64) *Spread {
	return &Spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// ratios compares two proxies round by round, where they were measured a moment apart, and
// what counts is the median of that: a disturbance that lasts for a round cancels out.
func ratios(of, to []sample) map[string]*Spread {
	result := map[string]*Spread{}
	for name, read := range metrics {
		var each []float64
		for i := range of {
			if b := read(to[i]); b > 0 {
				each = append(each, read(of[i])/b)
			}
		}
		if len(each) > 0 {
			result[name] = spreadOf(each)
		}
	}
	return result
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// judge holds a target against what was measured, if it was.
func (r *Report) judge(t target) (Verdict, bool) {
	v := Verdict{Workload: t.workload, Proxy: t.proxy, Metric: t.metric, Against: t.against, Bound: t.bound, Least: t.least}
	row := r.row(t.workload, t.proxy)
	if row == nil {
		return v, false
	}
	measured := row.Metrics[t.metric]
	v.Busy = row.Metrics[busyMetric].Median
	if t.against != "" {
		measured = row.Ratios[t.against][t.metric]
		if measured == nil {
			return v, false
		}
		v.Busy = min(v.Busy, r.row(t.workload, t.against).Metrics[busyMetric].Median)
	}
	v.Measured = *measured
	v.Reached = measured.Median <= t.bound
	if t.least {
		v.Reached = measured.Median >= t.bound
	}
	return v, true
}

// write writes the report as JSON.
func (r *Report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// fault is an error if any answer was not the expected one: the time of a failure is not
// the time of a request. Missed targets are no fault.
func (r *Report) fault() error {
	wrong, first := 0, ""
	for _, w := range r.Workloads {
		for _, row := range w.Rows {
			for _, s := range row.Samples {
				if wrong += s.Wrong; s.Wrong > 0 && first == "" {
					first = fmt.Sprintf("%s, %s: %s", w.Name, row.Proxy, s.FirstFault)
				}
			}
		}
	}
	if wrong == 0 {
		return nil
	}
	return fmt.Errorf("%d requests failed, so the figures are worth nothing (%s)", wrong, first)
}
