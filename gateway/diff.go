package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// diffCmd compares two policies, or all policies of two folders by their
// service. It exits with 0 whatever it finds, with --forbid-new-access with 1 when
// somebody may do what they could not before or that could not be ruled out, and
// with 2 when something cannot be used.
type diffCmd struct {
	Format          string `enum:"text,json,github,sarif" default:"text" help:"How to print: ${enum}."`
	ForbidNewAccess bool   `help:"Fail when somebody may do what they could not before, or when that cannot be ruled out."`
	Old             string `arg:"" help:"A policy, a folder of policies, a gateway.yaml, or either of the first two in a git revision: HEAD~1:config/policies."`
	New             string `arg:"" help:"The same, after the change."`
}

// Run compares and prints.
func (c *diffCmd) Run(a *app) error {
	old, err := a.side(c.Old)
	if err != nil {
		return err
	}
	new, err := a.side(c.New)
	if err != nil {
		return err
	}
	d, err := compareSides(old, new)
	if err != nil {
		return err
	}
	d.forbidden = c.ForbidNewAccess
	switch c.Format {
	case "json":
		err = a.writeJSON(d.result())
	case "github", "sarif":
		err = d.writeFor(a, c.Format)
	default:
		d.print(a)
	}
	if err == nil && d.refused() {
		err = quietly(exitFailed)
	}
	return err
}

// side is what stands on one side of a comparison.
type side struct {
	name  string
	one   bool // a single policy, and no folder that happens to hold one
	found []*sided
}

// sided is a policy of one side.
type sided struct {
	policy *policy.Policy
	file   string // as its lines are named
	disk   string // where it can be opened, and annotated; "" in a git revision
	inRepo string // its path in the repository
}

// side loads what was named.
func (a *app) side(name string) (*side, error) {
	if isRevision(name) {
		return a.revisionSide(name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fail(exitUsage, unreadable(name, err).Error(), "is the path right, seen from the current folder? A git revision is written REVISION:path, as in HEAD~1:config/policies")
	}
	s := &side{name: name, one: !info.IsDir()}
	files, _, err := expand([]string{name})
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		src, err := readFile(file)
		if err != nil {
			return nil, err
		}
		if s.one && kindOf(file, src) == configFile {
			s.one = false
			return s, s.config(a, file)
		}
		if err := s.add(a, file, file, src); err != nil {
			return nil, err
		}
	}
	return s, s.check()
}

func (a *app) revisionSide(name string) (*side, error) {
	r, err := a.revision(name)
	if err != nil {
		return nil, err
	}
	s := &side{name: name, one: !r.folder}
	files := []listed{{name, r.object}}
	if r.folder {
		if files, err = a.files(r); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		src, err := a.readObject(f.name, f.object)
		if err != nil {
			return nil, err
		}
		if s.one && kindOf(f.name, src) == configFile {
			return nil, fail(exitUsage, name+" is a gateway.yaml, and what it names cannot be read from a revision", "name the folder of its policies: REVISION:path/to/policies")
		}
		if err := s.add(a, f.name, "", src); err != nil {
			return nil, err
		}
	}
	return s, s.check()
}

// add takes a policy. Of a folder's other files it takes no notice, nor of candidates that are called
// so: nobody obeys them.
func (s *side) add(a *app, file, disk string, src []byte) error {
	if !s.one && (kindOf(file, src) != policyFile || isTestFile(file) || isCandidateFile(file)) {
		return nil
	}
	p, err := a.parsePolicy(file, src)
	if err != nil {
		return err
	}
	inRepo := disk
	if disk == "" {
		_, inRepo, _ = strings.Cut(file, ":")
	}
	s.found = append(s.found, &sided{p, file, disk, inRepo})
	return nil
}

// config takes the policies of a gateway.yaml.
func (s *side) config(a *app, file string) error {
	cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file})
	if cfg == nil {
		writeFindings(a.stderr, findings.Errors())
		return fail(exitUsage, "the configuration "+file+" cannot be used", "")
	}
	for _, service := range cfg.Services {
		p := service.Policy
		s.found = append(s.found, &sided{p, p.File(), p.File(), p.File()})
	}
	return s.check()
}

// check refuses what has no policy, and two policies of one service: which of
// them is in force is not to be guessed.
func (s *side) check() error {
	if len(s.found) == 0 {
		return fail(exitUsage, "no policy in "+s.name, "name a policy, or a folder that holds one")
	}
	slices.SortFunc(s.found, func(x, y *sided) int { return strings.Compare(x.policy.Service(), y.policy.Service()) })
	for i, x := range s.found[1:] {
		if y := s.found[i]; x.policy.Service() == y.policy.Service() {
			return fail(exitUsage, fmt.Sprintf("%s and %s are both policies of the service %s", y.file, x.file, x.policy.Service()),
				"name two files instead of folders")
		}
	}
	return nil
}

// compared is a policy of each side; one of them is nil where the other side has
// no policy of the service.
type compared struct {
	service  string
	old, new *sided
	policy.Comparison
}

// difference is the whole result.
type difference struct {
	old, new  *side
	services  []*compared
	forbidden bool
}

// compareSides pairs policies by their service; two that were named as files are
// a pair whatever they are called.
func compareSides(old, new *side) (*difference, error) {
	d := &difference{old: old, new: new}
	if old.one != new.one {
		single, several := old, new
		if new.one {
			single, several = new, old
		}
		return nil, fail(exitUsage, fmt.Sprintf("%s is one policy and %s is not", single.name, several.name), "compare two policies, or two folders")
	}
	byService := map[string]*compared{}
	for i, s := range []*side{old, new} {
		for _, x := range s.found {
			service := x.policy.Service()
			if s.one {
				service = new.found[0].policy.Service()
			}
			pair := byService[service]
			if pair == nil {
				pair = &compared{service: service}
				byService[service] = pair
				d.services = append(d.services, pair)
			}
			if i == 0 {
				pair.old = x
			} else {
				pair.new = x
			}
		}
	}
	slices.SortFunc(d.services, func(x, y *compared) int { return strings.Compare(x.service, y.service) })
	for _, pair := range d.services {
		pair.Comparison = policy.Compare(pair.old.policyOrNil(), pair.new.policyOrNil())
	}
	return d, nil
}

func (s *sided) policyOrNil() *policy.Policy {
	if s == nil {
		return nil
	}
	return s.policy
}

// newAccess, mayWiden and exact speak for all services together.
func (d *difference) newAccess() bool {
	return slices.ContainsFunc(d.services, func(c *compared) bool { return c.NewAccess() })
}

func (d *difference) mayWiden() bool {
	return slices.ContainsFunc(d.services, func(c *compared) bool { return c.MayWiden() })
}

func (d *difference) exact() bool {
	return !slices.ContainsFunc(d.services, func(c *compared) bool { return !c.Exact })
}

// refused tells that --forbid-new-access was given and there is some.
func (d *difference) refused() bool { return d.forbidden && d.mayWiden() }
