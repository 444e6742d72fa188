package main

import (
	"io"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/learn"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/replay"
)

// learnCmd drafts a policy from recorded decisions and prints it. It exits with 1 when the draft
// does not allow every allowed request of the log, and with 2 when a file cannot be used or
// holds no allowed request.
type learnCmd struct {
	output
	logFlags
	Service string `placeholder:"NAME" help:"The service to learn, by its name in the log; needed where the log has several."`
	Policy  string `placeholder:"FILE" help:"The policy in force: its vocabulary and implications are taken over, and its rules without a call are named."`
	Names   int    `default:"20" placeholder:"N" help:"More than so many different names (20) at one place of a path are values of a parameter."`
}

// learned is what learn --format json prints.
type learned struct {
	*learn.Draft
	Checked checkedDraft `json:"checked"`
	Skipped skippedLines `json:"skipped"`
}

// checkedDraft is what the draft says to the log that it was learned from.
type checkedDraft struct {
	Done    bool          `json:"done"` // false: standard input cannot be read twice
	Allowed replay.Weight `json:"allowed"`
	Denied  replay.Weight `json:"denied"` // of the requests that were allowed
	Untold  replay.Weight `json:"untold"` // of those, what the log has too little of
	Refused replay.Weight `json:"allows"` // requests that were refused and that the draft allows
	samples []replay.Change
}

// Run learns.
func (c *learnCmd) Run(a *app) error {
	if c.Names < 1 {
		return fail(exitUsage, "--names is a number from 1 on", "")
	}
	cfg := learn.Config{Service: c.Service, Names: c.Names}
	if c.Policy != "" {
		current, err := a.loadPolicy(c.Policy)
		if err != nil {
			return err
		}
		cfg.Current = current
	}
	log := learn.NewLog(cfg)
	var counts decisions.Counts
	one := c.logFlags
	one.Jobs = 1 // what is gathered must not depend on who read which line
	err := one.read(a, func(reader *decisions.Reader, sources []decisions.Source) (_ decisions.Counts, err error) {
		counts, err = reader.Read(a.ctx, sources, func(_ int, r *decisions.Record) { log.Add(r) })
		return counts, err
	})
	if err != nil {
		return err
	}
	draft, err := c.draft(log)
	if err != nil {
		return err
	}
	result := learned{Draft: draft, Skipped: skippedOf(counts)}
	if err := c.check(a, &result); err != nil {
		return err
	}
	return c.show(a, &result)
}

// draft drafts the one service that is meant.
func (c *learnCmd) draft(log *learn.Log) (*learn.Draft, error) {
	services := log.Services()
	for i, name := range services {
		services[i] = printable(name)
	}
	switch {
	case len(services) == 0:
		return nil, fail(exitUsage, "no decision about a service in the log", "the gateway writes one JSON line for each request unless log.format is text")
	case len(services) > 1:
		return nil, fail(exitUsage, "the log is of several services: "+strings.Join(services, ", "), "--service NAME says which to learn")
	}
	draft := log.Draft(log.Services()[0])
	if draft == nil {
		return nil, fail(exitUsage, "the log has no allowed request of "+services[0], "there is nothing to learn a policy from")
	}
	return draft, nil
}

// check loads the draft as any policy, and puts the log to it once more.
func (c *learnCmd) check(a *app, result *learned) error {
	p, findings := policy.Load("draft.yaml", []byte(result.YAML))
	if p == nil {
		writeFindings(a.stderr, findings.Errors())
		return fail(exitFailed, "the draft is no valid policy, which is a fault of this program", "")
	}
	if slices.Contains(c.Files, "-") {
		return nil
	}
	cfg := replay.Config{Policies: map[string]*policy.Policy{result.Service: p}, Samples: 1}
	quiet := *a
	quiet.stderr = io.Discard // what cannot be read has been said
	var report *replay.Report
	err := c.read(&quiet, func(reader *decisions.Reader, sources []decisions.Source) (_ decisions.Counts, err error) {
		report, err = cfg.Run(a.ctx, reader, sources)
		return decisions.Counts{}, err
	})
	if err != nil {
		return err
	}
	result.Checked = checkedDraft{Done: true, Denied: report.Lost, Untold: report.OpenAllow, Refused: report.NewAccess, samples: report.Changes}
	result.Checked.Allowed = replay.Weight{Lines: result.Allowed.Lines - report.Lost.Lines - report.OpenAllow.Lines, Requests: result.Allowed.Requests - report.Lost.Requests - report.OpenAllow.Requests}
	return nil
}

// show prints the draft on standard output, and what was found about it on standard error.
func (c *learnCmd) show(a *app, result *learned) error {
	if c.json() {
		if err := a.writeJSON(result); err != nil {
			return err
		}
	} else {
		a.printf("%s", result.YAML)
		result.tell(a)
	}
	if result.Checked.Denied.Lines > 0 {
		return quietly(exitFailed)
	}
	return nil
}

// tell says on standard error what there is to know beside the draft.
func (r *learned) tell(a *app) {
	low := 0
	rules := 0
	for _, route := range r.Routes {
		for _, rule := range route.Rules {
			rules++
			if rule.Confidence == "low" || len(rule.Notes) > 0 {
				low++
			}
		}
	}
	a.errorf("learned %s of %s from %s\n", count(rules, "rule"), printable(r.Service), weightText(replay.Weight(r.Allowed)))
	if low > 0 {
		a.errorf("%s with little behind it: look for CHECK and for confidence low\n", count(low, "rule"))
	}
	switch k := &r.Checked; {
	case !k.Done:
		a.errorf("not checked: standard input cannot be read twice; try gateway replay --policy DRAFT LOG\n")
	case k.Denied.Lines > 0:
		a.errorf("FAILED: the draft denies %s that was allowed\n", weightText(k.Denied))
		for i := range k.samples {
			if s := &k.samples[i]; s.Kind == replay.AllowToDeny {
				a.errorf("    %s %s: %s\n", printable(s.Method), printable(s.Route), printable(s.To))
			}
		}
	default:
		a.errorf("checked: the draft allows what was allowed, %s\n", weightText(k.Allowed))
		if k.Untold.Lines > 0 {
			a.errorf("%s could not be checked: the log has them in part\n", weightText(k.Untold))
		}
		if k.Refused.Lines > 0 {
			a.errorf("it also allows %s that was refused; gateway replay shows them\n", weightText(k.Refused))
		}
	}
}
