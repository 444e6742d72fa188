package main

import (
	"errors"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// explainCmd decides about one request and says why. It exits with 0 when the request is
// allowed, with 1 when it is denied (a request without one reading included), and with 2 when
// the policy cannot be read.
type explainCmd struct {
	output
	callerFlags
	Host    string `default:"localhost" help:"The request's Host."`
	File    string `arg:"" help:"The policy."`
	Request string `arg:"" help:"The request: \"GET /billing/\"."`
}

// explained is what explain --format json prints.
type explained struct {
	Decision string           `json:"decision"` // allow or deny
	Status   int              `json:"status"`   // of the gateway's own answer; 200 where the service answers
	Reason   string           `json:"reason"`
	Why      string           `json:"why"`
	Fix      []string         `json:"fix"`
	Request  askedFor         `json:"request"`
	Route    *routeRef        `json:"route"`
	Needs    string           `json:"needs"`
	Missing  []string         `json:"missing"`
	Unmet    []unmetCondition `json:"unmet"`
	Guard    string           `json:"guard,omitempty"` // the ambiguity guard's rule that was broken
	Allow    string           `json:"allow,omitempty"`
	Others   []matchedRoute   `json:"others"`
	Caller   *callerReport    `json:"caller"`
	Policy   string           `json:"policy"`
}

// askedFor is the request: the target as it was given, and the rest as it is judged. The path is
// empty when it has no single reading.
type askedFor struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Path   string `json:"path"`
	Host   string `json:"host"`
}

// routeRef is the winning route. Method is the rule's, null on a 405; the line is then the
// path's.
type routeRef struct {
	Path   string  `json:"path"`
	Method *string `json:"method"`
	File   string  `json:"file"`
	Line   int     `json:"line"`
}

// unmetCondition is a condition of the rule that the caller does not fulfil, and what the token
// has in its place.
type unmetCondition struct {
	Condition string `json:"condition"`
	Has       string `json:"has"`
	Line      int    `json:"line"`
}

// matchedRoute is a route that matches the path too, and lost.
type matchedRoute struct {
	Path string `json:"path"`
	File string `json:"file"`
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// Run explains one request.
func (c *explainCmd) Run(a *app) error {
	p, err := a.loadPolicy(c.File)
	if err != nil {
		return err
	}
	in, err := received(c.Request, c.Host)
	if err != nil {
		return err
	}
	x := &explained{Fix: []string{}, Missing: []string{}, Unmet: []unmetCondition{}, Others: []matchedRoute{}, Policy: p.Hash(),
		Request: askedFor{Method: in.Method, Target: in.Target, Host: c.Host}}
	caller, report, err := c.caller(a, p)
	var refused *tokenRefused
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	x.Caller = report
	x.judge(p, in, caller, refused)
	if err := x.show(a, c.json()); err != nil {
		return err
	}
	if x.Decision == "deny" {
		return quietly(exitFailed)
	}
	return nil
}

// received takes "METHOD target" apart. What follows the first space is the target, whatever it
// holds: explain exists for targets that are not well-formed.
func received(request, host string) (*policy.Received, error) {
	method, target, ok := strings.Cut(request, " ")
	if !ok {
		if !strings.HasPrefix(request, "/") {
			return nil, fail(exitUsage, "the request "+request+" is no method and target", `write it as one argument, like "GET /billing/"`)
		}
		method, target = "GET", request
	}
	in := &policy.Received{Method: method, Target: target, Hosts: []string{host}, ProtoMajor: 1, ProtoMinor: 1}
	if !strings.HasPrefix(target, "/") {
		in.Hosts = nil // an absolute-form target brings its own
		if !strings.Contains(target, "://") {
			in.Hosts = []string{host}
		}
	}
	return in, nil
}

// judge takes the steps of the data path in its order: the reading, the route, the token, the
// rule.
func (x *explained) judge(p *policy.Policy, in *policy.Received, caller *policy.Caller, refused *tokenRefused) {
	req, err := policy.NewRequest(in)
	var guard *policy.GuardError
	if errors.As(err, &guard) {
		x.refuseReading(guard)
		return
	}
	x.Request = askedFor{Method: req.Method, Target: in.Target, Path: req.Path, Host: req.Host}
	if m := p.Match(&req); refused != nil && m.NeedsToken() {
		x.place(&m)
		x.refuseToken(refused)
		return
	}
	e := p.Explain(&req, caller)
	d := &e.Decision
	x.place(&d.Match)
	x.Reason, x.Status, x.Decision = d.Reason.String(), statusOf(d.Reason), "deny"
	if d.Allow {
		x.Decision = "allow"
	}
	x.Missing = append(x.Missing, d.Missing()...)
	if !d.Allow {
		for _, u := range e.Unmet {
			x.Unmet = append(x.Unmet, unmetCondition{u.Text, has(p, caller, u.Text), u.Line})
		}
	}
	for _, r := range e.Lost {
		x.Others = append(x.Others, matchedRoute{r.Route.Template(), r.Route.File(), r.Route.Line(), r.Why})
	}
	x.explain(p, &req, &e)
}

// place fills in the winning route.
func (x *explained) place(m *policy.Match) {
	x.Guard = m.Guard.String()
	if m.Route == nil {
		return
	}
	x.Request.Method = m.Method
	x.Route = &routeRef{Path: m.Route.Template(), File: m.Route.File(), Line: m.Route.Line()}
	if m.Rule != nil {
		method := m.Rule.Method()
		x.Route.Method, x.Route.Line, x.Needs = &method, m.Rule.Line(), m.Rule.Requirement()
	}
}

// statusOf is the status that the data port answers with; 200 stands for the service's own.
func statusOf(r policy.Reason) int {
	switch r {
	case policy.ReasonAllowed, policy.ReasonPublic:
		return 200
	case policy.ReasonAmbiguousRequest, policy.ReasonMalformed:
		return 400
	case policy.ReasonNoRoute:
		return 404
	case policy.ReasonMethodNotAllowed:
		return 405
	case policy.ReasonTokenMissing, policy.ReasonStepUpRequired:
		return 401
	}
	return 403
}
