package main

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/scopegate/scopegate/gateway/policy"
)

// testResult is what test --format json prints: all policies together, then each of them.
type testResult struct {
	Passed   int            `json:"passed"`
	Failed   int            `json:"failed"`
	Failures []testFailure  `json:"failures"`
	Coverage testCoverage   `json:"coverage"`
	Mutants  *testMutants   `json:"mutants,omitempty"` // with --mutate
	Policies []testedPolicy `json:"policies"`
}

// testFailure is an expectation that does not hold. Want and got are allow or deny, with the
// reason behind it where that is what differs; reason is that of the answer.
type testFailure struct {
	Persona string   `json:"persona"`
	Request string   `json:"request"`
	Want    string   `json:"want"`
	Got     string   `json:"got"`
	Reason  string   `json:"reason"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Column  int      `json:"column"`
	Rule    string   `json:"rule"` // file:line of the rule that answered
	Missing []string `json:"missing"`
}

// testCoverage counts what personas show. Percent is not rounded.
type testCoverage struct {
	Covered int     `json:"covered"`
	Total   int     `json:"total"`
	Percent float64 `json:"percent"`
}

// testedPolicy is the result of one policy. Personas is YAML to paste below `personas:`, which
// covers what is missing and, with --mutate, notices what survived.
type testedPolicy struct {
	File     string       `json:"file"`
	Service  string       `json:"service"`
	Policy   string       `json:"policy"`
	Tests    []string     `json:"tests"` // the files of personas
	Passed   int          `json:"passed"`
	Failed   int          `json:"failed"`
	Coverage testCoverage `json:"coverage"`
	Missing  []testGap    `json:"missing"`
	Mutants  *testMutants `json:"mutants,omitempty"`
	Personas string       `json:"personas"`
}

// testGap is one thing that no persona shows.
type testGap struct {
	Path    string         `json:"path"`
	Method  string         `json:"method"`
	Line    int            `json:"line"`
	Kind    policy.GapKind `json:"kind"`
	Scope   string         `json:"scope,omitempty"`
	Message string         `json:"message"`
}

func (r *testRun) result() testResult {
	out := testResult{Passed: r.passed, Failed: r.failed, Failures: []testFailure{}, Policies: []testedPolicy{},
		Coverage: coverageOf(&policy.Coverage{Covered: r.covered, Total: r.total})}
	if r.mutated {
		out.Mutants = r.mutants()
	}
	for _, t := range r.policies {
		failed := t.report.Failed()
		one := testedPolicy{File: t.file, Service: t.policy.Service(), Policy: t.policy.Hash(), Tests: []string{},
			Failed: len(failed), Passed: len(t.report.Outcomes) - len(failed), Missing: []testGap{},
			Coverage: coverageOf(&t.report.Coverage), Personas: policy.YAML(r.proposed(t))}
		if r.mutated {
			one.Mutants = mutantsOf(t.mutation.Killed, len(t.mutation.Survivors))
		}
		for _, tests := range t.tests {
			one.Tests = append(one.Tests, tests.File)
		}
		for _, g := range t.report.Coverage.Gaps {
			one.Missing = append(one.Missing, testGap{g.Rule.Route().Template(), g.Rule.Method(), g.Rule.Line(), g.Kind, g.Scope, gapText(g)})
		}
		out.Policies = append(out.Policies, one)
		for i := range failed {
			out.Failures = append(out.Failures, failureOf(&failed[i]))
		}
	}
	return out
}

func coverageOf(c *policy.Coverage) testCoverage {
	return testCoverage{c.Covered, c.Total, c.Percent()}
}

func failureOf(o *policy.Outcome) testFailure {
	f := testFailure{Persona: o.Persona, Request: o.Request, Want: o.Wanted(), Got: o.Got(), Reason: o.Decision.Reason.String(),
		File: o.File, Line: o.Line, Column: o.Column, Missing: []string{}}
	if rule := o.Decision.Match.Rule; rule != nil {
		f.Rule = rule.Position()
	}
	f.Missing = append(f.Missing, o.Decision.Missing()...)
	return f
}

// gapText says what a persona would have to show.
func gapText(g policy.Gap) string {
	switch g.Kind {
	case policy.GapAllowed:
		return "nobody is let in"
	case policy.GapDenied:
		return "nobody is refused"
	}
	return "no two personas differ in " + g.Scope + " alone"
}

// failureText is the first line of a failure, and why it is one.
func failureText(o *policy.Outcome) (what, why string) {
	what = fmt.Sprintf("%s: %s: want %s, got %s", o.Persona, o.Request, o.Wanted(), o.Got())
	if r := o.Decision.Reason; r != policy.ReasonAllowed && o.Want != o.Decision.Allow {
		what += " (" + r.String() + ")"
	}
	m := &o.Decision.Match
	switch {
	case m.Rule != nil:
		why = fmt.Sprintf("%s %s at %s needs %s", m.Rule.Method(), m.Route.Template(), m.Rule.Position(), m.Rule.Requirement())
		if missing := o.Decision.Missing(); len(missing) > 0 {
			why += "; missing: " + strings.Join(missing, ", ")
		}
	case m.Route != nil:
		why = fmt.Sprintf("%s at %s lists %s only", m.Route.Template(), place(m.Route.File(), m.Route.Line()), or(m.Route.Allow(), "no method"))
	case m.Guard != 0:
		why = m.Guard.About()
	default:
		why = "no path of the policy matches"
	}
	return visible(what), why
}

// visible replaces what a terminal would act on, and keeps every letter.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

// print writes the report for people: what failed, what is not covered, and what to paste.
func (r *testRun) print(a *app) {
	for _, t := range r.policies {
		for _, o := range t.report.Failed() {
			what, why := failureText(&o)
			a.printf("%s:%d:%d: FAILED %s\n    %s\n", o.File, o.Line, o.Column, what, why)
		}
	}
	if r.failed > 0 {
		a.printf("\n")
	}
	for _, t := range r.policies {
		t.printGaps(a)
		t.printSurvivors(a)
		t.printProposal(a, r.proposed(t))
	}
	var rows [][]string
	for _, t := range r.policies {
		failed, c := len(t.report.Failed()), t.report.Coverage
		rows = append(rows, r.sumRow(t.file, len(t.report.Outcomes)-failed, failed, c.Covered, c.Total, t.mutation.Killed, len(t.mutation.Survivors)))
	}
	if len(rows) > 1 {
		rows = append(rows, r.sumRow("together", r.passed, r.failed, r.covered, r.total, r.killed, r.survived))
	}
	writeTable(a.stdout, "", rows)
	if r.tooLittle() {
		a.printf("FAILED: %s\n", r.shortfall())
	}
	if r.tooWeak() {
		a.printf("FAILED: %s\n", r.weakness())
	}
}

func (r *testRun) sumRow(name string, passed, failed, covered, total, killed, survived int) []string {
	row := []string{name, fmt.Sprintf("%d passed", passed), fmt.Sprintf("%d failed", failed),
		fmt.Sprintf("coverage %d of %d, %s", covered, total, percent(covered, total))}
	if r.mutated {
		row = append(row, fmt.Sprintf("mistakes noticed %d of %d, %s", killed, killed+survived, percent(killed, killed+survived)))
	}
	return row
}

// proposed are the personas that would close everything that was looked for.
func (r *testRun) proposed(t *tested) []policy.Persona {
	if r.mutated {
		return t.mutation.Proposed
	}
	return t.report.Coverage.Proposed
}

func (r *testRun) shortfall() string {
	return fmt.Sprintf("the personas cover %s, and --fail-under asks for %v %%", percent(r.covered, r.total), r.failUnder)
}

func (t *tested) printGaps(a *app) {
	gaps := t.report.Coverage.Gaps
	if len(gaps) == 0 {
		return
	}
	a.printf("Not covered in %s:\n", t.file)
	var rows [][]string
	var last *policy.Rule
	for _, g := range gaps {
		row := []string{"", "", gapText(g)}
		if g.Rule != last {
			row[0], row[1] = g.Rule.Method()+" "+g.Rule.Route().Template(), g.Rule.Position()
		}
		last = g.Rule
		rows = append(rows, row)
	}
	writeTable(a.stdout, "  ", rows)
	a.printf("\n")
}

// printProposal shows what to paste, and where.
func (t *tested) printProposal(a *app, personas []policy.Persona) {
	if len(personas) == 0 {
		return
	}
	where, head := "below `personas:`, in "+t.file+" or in a *.test.yaml beside it", ""
	if len(t.policy.Personas()) == 0 {
		where, head = "at the end of "+t.file, "personas:\n"
	}
	does := "cover it"
	if len(t.mutation.Survivors) > 0 {
		does = "notice it"
		if len(t.report.Coverage.Gaps) > 0 {
			does = "cover and notice all of it"
		}
	}
	a.printf("These personas would %s. Paste them %s:\n\n%s%s\n", does, where, head, policy.YAML(personas))
}
