package main

import (
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// differences is what diff --format json prints.
type differences struct {
	Changes   []changeReport `json:"changes"`
	NewAccess bool           `json:"new_access"` // proven by a change
	Exact     bool           `json:"exact"`      // there are no other changes than these, and each is proven
	Old       string         `json:"old"`
	New       string         `json:"new"`
	Services  []serviceDiff  `json:"services"`
}

// serviceDiff is how one service fared. A policy that is not there has no file.
type serviceDiff struct {
	Service string `json:"service"`
	Old     string `json:"old,omitempty"` // the file
	New     string `json:"new,omitempty"`
	Changes int    `json:"changes"`
	Exact   bool   `json:"exact"`
}

// changeReport is one change with its witness: a request and a caller that the
// two policies were asked about. May_widen and may_tighten have no caller.
type changeReport struct {
	Kind    policy.ChangeKind `json:"kind"`
	Service string            `json:"service"`
	Method  string            `json:"method"`
	// Methods are all those for which the two rules answer; ANY stands for every
	// method that neither path names.
	Methods   []string          `json:"methods"`
	Path      string            `json:"path"`
	Target    string            `json:"target"` // the path as it is sent, with a query where that matters
	Headers   map[string]string `json:"headers,omitempty"`
	Anonymous bool              `json:"anonymous"`
	Scopes    []string          `json:"scopes"`
	Claims    map[string]any    `json:"claims"`
	Issuer    string            `json:"issuer,omitempty"`
	AuthAge   string            `json:"auth_age,omitempty"`
	ACR       string            `json:"acr,omitempty"`
	Exception string            `json:"exception,omitempty"` // the guard's rule that the request breaks
	Upgrade   string            `json:"upgrade,omitempty"`   // the protocol that the request asks for
	Who       string            `json:"who"`                 // the caller in words
	Try       string            `json:"try,omitempty"`
	Old       answerReport      `json:"old"`
	New       answerReport      `json:"new"`
}

// answerReport is what one policy says to the witness. Route and Method are the
// rule's own, null where there is none; the line is then the path's.
type answerReport struct {
	Decision string  `json:"decision"` // allow or deny; "" where it is not known
	Reason   string  `json:"reason"`
	Route    *string `json:"route"`
	Method   *string `json:"method"`
	Needs    string  `json:"needs,omitempty"`
	File     string  `json:"file,omitempty"`
	Line     int     `json:"line,omitempty"`
}

func (d *difference) result() differences {
	out := differences{Changes: []changeReport{}, NewAccess: d.newAccess(), Exact: d.exact(), Old: d.old.name, New: d.new.name, Services: []serviceDiff{}}
	for _, c := range d.services {
		out.Services = append(out.Services, serviceDiff{c.service, c.old.name(), c.new.name(), len(c.Changes), c.Exact})
		for i := range c.Changes {
			out.Changes = append(out.Changes, c.report(&c.Changes[i]))
		}
	}
	return out
}

func (s *sided) name() string {
	if s == nil {
		return ""
	}
	return s.file
}

func (c *compared) report(x *policy.Change) changeReport {
	r := changeReport{Kind: x.Kind, Service: c.service, Method: x.Received.Method, Methods: x.Methods, Path: x.Request.Path, Target: x.Received.Target,
		Scopes: []string{}, Claims: map[string]any{}, Exception: x.Exception.String(), Upgrade: x.Upgrade, Who: whoWords(x.Who), Try: c.try(x),
		Old: answerOf(&x.Old, x.Who != nil), New: answerOf(&x.New, x.Who != nil)}
	for _, method := range x.Received.Overrides {
		r.Headers = map[string]string{overrideField: method}
	}
	if who := x.Who; who != nil {
		r.Anonymous, r.Issuer, r.ACR = who.Anonymous, who.Issuer, who.ACR
		r.Scopes = append(r.Scopes, who.Scopes...)
		for name, value := range who.Claims {
			r.Claims[name] = value
		}
		if who.AuthAgeKnown {
			r.AuthAge = exactly(who.AuthAge)
		}
	}
	return r
}

// overrideField is one of the fields by which clients ask for another method.
const overrideField = "X-HTTP-Method-Override"

func answerOf(a *policy.Answer, known bool) answerReport {
	r := answerReport{Reason: a.Reason}
	switch {
	case !known:
	case a.Allow:
		r.Decision = "allow"
	default:
		r.Decision = "deny"
	}
	if a.Route != nil {
		template := a.Route.Template()
		r.Route, r.File, r.Line = &template, a.Route.File(), a.Route.Line()
	}
	if a.Rule != nil {
		method := a.Rule.Method()
		r.Method, r.Line, r.Needs = &method, a.Rule.Line(), a.Rule.Requirement()
	}
	return r
}

// try is a command that shows the change; "" where there is none.
func (c *compared) try(x *policy.Change) string {
	file := ""
	switch {
	case c.new != nil && c.new.disk != "":
		file = c.new.disk
	case c.old != nil && c.old.disk != "":
		file = c.old.disk
	}
	words := explaining(x, file)
	for i, word := range words {
		words[i] = shellWord(word)
	}
	return strings.Join(words, " ")
}

// explaining is the command that asks a policy about the witness; nil where the
// policy is not a file on disk, and for what explain cannot ask.
func explaining(x *policy.Change, file string) []string {
	if file == "" || x.Who == nil || x.Upgrade != "" || x.Exception == policy.RuleQueryToken || len(x.Received.Overrides) > 0 {
		return nil
	}
	words := []string{"gateway", "explain", file, x.Received.Method + " " + x.Received.Target}
	return append(words, callerWords(x.Who)...)
}
