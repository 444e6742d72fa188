package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// testCmd asks policies what their personas expect, and with --mutate whether they would notice
// mistakes. It exits with 1 when an expectation fails, coverage is below --fail-under or the score
// below --min-score, and with 2 when a file cannot be used.
type testCmd struct {
	Format    string   `enum:"text,json,junit,github" default:"text" help:"How to print: ${enum}."`
	FailUnder float64  `placeholder:"PERCENT" help:"Fail when the personas cover less than this."`
	Mutate    bool     `help:"Weaken every rule in turn, and show which of that no persona notices."`
	MinScore  float64  `placeholder:"PERCENT" help:"Fail when the personas notice less of that than this. Implies --mutate."`
	Files     []string `arg:"" name:"file" help:"Policies, *.test.yaml files, or folders of them. Beside a policy its *.test.yaml files are run too."`
}

// tested is a policy with the files of personas to run on it, and what came of it.
type tested struct {
	file   string
	policy *policy.Policy
	tests  []policy.Tests
	report policy.Report

	mutation policy.Mutation // zero without --mutate
}

// Run runs all tests and prints one report.
func (c *testCmd) Run(a *app) error {
	for flag, share := range map[string]float64{"--fail-under": c.FailUnder, "--min-score": c.MinScore} {
		if !(share >= 0 && share <= 100) { // not a number is neither
			return fail(exitUsage, flag+" is a share in percent, from 0 to 100", "")
		}
	}
	plan := &testPlan{app: a, byPath: map[string]*tested{}}
	if err := plan.gather(c.Files); err != nil {
		return err
	}
	run := testRun{policies: plan.order, failUnder: c.FailUnder, minScore: c.MinScore, mutated: c.Mutate || c.MinScore > 0}
	for _, t := range plan.order {
		t.report = t.policy.Test(t.tests...)
		failed := len(t.report.Failed())
		run.failed += failed
		run.passed += len(t.report.Outcomes) - failed
		run.covered += t.report.Coverage.Covered
		run.total += t.report.Coverage.Total
	}
	if run.mutated {
		run.mutate(a)
	}
	if err := run.write(a, c.Format); err != nil {
		return err
	}
	if run.failed > 0 || run.tooLittle() || run.tooWeak() {
		return quietly(exitFailed)
	}
	return nil
}

// testRun is the whole result.
type testRun struct {
	policies         []*tested
	passed, failed   int
	covered, total   int
	failUnder        float64
	mutated          bool
	killed, survived int
	minScore         float64
}

// tooLittle compares without rounding.
func (r *testRun) tooLittle() bool {
	return float64(r.covered)*100 < r.failUnder*float64(r.total)
}

func (r *testRun) write(a *app, format string) error {
	switch format {
	case "json":
		return a.writeJSON(r.result())
	case "junit":
		return r.writeJUnit(a.stdout)
	case "github":
		r.writeGitHub(a.stdout)
	default:
		r.print(a)
	}
	return nil
}

// testPlan finds out which personas belong to which policy.
type testPlan struct {
	app    *app
	byPath map[string]*tested // by absolute path
	order  []*tested
}

// gather takes what was named: a policy stands for itself and the test files beside it, a test
// file for itself and the personas in its policy, a folder for all that lies in it.
func (p *testPlan) gather(args []string) error {
	files, inFolder, err := expand(args)
	if err != nil {
		return err
	}
	for _, file := range files {
		if isTestFile(file) {
			err = p.suite(file)
		} else {
			err = p.policyFile(file, inFolder[file])
		}
		if err != nil {
			return err
		}
	}
	if len(p.order) == 0 {
		return fail(exitUsage, "no policy in "+strings.Join(args, ", "), "name a policy, or a folder that holds one")
	}
	return nil
}

func isTestFile(file string) bool {
	return strings.HasSuffix(file, ".test.yaml") || strings.HasSuffix(file, ".test.yml")
}

// policyFile adds a policy and the test files beside it. Of a folder's other files it takes no
// notice.
func (p *testPlan) policyFile(file string, found bool) error {
	if found {
		src, err := readFile(file)
		if err != nil {
			return err
		}
		if kindOf(file, src) != policyFile {
			return nil
		}
	}
	t, err := p.load(file)
	if err != nil {
		return err
	}
	beside, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		return unreadable(filepath.Dir(file), err)
	}
	for _, entry := range beside {
		name := filepath.Join(filepath.Dir(file), entry.Name())
		if entry.IsDir() || !isTestFile(name) || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		suite, err := p.read(name)
		if err != nil {
			return err
		}
		if p.byPath[absolute(policyOf(name, suite))] == t {
			if err := p.add(t, name, suite); err != nil {
				return err
			}
		}
	}
	return nil
}

// suite adds a test file and the policy that it names.
func (p *testPlan) suite(file string) error {
	suite, err := p.read(file)
	if err != nil {
		return err
	}
	t, err := p.load(policyOf(file, suite))
	if err != nil {
		return err
	}
	return p.add(t, file, suite)
}

// policyOf is the policy that a test file names, seen from here.
func policyOf(file string, suite *policy.Suite) string {
	return filepath.Join(filepath.Dir(file), filepath.FromSlash(suite.PolicyPath()))
}

// load reads a policy once, with the personas in it.
func (p *testPlan) load(file string) (*tested, error) {
	key := absolute(file)
	if t := p.byPath[key]; t != nil {
		return t, nil
	}
	loaded, err := p.app.loadPolicy(file)
	if err != nil {
		return nil, err
	}
	t := &tested{file: file, policy: loaded, tests: []policy.Tests{loaded.OwnTests()}}
	p.byPath[key] = t
	p.order = append(p.order, t)
	return t, nil
}

func (p *testPlan) read(file string) (*policy.Suite, error) {
	src, err := readFile(file)
	if err != nil {
		return nil, err
	}
	suite, findings := policy.ReadSuite(file, src)
	if suite == nil {
		return nil, p.unusable(file, findings)
	}
	if filepath.IsAbs(suite.PolicyPath()) {
		return nil, fail(exitUsage, file+" names its policy by an absolute path", "write `policy:` relative to the test file's own folder")
	}
	return suite, nil
}

// add puts a test file's personas to its policy, once.
func (p *testPlan) add(t *tested, file string, suite *policy.Suite) error {
	if slices.ContainsFunc(t.tests, func(o policy.Tests) bool { return absolute(o.File) == absolute(file) }) {
		return nil
	}
	tests, findings := suite.Bind(t.policy)
	if findings.HasErrors() {
		return p.unusable(file, findings)
	}
	t.tests = append(t.tests, tests)
	return nil
}

func (p *testPlan) unusable(file string, findings policy.Findings) error {
	writeFindings(p.app.stderr, findings.Errors())
	return fail(exitUsage, "the test file "+file+" cannot be used", "")
}

// absolute names a file in one way.
func absolute(file string) string {
	abs, err := filepath.Abs(file)
	if err != nil {
		return filepath.Clean(file)
	}
	return abs
}

// percent writes a share without rounding it up: 100 % is all of it.
func percent(covered, total int) string {
	if covered == total {
		return "100 %"
	}
	tenths := covered * 1000 / total
	return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
}
