package main

import (
	"errors"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// canCmd shows everything that one token may do. It exits with 0 whatever that is, and with 2
// when the policy cannot be read.
type canCmd struct {
	output
	callerFlags
	File string `arg:"" help:"The policy."`
}

// matrix is what can --format json prints.
type matrix struct {
	Service string        `json:"service"`
	Policy  string        `json:"policy"`
	Caller  *callerReport `json:"caller"`
	Routes  []cell        `json:"routes"`
}

// cell is the answer of one rule. Request is what was decided: the rule's path with something in
// the place of names and tails. Missing scopes are any one set that would do.
type cell struct {
	Path     string   `json:"path"`
	Method   string   `json:"method"` // as the policy writes it: GET also for HEAD, ANY for every method not named
	Decision string   `json:"decision"`
	Reason   string   `json:"reason"`
	Request  string   `json:"request"`
	Missing  []string `json:"missing"`
	Note     string   `json:"note,omitempty"`
	Line     int      `json:"line"`
}

// Run prints the matrix.
func (c *canCmd) Run(a *app) error {
	p, err := a.loadPolicy(c.File)
	if err != nil {
		return err
	}
	caller, report, err := c.caller(a, &target{policy: p})
	var refused *tokenRefused
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	m := matrix{Service: p.Service(), Policy: p.Hash(), Caller: report, Routes: []cell{}}
	for _, route := range p.Routes() {
		for _, rule := range route.Rules() {
			m.Routes = append(m.Routes, cellOf(p, rule, caller, refused))
		}
	}
	if c.json() {
		return a.writeJSON(m)
	}
	m.print(a, refused)
	return nil
}

// cellOf decides about requests that the rule answers. Where the rule compares a part of the
// path with a claim, the token may do what it may do on its own part.
func cellOf(p *policy.Policy, rule *policy.Rule, caller *policy.Caller, refused *tokenRefused) cell {
	out := cell{Path: rule.Route().Template(), Method: rule.Method(), Line: rule.Line(), Missing: []string{}}
	requests := p.Samples(rule, caller)
	if len(requests) == 0 {
		out.Decision, out.Reason = "deny", policy.ReasonNoRoute.String()
		out.Note = "no request gets here: more specific paths cover all of it"
		return out
	}
	for i := range requests {
		req := &requests[i]
		d := p.Decide(req, caller)
		if i > 0 && !d.Allow {
			continue
		}
		out.Request = req.Method + " " + req.Path
		out.Decision, out.Reason = verdictOf(&d), d.Reason.String()
		out.Missing = append(out.Missing[:0], d.Missing()...)
		if refused != nil && d.Match.NeedsToken() {
			out.Decision, out.Reason, out.Missing = "deny", refused.reason, []string{}
		}
		if i > 0 {
			out.Note = "where the path is the token's own, as in " + printable(req.Path)
		}
		if out.Decision == "allow" {
			break
		}
	}
	return out
}

func verdictOf(d *policy.Decision) string {
	if d.Allow {
		return "allow"
	}
	return "deny"
}

func (m *matrix) print(a *app, refused *tokenRefused) {
	rows := [][]string{{"PATH", "METHOD", "DECISION", "REASON", ""}}
	path, allowed := "", 0
	for _, c := range m.Routes {
		shown := c.Path
		if shown == path {
			shown = ""
		}
		path = c.Path
		verdict, note := "-", c.Note
		if c.Decision == "allow" {
			verdict, allowed = "ALLOW", allowed+1
		}
		if len(c.Missing) > 0 {
			note = "missing " + strings.Join(c.Missing, ", ")
		}
		rows = append(rows, []string{shown, c.Method, verdict, c.Reason, note})
	}
	writeTable(a.stdout, "", rows)
	a.printf("\n")
	if m.Caller != nil {
		writeTable(a.stdout, "", m.Caller.facts())
	}
	if refused != nil {
		a.printf("The token is not accepted: %s.\n", refused.detail)
	}
	a.printf("%d of %s allowed, service %s, policy %s\n", allowed, count(len(m.Routes), "rule"), m.Service, m.Policy)
	a.printf("GET answers HEAD too, ANY every method not named. Every other path is 404, every other method of these paths 405.\n")
	if m.Caller != nil && m.Caller.Token != nil {
		a.printf("Note: %s.\n", m.Caller.Token.Note)
	}
}
