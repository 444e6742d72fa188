package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// What --readme writes stands between these lines, and nothing else does.
const (
	readmeBegin = "<!-- Made by the tool: go run ./deploy/bench --readme gateway/README.md -->\n"
	readmeEnd   = "<!-- Here ends what the tool made. -->\n"
)

// splice replaces what stands between the two lines in a text.
func splice(text, between string) (string, error) {
	before, rest, begins := strings.Cut(text, readmeBegin)
	_, after, ends := strings.Cut(rest, readmeEnd)
	if !begins || !ends || strings.Contains(rest, readmeBegin) || strings.Contains(after, readmeEnd) {
		return "", fmt.Errorf("it needs the lines %q and %q, once and in this order", readmeBegin, readmeEnd)
	}
	return before + readmeBegin + between + readmeEnd + after, nil
}

// rewrite puts the report's tables into a README. Without a report it only tells whether it
// could.
func rewrite(file string, r *Report) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	between := ""
	if r != nil {
		between = r.markdown()
	}
	result, err := splice(string(text), between)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if r == nil {
		return nil
	}
	return os.WriteFile(file, []byte(result), 0o644)
}

// checkReadme refuses what would end in a table with gaps, before anything is measured.
func (s settings) checkReadme() error {
	if s.readme == "" {
		return nil
	}
	if len(s.workloads) > 0 || len(s.proxies) > 0 || s.profile != "" {
		return errors.New("--readme is for a run of everything, without --workloads, --proxies and --profile")
	}
	return rewrite(s.readme, nil)
}

// grid is one table of the README: a line for each workload and a column for each proxy.
type grid struct {
	title string
	lines []line
}

// line is one figure of one workload, for a gateway and for all that it is measured beside.
type line struct{ what, workload, proxy, metric, format string }

// columns are the proxies that stand beside the gateway.
var columns = []string{nginx, haproxy, haproxyJWT, caddy}

func grids() []grid {
	cpu := grid{title: "CPU of the proxy's process for a request, in µs"}
	rate := grid{title: "Requests a second"}
	for _, w := range workloads {
		for _, proxy := range w.proxies {
			if w.anew || !strings.HasPrefix(proxy, scopegate) {
				continue
			}
			what := w.what
			if proxy != scopegate {
				what += " (" + proxy + ")"
			}
			cpu.lines = append(cpu.lines, line{what, w.name, proxy, cpuMetric, "%.1f"})
			if w.rate == 0 {
				rate.lines = append(rate.lines, line{what, w.name, proxy, rateMetric, "%.0f"})
			}
		}
	}
	return []grid{cpu, rate, {"Latency and memory", []line{
		{"p99 at 2,000 requests a second, in µs", "rate", scopegate, p99Metric, "%.0f"},
		{"memory after 10,000 tokens, in MiB", "memory", scopegate, memoryMetric, "%.1f"},
		{"memory of an idle connection, in KiB", "idle", scopegate, idleMetric, "%.1f"},
	}}}
}

// markdown writes the report for a README.
func (r *Report) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s, %d processors, Linux %s, %s; %s; revision %s;\n",
		r.Machine.Processor, r.Machine.Processors, r.Machine.Kernel, r.Machine.Go, r.Began.Format(dateForm), r.Revision)
	fmt.Fprintf(&out, "%d rounds of %gs, load before the run %.1f; %s;\n%s.\n",
		r.Rounds, r.Duration, r.Machine.Load, r.Machine.Pinning, strings.Join(r.programs(), ", "))
	heading(&out, "What it has to reach", verdictColumns...)
	for _, v := range r.Targets {
		texts := v.cells()
		texts[0] = find(v.Workload).what
		tableLine(&out, texts...)
	}
	for _, g := range grids() {
		heading(&out, g.title+" (in brackets: the gateway's in proportion)", slices.Concat([]string{"workload", "gateway"}, columns)...)
		for _, l := range g.lines {
			tableLine(&out, r.cells(l)...)
		}
	}
	out.WriteByte('\n')
	return out.String()
}

func heading(out *strings.Builder, title string, names ...string) {
	fmt.Fprintf(out, "\n%s:\n\n", title)
	tableLine(out, names...)
	fmt.Fprintf(out, "|---|%s\n", strings.Repeat("---:|", len(names)-1))
}

func tableLine(out *strings.Builder, texts ...string) {
	fmt.Fprintf(out, "| %s |\n", strings.Join(texts, " | "))
}

// cells are the medians of a line; empty where nothing was measured.
func (r *Report) cells(l line) []string {
	row := r.row(l.workload, l.proxy)
	texts := []string{l.what, fmt.Sprintf(l.format, row.Metrics[l.metric].Median)}
	for _, name := range columns {
		text := ""
		if other := r.row(l.workload, name); other != nil {
			text = fmt.Sprintf(l.format, other.Metrics[l.metric].Median)
			if ratio := row.Ratios[name][l.metric]; ratio != nil {
				text += fmt.Sprintf(" (%.2f)", ratio.Median)
			}
		}
		texts = append(texts, text)
	}
	return texts
}
