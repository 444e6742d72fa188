package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

const dateForm = "2 January 2006 15:04 MST"

// programs are the baselines that are installed, with their versions.
func (r *Report) programs() []string {
	var names []string
	for _, program := range []string{nginx, haproxy, caddy} {
		if version := r.Versions[program]; version != "" {
			names = append(names, program+" "+version)
		}
	}
	return names
}

// print writes the report for people.
func (r *Report) print(out io.Writer) {
	fmt.Fprintf(out, "%s, %d processors, Linux %s, %s\n", r.Machine.Processor, r.Machine.Processors, r.Machine.Kernel, r.Machine.Go)
	fmt.Fprintf(out, "%s; %d rounds of %gs; load before the run %.1f; %s\n",
		r.Began.Format(dateForm), r.Rounds, r.Duration, r.Machine.Load, r.Machine.Pinning)
	fmt.Fprintf(out, "revision %s; %s\n", r.Revision, strings.Join(r.programs(), ", "))
	r.printTraffic(out)
	r.printMemory(out)
	r.printTargets(out)
}

// printTraffic writes the medians, the spread of the CPU time, and its ratios.
func (r *Report) printTraffic(out io.Writer) {
	fmt.Fprintf(out, "\nCPU is the proxy's time for a request in us, medians (lowest-highest); x NAME is its ratio to NAME's.\n\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "workload\tproxy\tCPU\t(spread)\t")
	for _, baseline := range baselines {
		fmt.Fprintf(table, "x %s\t", baseline)
	}
	fmt.Fprintln(table, "req/s\tp50 us\tp99 us\tbusy")
	for _, w := range r.Workloads {
		if w.anew {
			continue
		}
		name := w.Name
		for _, row := range w.Rows {
			cpu := row.Metrics[cpuMetric]
			fmt.Fprintf(table, "%s\t%s\t%.1f\t(%.1f-%.1f)\t", name, row.Proxy, cpu.Median, cpu.Min, cpu.Max)
			for _, baseline := range baselines {
				fmt.Fprintf(table, "%s\t", row.ratio(baseline, cpuMetric))
			}
			of := func(metric string) float64 { return row.Metrics[metric].Median }
			fmt.Fprintf(table, "%.0f\t%.0f\t%.0f\t%.0f%%\n", of(rateMetric), of(p50Metric), of(p99Metric), 100*of(busyMetric))
			name = ""
		}
	}
	table.Flush()
}

// ratio shows the gateway's ratios only: those of one baseline to another say nothing here.
func (row *Row) ratio(baseline, metric string) string {
	value := row.Ratios[baseline][metric]
	if value == nil || !strings.HasPrefix(row.Proxy, scopegate) {
		return ""
	}
	return fmt.Sprintf("%.2f", value.Median)
}

// printMemory writes the workloads that are measured in new processes.
func (r *Report) printMemory(out io.Writer) {
	var rows strings.Builder
	table := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "workload\tproxy\tRSS\t(spread)\tKiB a connection\t(spread)")
	measured := false
	for _, w := range r.Workloads {
		if !w.anew {
			continue
		}
		measured = true
		name := w.Name
		for _, row := range w.Rows {
			rss, idle := row.Metrics[memoryMetric], row.Metrics[idleMetric]
			fmt.Fprintf(table, "%s\t%s\t%.1f\t(%.1f-%.1f)", name, row.Proxy, rss.Median, rss.Min, rss.Max)
			if w.Name == "idle" {
				fmt.Fprintf(table, "\t%.1f\t(%.1f-%.1f)", idle.Median, idle.Min, idle.Max)
			}
			fmt.Fprintln(table)
			name = ""
		}
	}
	table.Flush()
	if measured {
		fmt.Fprintf(out, "\nMemory of a process that was new: RSS in MiB, and KiB of an idle connection.\n\n%s", rows.String())
	}
}

func (r *Report) printTargets(out io.Writer) {
	if len(r.Targets) == 0 {
		return
	}
	fmt.Fprintf(out, "\nWhat the data path has to reach.\n\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(verdictColumns, "\t"))
	for _, v := range r.Targets {
		fmt.Fprintln(table, strings.Join(v.cells(), "\t"))
	}
	table.Flush()
}

var verdictColumns = []string{"workload", "figure", "against", "wanted", "measured", "(spread)", "busy", "reached"}

// cells say what a verdict says. busy is left out where nobody had to be busy.
func (v Verdict) cells() []string {
	wanted, busy, reached := fmt.Sprintf("at most %.2f", v.Bound), fmt.Sprintf("%.0f%%", 100*v.Busy), "no"
	if v.Least {
		wanted = fmt.Sprintf("at least %.2f", v.Bound)
	}
	if w := find(v.Workload); w.anew || w.rate > 0 {
		busy = ""
	}
	if v.Reached {
		reached = "yes"
	}
	return []string{v.Workload, strings.ReplaceAll(v.Metric, "_", " "), v.Against, wanted, fmt.Sprintf("%.2f", v.Measured.Median),
		fmt.Sprintf("(%.2f-%.2f)", v.Measured.Min, v.Measured.Max), busy, reached}
}
