package main

import (
	"errors"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// explainCmd decides about one request and says why. It exits with 0 when the request is
// allowed, with 1 when it is denied (a request without one reading included), and with 2 when
// a file cannot be used.
//
// A request that a gateway decided about can be given by what the gateway said of it: a line of its
// log, or the sealed explanation of a refusal. The exit code is then that of a policy which is named
// beside it, else of the decision as it was.
type explainCmd struct {
	output
	callerFlags
	Host    string   `default:"localhost" help:"The request's Host."`
	Sealed  string   `help:"A refusal's Scopegate-Explanation, @FILE, or - for standard input." placeholder:"TEXT"`
	Key     []string `help:"File of an opening key for --sealed, repeatable." placeholder:"FILE" sep:"none"`
	Log     string   `help:"A line of the decision log, @FILE, or - for standard input." placeholder:"LINE"`
	NewKey  string   `help:"Make a pair of keys for sealed explanations: FILE opens, FILE.seal is for gateways." placeholder:"FILE"`
	File    string   `arg:"" optional:"" help:"The policy, or the gateway.yaml by which the gateway judges requests and tokens."`
	Request string   `arg:"" optional:"" help:"The request: \"GET /billing/\"."`
}

// explained is what explain --format json prints.
type explained struct {
	Decision  string           `json:"decision"` // allow or deny
	Status    int              `json:"status"`   // of the gateway's own answer; 200 where the service answers
	Reason    string           `json:"reason"`
	Why       string           `json:"why"`
	Fix       []string         `json:"fix"`
	Request   askedFor         `json:"request"`
	Route     *routeRef        `json:"route"`
	Needs     string           `json:"needs"`
	Missing   []string         `json:"missing"`
	Unmet     []unmetCondition `json:"unmet"`
	MaxAge    int64            `json:"max_age,omitempty"` // seconds since the login that a step-up asks for
	ACRValues []string         `json:"acr_values,omitempty"`
	Guard     string           `json:"guard,omitempty"` // the ambiguity guard's rule that was broken
	Allow     string           `json:"allow,omitempty"`
	Near      []routeRef       `json:"near,omitempty"` // paths that may have been meant, on a 404
	Others    []matchedRoute   `json:"others"`
	Caller    *callerReport    `json:"caller"`
	Policy    string           `json:"policy"`
	Record    any              `json:"record,omitempty"` // what the gateway said of the request, whole
	Now       *explained       `json:"now,omitempty"`    // what the policy that was named decides

	file     string // of the policy; "" where it is not known
	accepted string // the place of the route that would have answered an ambiguous request
	cause    string // why a token was not taken, or what went wrong
	title    string
	note     string
	seen     [][]string // rows about the request that was recorded
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
	Line      int    `json:"line"` // 0 where it is not known
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
	if err := c.oneQuestion(); err != nil {
		return err
	}
	switch {
	case c.NewKey != "":
		return a.newExplainKey(c.NewKey)
	case c.Sealed != "" || c.Log != "":
		return c.explainRecord(a)
	}
	t, err := a.loadTarget(c.File, byHost(c.Host))
	if err != nil {
		return err
	}
	in, err := received(c.Request, c.Host)
	if err != nil {
		return err
	}
	x := newExplained(t.policy)
	x.Request = askedFor{Method: in.Method, Target: in.Target, Host: c.Host}
	caller, report, err := c.caller(a, t)
	var refused *tokenRefused
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	x.Caller = report
	x.judge(t.policy, in, caller, refused)
	if !c.describes() && x.Route != nil {
		x.note = "no caller was described, so a valid token without scopes was assumed; say more by --token, --scopes or --anonymous"
	}
	return c.finish(a, x)
}

// oneQuestion refuses what makes no sense together.
func (c *explainCmd) oneQuestion() error {
	ways := 0
	for _, given := range []bool{c.Request != "", c.Sealed != "", c.Log != "", c.NewKey != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return fail(exitUsage, "a request, --sealed, --log and --new-key each stand alone", "with --sealed and --log only a policy may be named")
	case ways == 0 && c.File == "":
		return fail(exitUsage, "nothing to explain", `give a policy and a request: gateway explain config/policies/billing.yaml "GET /billing/" --scopes a,b`)
	case ways == 0:
		return fail(exitUsage, "which request?", `write it behind the policy, as one argument: "GET /billing/"`)
	case c.NewKey != "" && c.File != "":
		return fail(exitUsage, "--new-key looks at no policy", "")
	case c.Request == "" && c.describes():
		return fail(exitUsage, "the record says who the caller was", "leave the flags that describe one out")
	case len(c.Key) > 0 && c.Sealed == "":
		return fail(exitUsage, "--key opens a --sealed explanation, and there is none", "")
	}
	return nil
}

// finish prints x and ends with its exit code.
func (c *explainCmd) finish(a *app, x *explained) error {
	x.words()
	if x.Now != nil {
		x.Now.words()
	}
	if c.json() {
		if err := a.writeJSON(x); err != nil {
			return err
		}
	} else {
		x.show(a)
	}
	verdict := x
	if x.Now != nil {
		verdict = x.Now
	}
	if verdict.Decision == "deny" {
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

func newExplained(p *policy.Policy) *explained {
	return &explained{Fix: []string{}, Missing: []string{}, Unmet: []unmetCondition{}, Others: []matchedRoute{}, Policy: p.Hash(), file: p.File()}
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
	x.Request.Method, x.Request.Path, x.Request.Host = req.Method, req.Path, req.Host
	if m := p.Match(&req); refused != nil && m.NeedsToken() {
		x.place(&m)
		x.Decision = "deny"
		x.Reason, x.Status, x.cause = refused.reason, refused.status(), refused.detail
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
			x.Unmet = append(x.Unmet, unmetCondition{x.spell(u.Text), has(p.ClaimNames(), caller, u.Text), u.Line})
		}
	}
	maxAge, acr := d.StepUp()
	x.MaxAge, x.ACRValues = int64(maxAge/time.Second), acr
	for _, r := range e.Lost {
		x.Others = append(x.Others, matchedRoute{r.Route.Template(), r.Route.File(), r.Route.Line(), r.Why})
	}
	x.look(p, &req, d)
}

// refuseReading is the answer to a request that has no single reading.
func (x *explained) refuseReading(g *policy.GuardError) {
	x.Decision, x.Reason, x.Guard = "deny", g.Reason.String(), g.Rule.String()
	x.Status = map[policy.GuardKind]int{policy.KindBadRequest: 400, policy.KindNotImplemented: 501, policy.KindVersion: 505}[g.Kind]
}

// look finds what stands beside the path that was asked for, where no rule answers.
func (x *explained) look(p *policy.Policy, req *policy.Request, d *policy.Decision) {
	switch d.Reason {
	case policy.ReasonAmbiguousRequest:
		plain := *req
		plain.Broken = 0 // which route would have answered, had it accepted everything
		if route := p.Match(&plain).Route; route != nil && d.Match.Guard.Waivable() {
			x.accepted = route.Template() + " at " + place(route.File(), route.Line())
		}
	case policy.ReasonNoRoute:
		for _, r := range p.Near(req.Path) {
			x.Near = append(x.Near, routeRef{Path: r.Template(), File: r.File(), Line: r.Line()})
		}
	case policy.ReasonMethodNotAllowed:
		x.Allow = d.Match.Route.Allow()
	}
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
