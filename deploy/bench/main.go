package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings say how much is measured.
type settings struct {
	rounds    int
	duration  time.Duration // of one measurement
	workloads []string      // names; empty: all
	proxies   []string      // names; empty: all
	json      string        // file for the figures; empty: none
	readme    string        // file with a place for the tables; empty: none
	profile   string        // folder for the gateway's profiles; empty: none

	tokens int // in turn
	fresh  int // tokens never seen before, for each round
	idle   int // connections held open to see what one costs
	routes int // of the large policy

	settle time.Duration // for a proxy to put away what it holds for requests that are over
}

// The longest that anything may be asked to take: a benchmark that was forgotten must end.
const (
	maxRounds   = 50
	maxDuration = time.Minute
	maxRun      = 2 * time.Hour
)

func main() {
	if play(os.Getenv(roleVariable)) {
		return
	}
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		release()
		os.Exit(1)
	}
}

// command is the whole program: the table goes to out, progress to progress.
func command(ctx context.Context, args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	if s.profile != "" {
		if err := os.MkdirAll(s.profile, 0o755); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, maxRun)
	defer cancel()
	report, err := measureAll(ctx, s, progress)
	if err != nil {
		return err
	}
	report.print(out)
	if s.json != "" {
		if err := report.write(s.json); err != nil {
			return err
		}
	}
	if err := report.fault(); err != nil || s.readme == "" {
		return err
	}
	return rewrite(s.readme, report)
}

// parse reads the flags. --quick sets other defaults, which the other flags still override.
func parse(args []string, usage io.Writer) (settings, error) {
	s := settings{tokens: 10_000, idle: 1000, routes: 10_000, settle: 500 * time.Millisecond}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Usage = func() {
		fmt.Fprintf(usage, "Measures the gateway as a process, beside nginx, HAProxy and Caddy where they are installed.\n\n")
		flags.PrintDefaults()
		fmt.Fprintln(usage, "\nWorkloads:")
		for _, w := range workloads {
			fmt.Fprintf(usage, "  %-12s %s\n", w.name, w.what)
		}
		fmt.Fprintln(usage, "\nProxies:", strings.Join(allProxies, ", "))
	}
	quick := flags.Bool("quick", false, "3 rounds of 1s instead of 5 of 3s: for a look, not for a verdict")
	flags.IntVar(&s.rounds, "rounds", 0, "measure everything `N` times, in turn (default 5)")
	flags.DurationVar(&s.duration, "duration", 0, "`time` of one measurement (default 3s)")
	flags.StringVar(&s.json, "json", "", "write the figures of every round to `FILE`")
	flags.StringVar(&s.readme, "readme", "", "write the tables into the Markdown `FILE`, between its two marks")
	names := flags.String("workloads", "", "measure only these: `NAME,NAME` (default all)")
	proxies := flags.String("proxies", "", "measure only these: `NAME,NAME` (default all that are installed)")
	flags.StringVar(&s.profile, "profile", "", "write the gateway's CPU and allocation profiles to `FOLDER`; they cost it a little")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	rounds, duration := 5, 3*time.Second
	if *quick {
		rounds, duration = 3, time.Second
	}
	if s.rounds == 0 {
		s.rounds = rounds
	}
	if s.duration == 0 {
		s.duration = duration
	}
	s.fresh = int(min(1500*s.duration.Seconds(), 5000))
	if *names != "" {
		s.workloads = strings.Split(*names, ",")
	}
	if *proxies != "" {
		s.proxies = strings.Split(*proxies, ",")
	}
	return s, s.check(flags.Args())
}

func (s settings) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q: --help lists the flags", rest[0])
	case s.rounds < 1 || s.rounds > maxRounds:
		return fmt.Errorf("--rounds %d: from 1 to %d", s.rounds, maxRounds)
	case s.duration < 50*time.Millisecond || s.duration > maxDuration:
		return fmt.Errorf("--duration %s: from 50ms to %s", s.duration, maxDuration)
	}
	for _, name := range s.workloads {
		if find(name) == nil {
			return fmt.Errorf("there is no workload %q: --help lists them", name)
		}
	}
	for _, name := range s.proxies {
		if !slices.Contains(allProxies, name) {
			return fmt.Errorf("there is no proxy %q: --help lists them", name)
		}
	}
	return s.checkReadme()
}

// wants tells whether a proxy is to be measured where it is available.
func (s settings) wants(proxy string) bool {
	return len(s.proxies) == 0 || slices.Contains(s.proxies, proxy)
}
