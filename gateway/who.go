package main

import (
	"errors"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// whoCmd shows the smallest sets of scopes that may make one request. It exits with 0 whatever
// the answer is, "nobody" included, and with 2 when the policy cannot be read.
type whoCmd struct {
	output
	Host    string `default:"localhost" help:"The request's Host."`
	File    string `arg:"" help:"The policy."`
	Request string `arg:"" help:"The request: \"DELETE /billing/\"."`
}

// audience is what who --format json prints. Scopes are the minimal sets, Ways the same with the
// conditions that each must meet; one set can stand in several ways. Exact is false when there
// are more than are listed.
type audience struct {
	Request    askedFor   `json:"request"`
	Public     bool       `json:"public"`
	Scopes     [][]string `json:"scopes"`
	Conditions []string   `json:"conditions"`
	Ways       []wayIn    `json:"ways"`
	Exact      bool       `json:"exact"`
	Reason     string     `json:"reason,omitempty"` // why nobody may
	Why        string     `json:"why"`
	Route      *routeRef  `json:"route"`
	Needs      string     `json:"needs"`
	Policy     string     `json:"policy"`
}

// wayIn is one minimal set of scopes with its conditions.
type wayIn struct {
	Scopes     []string `json:"scopes"`
	Conditions []string `json:"conditions"`
}

// Run answers who may.
func (c *whoCmd) Run(a *app) error {
	p, err := a.loadPolicy(c.File)
	if err != nil {
		return err
	}
	in, err := received(c.Request, c.Host)
	if err != nil {
		return err
	}
	w := &audience{Scopes: [][]string{}, Conditions: []string{}, Ways: []wayIn{}, Exact: true, Policy: p.Hash(),
		Request: askedFor{Method: in.Method, Target: in.Target, Host: c.Host}}
	w.ask(p, in)
	if c.json() {
		return a.writeJSON(w)
	}
	w.print(a, p)
	return nil
}

// ask fills in the answer. What nobody may is explained as explain does it.
func (w *audience) ask(p *policy.Policy, in *policy.Received) {
	x := newExplained(p)
	x.Request = w.Request
	req, err := policy.NewRequest(in)
	var guard *policy.GuardError
	if errors.As(err, &guard) {
		x.refuseReading(guard)
		x.words()
		w.Reason, w.Why = x.Reason, "Nobody. "+x.Why
		return
	}
	w.Request = askedFor{Method: req.Method, Target: in.Target, Path: req.Path, Host: req.Host}
	access := p.Who(&req)
	x.Request = w.Request
	x.place(&access.Match)
	w.Route, w.Needs, w.Public, w.Exact = x.Route, x.Needs, access.Public, access.Exact
	w.Request.Method = x.Request.Method
	w.Scopes = append(w.Scopes, access.Scopes...)
	for _, way := range access.Ways {
		w.Ways = append(w.Ways, wayIn{way.Scopes, texts(way.Conditions)})
	}
	w.Conditions = texts(access.Conditions())
	switch {
	case access.Match.Reason != policy.ReasonNone:
		x.judge(p, in, &policy.Caller{Anonymous: true}, nil)
		x.words()
		w.Reason, w.Why = access.Match.Reason.String(), "Nobody. "+x.Why
	default:
		w.Why = w.words()
	}
}

// words is the answer in a sentence.
func (w *audience) words() string {
	switch {
	case w.Public:
		return "Everybody, with a token or without: the rule is public."
	case len(w.Ways) == 0 && w.Exact:
		return "Nobody: no token can meet all the conditions of the rule at once."
	case len(w.Ways) == 0:
		return "Not known: the rule has too many alternatives to list, and none that was tried can be met."
	case len(w.Ways[0].Scopes) == 0 && len(w.Ways[0].Conditions) == 0:
		return "Whoever has a valid token. No scope is needed."
	case len(w.Ways) == 1:
		return "Whoever has a valid token with this"
	}
	return "Whoever has a valid token with one of these"
}

func texts(conditions []policy.Condition) []string {
	out := []string{}
	for _, c := range conditions {
		out = append(out, c.Text)
	}
	return out
}

func (w *audience) print(a *app, p *policy.Policy) {
	listed := len(w.Ways) > 0 && len(w.Ways[0].Scopes)+len(w.Ways[0].Conditions) > 0
	if a.printf("%s", w.Why); !listed {
		a.printf("\n")
	} else {
		a.printf(":\n")
		for _, way := range w.Ways {
			a.printf("  - %s\n", way.words(p))
		}
	}
	if !w.Exact {
		a.printf("These are some of many: the rule has too many alternatives to list them all.\n")
	}
	a.printf("\n")
	x := &explained{Request: w.Request, Route: w.Route, Needs: w.Needs, Policy: w.Policy}
	writeTable(a.stdout, "  ", x.facts())
}

// words names the scopes and conditions of a way, and what an umbrella among the scopes implies.
func (way *wayIn) words(p *policy.Policy) string {
	var parts []string
	for _, s := range p.Vocabulary() {
		for _, name := range way.Scopes {
			if name != s.Name {
				continue
			}
			if len(s.Implies) > 0 {
				name += " (which implies " + strings.Join(s.Implies, ", ") + ")"
			}
			parts = append(parts, name)
		}
	}
	if len(parts) == 0 && len(way.Conditions) > 0 {
		parts = append(parts, "any scopes or none")
	}
	if len(way.Conditions) > 0 {
		parts = append(parts, way.Conditions...)
	}
	return strings.Join(parts, " and ")
}
