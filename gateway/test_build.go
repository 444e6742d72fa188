package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// What build servers read: JUnit's XML, and the workflow commands of GitHub.

// junitSuites has the elements and attributes that the schemas of JUnit's readers share.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string           `xml:"name,attr"`
	Tests      int              `xml:"tests,attr"`
	Failures   int              `xml:"failures,attr"`
	Errors     int              `xml:"errors,attr"`
	Properties *junitProperties `xml:"properties"` // nil: none
	Cases      []junitCase      `xml:"testcase"`
}

// junitProperties is never empty: the schemas want a property in it.
type junitProperties struct {
	List []junitProperty `xml:"property"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes a suite for each policy and, where a share is asked for, one for coverage.
func (r *testRun) writeJUnit(w io.Writer) error {
	all := junitSuites{Name: "gateway test"}
	for _, t := range r.policies {
		all.Suites = append(all.Suites, t.junit())
	}
	if r.failUnder > 0 {
		one := junitCase{Class: "coverage", Name: fmt.Sprintf("the personas cover at least %v %%", r.failUnder)}
		suite := junitSuite{Name: "coverage", Tests: 1, Properties: covered(r.covered, r.total)}
		if r.tooLittle() {
			one.Failure, suite.Failures = &junitFailure{Message: r.shortfall(), Type: "coverage", Text: r.shortfall()}, 1
		}
		suite.Cases = []junitCase{one}
		all.Suites = append(all.Suites, suite)
	}
	if r.mutated {
		all.Suites = append(all.Suites, r.junitMutants())
	}
	for _, s := range all.Suites {
		all.Tests, all.Failures = all.Tests+s.Tests, all.Failures+s.Failures
	}
	out, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, out)
	return err
}

func (t *tested) junit() junitSuite {
	s := junitSuite{Name: t.file, Tests: len(t.report.Outcomes), Properties: covered(t.report.Coverage.Covered, t.report.Coverage.Total)}
	for i := range t.report.Outcomes {
		o := &t.report.Outcomes[i]
		verb := "is denied "
		if o.Want {
			verb = "is allowed "
		}
		one := junitCase{Class: o.File, Name: o.Persona + " " + verb + o.Request}
		if !o.Passed() {
			what, why := failureText(o)
			one.Failure = &junitFailure{Message: what, Type: o.Decision.Reason.String(), Text: place(o.File, o.Line) + "\n" + why}
			s.Failures++
		}
		s.Cases = append(s.Cases, one)
	}
	return s
}

func covered(n, total int) *junitProperties {
	return &junitProperties{[]junitProperty{{"coverage.covered", fmt.Sprint(n)}, {"coverage.total", fmt.Sprint(total)}}}
}

// writeGitHub annotates lines: an error for each failure, a warning for each rule that is not
// covered.
func (r *testRun) writeGitHub(w io.Writer) {
	for _, t := range r.policies {
		for _, o := range t.report.Failed() {
			what, why := failureText(&o)
			annotate(w, "error", o.File, o.Line, o.Column, "policy test failed", what+"\n"+why)
		}
		gaps, proposed := t.report.Coverage.Gaps, t.byRule()
		for i := 0; i < len(gaps); {
			rule, said := gaps[i].Rule, []string(nil)
			for ; i < len(gaps) && gaps[i].Rule == rule; i++ {
				said = append(said, gapText(gaps[i]))
			}
			annotate(w, "warning", rule.File(), rule.Line(), 0, "policy not covered",
				rule.Method()+" "+rule.Route().Template()+": "+strings.Join(said, "; ")+
					"\nThis would cover it, below `personas:`:\n"+policy.YAML(proposed[rule]))
		}
		t.annotateSurvivors(w)
	}
	if r.tooLittle() {
		annotate(w, "error", r.policies[0].file, 0, 0, "policy coverage", r.shortfall())
	}
	if r.tooWeak() {
		annotate(w, "error", r.policies[0].file, 0, 0, "policy mutants", r.weakness())
	}
	fmt.Fprintf(w, "%d passed, %d failed, coverage %d of %d, %s", r.passed, r.failed, r.covered, r.total, percent(r.covered, r.total))
	if r.mutated {
		fmt.Fprintf(w, ", mistakes noticed %d of %d, %s", r.killed, r.killed+r.survived, percent(r.killed, r.killed+r.survived))
	}
	fmt.Fprintln(w)
}

// byRule takes the proposed personas apart: for each rule those that ask for it, with nothing but
// what they ask of it.
func (t *tested) byRule() map[*policy.Rule][]policy.Persona {
	out := map[*policy.Rule][]policy.Persona{}
	for _, persona := range t.report.Coverage.Proposed {
		mine := map[*policy.Rule]*policy.Persona{}
		of := func(e policy.Expectation) *policy.Persona {
			rule := t.ruleOf(e)
			if mine[rule] == nil {
				one := persona
				one.Allow, one.Deny, mine[rule] = nil, nil, &one
			}
			return mine[rule]
		}
		for _, e := range persona.Allow {
			one := of(e)
			one.Allow = append(one.Allow, e)
		}
		for _, e := range persona.Deny {
			one := of(e)
			one.Deny = append(one.Deny, e)
		}
		for rule, one := range mine {
			out[rule] = append(out[rule], *one)
		}
	}
	return out
}

// ruleOf is the rule that answers a request.
func (t *tested) ruleOf(e policy.Expectation) *policy.Rule {
	req, err := policy.NewRequest(&policy.Received{Method: e.Method, Target: e.Target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		return nil
	}
	return t.policy.Match(&req).Rule
}

// annotate writes one workflow command. Its text comes from files that a stranger's pull request
// may have brought, so everything that could end it and begin another is escaped.
func annotate(w io.Writer, level, file string, line, column int, title, text string) {
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	fmt.Fprintf(w, "::%s file=%s", level, property.Replace(file))
	if line > 0 {
		fmt.Fprintf(w, ",line=%d", line)
	}
	if column > 0 {
		fmt.Fprintf(w, ",col=%d", column)
	}
	fmt.Fprintf(w, ",title=%s::%s\n", property.Replace(title), data.Replace(strings.TrimSpace(text)))
}
