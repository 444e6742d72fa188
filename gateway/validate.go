package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// validateCmd checks files and folders. It exits with 1 when a file has a fault (with --strict
// also on a warning) and with 2 when one cannot be read.
type validateCmd struct {
	Format string   `enum:"text,json,github,sarif,junit" default:"text" help:"How to print: ${enum}."`
	Strict bool     `help:"Treat warnings as errors."`
	Ignore []string `placeholder:"ID" help:"Leave out warnings with these ids."`
	IDs    bool     `name:"ids" help:"List the ids of all findings with what they mean, and check nothing."`
	Files  []string `arg:"" optional:"" name:"file" help:"Policies, gateway.yaml files, *.test.yaml files, or folders of them."`
}

// verdict is what validate --format json prints.
type verdict struct {
	Valid    bool            `json:"valid"`
	Findings policy.Findings `json:"findings"`
	Files    []checkedFile   `json:"files"`
	// Ignored counts the warnings that were left out.
	Ignored int `json:"ignored,omitempty"`
}

// checkedFile is one file that was looked at. Policy is the hash of a policy without faults.
type checkedFile struct {
	File   string   `json:"file"`
	Kind   fileKind `json:"kind"`
	Policy string   `json:"policy,omitempty"`
	note   string
}

// Run checks every file and prints all findings at once.
func (c *validateCmd) Run(a *app) error {
	if c.IDs {
		return c.listIDs(a)
	}
	if len(c.Files) == 0 {
		return fail(exitUsage, `expected "<file> ..."`, "gateway validate --help tells more")
	}
	if err := c.checkIgnored(); err != nil {
		return err
	}
	files, inFolder, err := expand(c.Files)
	if err != nil {
		return err
	}
	if len(files) == 0 { // a green check of nothing would hide a wrong folder
		return fail(exitUsage, "no YAML file in "+strings.Join(c.Files, ", "), "name a file, or a folder that holds one")
	}
	v := verdict{Findings: policy.Findings{}, Files: []checkedFile{}}
	for _, file := range files {
		src, err := readFile(file)
		if err != nil {
			return err
		}
		v.check(a, file, src, inFolder[file])
	}
	v.finish(c.Strict, c.Ignore)
	if err := v.write(a, c.Format); err != nil {
		return err
	}
	if !v.Valid {
		return quietly(exitFailed)
	}
	return nil
}

// check reads one file as what it is. A file that was named is taken for a policy when it
// cannot be told; one that was found in a folder is somebody else's.
func (v *verdict) check(a *app, file string, src []byte, found bool) {
	checked := checkedFile{File: file, Kind: kindOf(file, src)}
	if checked.Kind == unknownFile && !found {
		checked.Kind = policyFile
	}
	if isTestFile(file) {
		checked.Kind = testsFile
	}
	switch checked.Kind {
	case testsFile:
		v.checkTests(file, src, &checked)
	case policyFile:
		p, findings := policy.Load(file, src)
		v.Findings = append(v.Findings, findings...)
		if p != nil {
			checked.Policy = p.Hash()
			checked.note = "policy of " + p.Service() + ", " + count(len(p.Routes()), "route")
		}
	case configFile:
		cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file})
		v.Findings = append(v.Findings, findings...)
		if cfg != nil {
			checked.note = "config, " + count(len(cfg.Services), "service")
		}
	default:
		checked.note = "skipped, neither a policy nor a gateway.yaml"
	}
	v.Files = append(v.Files, checked)
}

// checkTests reads personas in the words of their policy. What is wrong with the policy itself is
// reported with its own file.
func (v *verdict) checkTests(file string, src []byte, checked *checkedFile) {
	suite, findings := policy.ReadSuite(file, src)
	v.Findings = append(v.Findings, findings...)
	if suite == nil {
		return
	}
	named := policyOf(file, suite)
	text, err := readFile(named)
	if err != nil {
		v.Findings = append(v.Findings, suite.Misses(err.Error()))
		return
	}
	p, _ := policy.Load(named, text)
	if p == nil {
		v.Findings = append(v.Findings, suite.Misses("the policy "+named+" has faults"))
		return
	}
	tests, findings := suite.Bind(p)
	v.Findings = append(v.Findings, findings...)
	if findings.HasErrors() {
		return
	}
	checked.note = "tests of " + p.Service() + ", " + count(len(tests.Personas), "persona")
}

// finish sorts the findings, drops those that a policy and the config that names it have both
// brought, and warnings that nobody wants to see, and decides.
func (v *verdict) finish(strict bool, ignored []string) {
	slices.SortStableFunc(v.Findings, func(x, y policy.Finding) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column), cmp.Compare(x.ID, y.ID))
	})
	v.Findings = slices.Compact(v.Findings)
	all := len(v.Findings)
	v.Findings = slices.DeleteFunc(v.Findings, func(f policy.Finding) bool {
		return f.Severity == policy.SeverityWarning && slices.Contains(ignored, f.ID)
	})
	v.Ignored = all - len(v.Findings)
	v.Valid = !v.Findings.HasErrors() && !(strict && len(v.Findings) > 0)
}

func (v *verdict) write(a *app, format string) error {
	switch format {
	case "json":
		return a.writeJSON(v)
	case "text":
		v.print(a)
		return nil
	}
	var files []string
	for _, f := range v.Files {
		files = append(files, f.File)
	}
	return a.writeNotices(format, "validate", files, slices.Concat(policy.Kinds(), sidecar.Kinds()), noticesOf(v.Findings))
}

func (v *verdict) print(a *app) {
	writeFindings(a.stdout, v.Findings)
	if len(v.Findings) > 0 {
		a.printf("\n")
	}
	var rows [][]string
	for _, f := range v.Files {
		if f.note == "" {
			f.note = "has faults"
		}
		rows = append(rows, []string{f.File, f.note})
	}
	writeTable(a.stdout, "", rows)
	errors := len(v.Findings.Errors())
	outcome := "valid"
	if !v.Valid {
		outcome = "NOT valid"
	}
	a.printf("%s: %s, %s", outcome, count(errors, "error"), count(len(v.Findings)-errors, "warning"))
	if v.Ignored > 0 {
		a.printf(", %d more ignored", v.Ignored)
	}
	a.printf("\n")
}
