package main

import (
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/openapi"
	"github.com/scopegate/scopegate/gateway/policy"
)

// openapiDriftCmd compares a document with a policy. It exits with 1 where they disagree and with 2
// when one of them cannot be used.
type openapiDriftCmd struct {
	Format string `enum:"text,json,github,sarif,junit" default:"text" help:"How to print: ${enum}."`
	documentFlags
	Ignore []string `sep:"none" placeholder:"PATTERN" help:"Pass over requests that match: a path as policies write it, or METHOD and path. May be given several times."`
	Spec   string   `arg:"" help:"The OpenAPI document, of version 3.0 or 3.1."`
	Policy string   `arg:"" help:"The policy."`
}

// driftResult is what openapi drift --format json prints.
type driftResult struct {
	Drift       bool            `json:"drift"`
	Differences []driftEntry    `json:"differences"`
	Remarks     policy.Findings `json:"remarks"`
	Operations  int             `json:"operations"`
	Rules       int             `json:"rules"`
	Ignored     int             `json:"ignored"`
	Unnamed     int             `json:"unnamed"`     // operations whose paths no policy can name; not compared
	Unsaid      int             `json:"unsaid"`      // operations of which it was compared only whether they are public
	Conditional int             `json:"conditional"` // rules whose conditions were taken as met
}

// driftEntry is one difference. Asks and needs are in words, "" for nothing.
type driftEntry struct {
	ID        string         `json:"id"`
	Kind      openapi.Kind   `json:"kind"`
	Method    string         `json:"method"`
	Path      string         `json:"path"`
	Document  *openapi.Place `json:"document"`
	Policy    *openapi.Place `json:"policy"`
	Asks      string         `json:"asks"`
	Needs     string         `json:"needs"`
	Message   string         `json:"message"`
	Hint      string         `json:"hint"`
	Witnesses []driftWitness `json:"witnesses"`
}

// driftWitness is a request of a caller, and what the two say to it.
type driftWitness struct {
	Request   string   `json:"request"`
	Anonymous bool     `json:"anonymous"`
	Scopes    []string `json:"scopes"`
	Document  string   `json:"document"` // allow or deny
	Policy    string   `json:"policy"`
	Reason    string   `json:"reason"` // the policy's
}

// Run prints every difference.
func (c *openapiDriftCmd) Run(a *app) error {
	p, err := a.loadPolicy(c.Policy)
	if err != nil {
		return err
	}
	doc, err := c.read(c.Spec)
	if err != nil {
		return err
	}
	report, err := doc.Drift(p, c.options(""))
	if err != nil {
		return fail(exitUsage, err.Error(), "")
	}
	ignored, err := report.Ignore(c.Ignore)
	if err != nil {
		return fail(exitUsage, "--ignore: "+err.Error(), "")
	}
	if err := c.print(a, report, ignored); err != nil {
		return err
	}
	if len(report.Differences) > 0 {
		return quietly(exitFailed)
	}
	return nil
}

func (c *openapiDriftCmd) print(a *app, r *openapi.Report, ignored int) error {
	switch c.Format {
	case "json":
		return a.writeJSON(resultOf(r, ignored))
	case "text":
		c.text(a, r)
	default:
		err := a.writeNotices(c.Format, "openapi drift", []string{c.Spec, c.Policy}, openapi.Kinds(), driftNotices(r))
		if err != nil || c.Format != "github" {
			return err
		}
	}
	c.summary(a, r, ignored)
	return nil
}

// driftNotices are the differences and the remarks for a build server.
func driftNotices(r *openapi.Report) []notice {
	var found policy.Findings
	for i := range r.Differences {
		found = append(found, r.Differences[i].Finding())
	}
	out := noticesOf(append(found, r.Remarks...))
	for i := range out {
		out[i].title = "OpenAPI drift " + out[i].id
		if i >= len(found) {
			out[i].level = "note" // a remark is no drift
		}
	}
	return out
}

func (c *openapiDriftCmd) text(a *app, r *openapi.Report) {
	for i := range r.Differences {
		d := &r.Differences[i]
		f := d.Finding()
		a.printf("%s:%d: error %s: %s %s is %s\n", f.File, f.Line, f.ID, d.Method, printable(d.Path), d.Kind)
		rows := [][]string{{"document", lineOf(d.Document), printable(d.Said())}, {"policy", lineOf(d.Policy), printable(d.Wanted())}}
		writeTable(a.stdout, "    ", rows)
		for _, w := range driftWitnesses(d) {
			a.printf("    witness   %s\n", w.text(d.Conditional))
		}
		if f.Hint != "" {
			a.printf("    hint      %s\n", f.Hint)
		}
	}
	writeFindings(a.stdout, r.Remarks)
	if len(r.Differences)+len(r.Remarks) > 0 {
		a.printf("\n")
	}
}

// summary says what was compared, and what could not be.
func (c *openapiDriftCmd) summary(a *app, r *openapi.Report, ignored int) {
	verdict := "agree"
	if n := len(r.Differences); n > 0 {
		verdict = "disagree in " + count(n, "place")
	}
	a.printf("%s and %s %s: %s, %s\n", c.Spec, c.Policy, verdict, count(r.Operations, "operation"), count(r.Rules, "rule"))
	if ignored > 0 {
		a.printf("%s passed over by --ignore.\n", count(ignored, "difference"))
	}
	if r.Unnamed > 0 {
		a.printf("Not compared: %s with a path that no policy can name.\n", count(r.Unnamed, "operation"))
	}
	if r.Unsaid > 0 {
		a.printf("Compared only by whether there is a rule, and a public one: %s that no token alone can satisfy.\n", count(r.Unsaid, "operation"))
	}
	if r.Unnamed+r.Unsaid > 0 {
		a.printf("`gateway openapi import` says which, and what --widen, --bearer and --unsecured make of them.\n")
	}
	if r.Conditional > 0 {
		a.printf("Conditions beside scopes, which no OpenAPI document can say, were taken as met in %s.\n", count(r.Conditional, "rule"))
	}
}

func resultOf(r *openapi.Report, ignored int) driftResult {
	out := driftResult{Drift: len(r.Differences) > 0, Differences: []driftEntry{}, Remarks: append(policy.Findings{}, r.Remarks...),
		Operations: r.Operations, Rules: r.Rules, Ignored: ignored, Unnamed: r.Unnamed, Unsaid: r.Unsaid, Conditional: r.Conditional}
	for i := range r.Differences {
		d := &r.Differences[i]
		f := d.Finding()
		out.Differences = append(out.Differences, driftEntry{ID: f.ID, Kind: d.Kind, Method: d.Method, Path: d.Path, Document: placeOf(d.Document),
			Policy: placeOf(d.Policy), Asks: d.Asks, Needs: d.Needs, Message: f.Message, Hint: f.Hint, Witnesses: driftWitnesses(d)})
	}
	return out
}

func lineOf(p openapi.Place) string {
	if p.Line == 0 {
		return "-"
	}
	return p.String()
}

func placeOf(p openapi.Place) *openapi.Place {
	if p.Line == 0 {
		return nil
	}
	return &p
}

func driftWitnesses(d *openapi.Difference) []driftWitness {
	out := []driftWitness{}
	for i := range d.Witnesses {
		x := &d.Witnesses[i]
		if x.Who == nil {
			continue
		}
		out = append(out, driftWitness{Request: x.Request.Method + " " + x.Request.Path, Anonymous: x.Who.Anonymous,
			Scopes: append([]string{}, slices.Sorted(slices.Values(x.Who.Scopes))...), Document: sayOf(x.Old.Allow), Policy: sayOf(x.New.Allow), Reason: x.New.Reason})
	}
	return out
}

func sayOf(allow bool) string {
	if allow {
		return "allow"
	}
	return "deny"
}

func (w *driftWitness) text(conditional bool) string {
	who := "a token with " + strings.Join(w.Scopes, ", ")
	switch {
	case w.Anonymous:
		who = "somebody without a token"
	case len(w.Scopes) == 0:
		who = "a token without scopes"
	}
	if conditional {
		who += " that meets the conditions"
	}
	outcome := "let in by the policy, against the document"
	if w.Policy != "allow" {
		outcome = "refused by the policy (" + w.Reason + "), against the document"
	}
	return printable(w.Request + " by " + who + " is " + outcome)
}
