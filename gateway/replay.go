package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/replay"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// replayCmd puts recorded decisions to a candidate policy. It exits with 1 when it finds what a
// --forbid flag or --audit forbids, and with 2 when a file cannot be used or holds no decision.
type replayCmd struct {
	output
	logFlags
	Policy           []string `required:"" placeholder:"FILE" help:"The candidate: a policy, or a gateway.yaml with those of all its services; repeatable for several services." sep:"none"`
	Service          string   `placeholder:"NAME" help:"Judge the lines of the service that has this name in the log."`
	ForbidNewAccess  bool     `help:"Exit with 1 if a request that was denied would be allowed, or it cannot be told."`
	ForbidLostAccess bool     `help:"Exit with 1 if a request that was allowed would be denied, or it cannot be told."`
	Audit            bool     `help:"Judge only the lines that this very policy decided, and exit with 1 unless it decides all of them so again."`
	Samples          int      `default:"3" placeholder:"N" help:"Lines to show for each change."`
}

// replayed is what replay --format json prints.
type replayed struct {
	Candidates []candidate `json:"policies"`
	*replay.Report
	Skipped skippedLines `json:"skipped"`
	Failed  bool         `json:"failed"` // what a --forbid flag or --audit forbids was found

	command *replayCmd
}

// candidate is a policy that was asked.
type candidate struct {
	File    string `json:"file"`
	Service string `json:"service"` // by its name in the log
	Hash    string `json:"policy"`
}

// Run replays the logs.
func (c *replayCmd) Run(a *app) error {
	if c.Samples < 0 || c.Samples > 100 {
		return fail(exitUsage, "--samples is a number from 0 to 100", "")
	}
	cfg := replay.Config{Policies: map[string]*policy.Policy{}, Audit: c.Audit, Samples: c.Samples}
	result := replayed{command: c}
	for _, file := range c.Policy {
		if err := c.load(a, file, cfg.Policies); err != nil {
			return err
		}
	}
	for _, service := range slices.Sorted(maps.Keys(cfg.Policies)) {
		p := cfg.Policies[service]
		result.Candidates = append(result.Candidates, candidate{p.File(), service, p.Hash()})
	}
	err := c.read(a, func(reader *decisions.Reader, sources []decisions.Source) (counts decisions.Counts, err error) {
		if result.Report, err = cfg.Run(a.ctx, reader, sources); err == nil {
			counts = result.Counts
		}
		return counts, err
	})
	if err != nil {
		return err
	}
	if result.Judged.Lines == 0 {
		return c.nothingJudged(&result)
	}
	result.Skipped = skippedOf(result.Counts)
	result.Failed = c.forbidden(result.Report)
	if c.json() {
		err = a.writeJSON(result)
	} else {
		result.print(a)
	}
	if err != nil || !result.Failed {
		return err
	}
	return quietly(exitFailed)
}

// load reads a policy, or those of a gateway.yaml.
func (c *replayCmd) load(a *app, file string, into map[string]*policy.Policy) error {
	src, err := readFile(file)
	if err != nil {
		return err
	}
	var found []*policy.Policy
	if kindOf(file, src) == configFile {
		cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file})
		if cfg == nil {
			writeFindings(a.stderr, findings.Errors())
			return fail(exitUsage, "the configuration "+file+" cannot be used", "")
		}
		for _, s := range cfg.Services {
			found = append(found, s.Policy)
		}
	} else {
		p, err := a.loadPolicy(file)
		if err != nil {
			return err
		}
		found = append(found, p)
	}
	for _, p := range found {
		service := p.Service()
		if c.Service != "" && len(c.Policy) == 1 && len(found) == 1 {
			service = c.Service
		}
		if known := into[service]; known != nil && known.Hash() != p.Hash() {
			return fail(exitUsage, known.File()+" and "+p.File()+" are both for the service "+service, "name one policy for each service")
		}
		if c.Service == "" || service == c.Service {
			into[service] = p
		}
	}
	if c.Service != "" && into[c.Service] == nil {
		return fail(exitUsage, "no policy for the service "+c.Service, "")
	}
	return nil
}

// forbidden reports whether the flags forbid what was found. What cannot be told is not safe.
func (c *replayCmd) forbidden(r *replay.Report) bool {
	mayAllow := r.NewAccess.Lines > 0 || r.Undecided.Lines > r.OpenAllow.Lines || !r.Complete
	mayDeny := r.Lost.Lines > 0 || r.OpenAllow.Lines > 0 || !r.Complete
	return c.ForbidNewAccess && mayAllow || c.ForbidLostAccess && mayDeny || c.Audit && r.Unchanged.Lines+r.BeyondLines() != r.Judged.Lines
}

// nothingJudged is an error: a build server must not take an empty log for a harmless change.
func (c *replayCmd) nothingJudged(r *replayed) error {
	var names []string
	for _, service := range slices.Sorted(maps.Keys(r.Services)) {
		if service != "unmatched" {
			names = append(names, printable(service)+" ("+count(int(r.Services[service]), "line")+")")
		}
	}
	hint := "the gateway writes one JSON line for each request unless log.format is text"
	switch {
	case c.Audit && len(r.Policies) > 0:
		hint = "no line was decided by a policy with the hash of this one"
	case len(names) > 0:
		hint = "the log has decisions of " + strings.Join(names, ", ") + "; --service NAME says which to judge"
	}
	return fail(exitUsage, "no decision to judge in the log", hint)
}
