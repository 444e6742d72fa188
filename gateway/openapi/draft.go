package openapi

import (
	"fmt"
	"maps"
	"slices"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Draft is what a document became.
type Draft struct {
	// Policy is the policy file, which loads.
	Policy []byte
	// Findings say what was closed, left out or taken otherwise than it stands there, by place.
	Findings policy.Findings
	// Operations were found in the document; of those Closed became `nobody`, and LeftOut no rule.
	Operations, Closed, LeftOut int
	Routes, Rules, Scopes       int

	routes  []*route
	leftOut []leftOut
	scopes  []policy.Scope // the document's own
}

// route is a path of the draft with its rules.
type route struct {
	template string
	notes    []string
	rules    []rule
	place    Place
	path     string // as the document writes it
}

// rule is a method of a route, and the operation that it comes from.
type rule struct {
	operation
	demand
}

// beyond reports whether the operation asks for nothing that the gateway checks, but for something.
func (r *rule) beyond() bool { return r.unsaid && r.need.Word == wordNobody }

// leftOut is an operation without a rule, why, and the template that takes it in, "" for none.
type leftOut struct {
	operation
	why, wider string
}

// finish reports what is said of many operations at once, and writes the policy.
func (im *importer) finish() (*Draft, error) {
	d := im.draft
	if len(d.routes) == 0 {
		return nil, fmt.Errorf("%w: %s: it has no operation that a policy can name; %s, of which %d left out",
			ErrUnusable, im.doc.file, count(d.Operations, "operation"), d.LeftOut)
	}
	im.summarize()
	text := im.policy()
	d.Policy = []byte(text.YAML())
	d.Routes, d.Scopes = len(text.Routes), len(text.Scopes)
	d.Findings = im.found
	sortFindings(d.Findings)
	if _, found := policy.Load("the draft", d.Policy); found.HasErrors() {
		return nil, fmt.Errorf("%w: %s: no policy can hold it: %w", ErrUnusable, im.doc.file, found.Errors()[:1])
	}
	return d, nil
}

func (im *importer) summarize() {
	top, _ := im.doc.field(im.doc.tree.Origin, "openapi")
	if im.unsecured > 0 {
		im.report(top, idUnsecured, "say otherwise by --unsecured authenticated or --unsecured public",
			"the document does not say who may use %s: neither they nor the document have `security:`; they become %s",
			count(im.unsecured, "operation"), im.options.Unsecured)
	}
	for _, name := range slices.Sorted(maps.Keys(im.unfitSchemes)) {
		s := im.doc.scheme(name)
		where := top
		if s.Origin != nil && s.Origin.Key != nil {
			where = im.doc.at(*s.Origin.Key)
		}
		im.report(where, idScheme, "if its value is a Bearer token after all, say --bearer "+name,
			"the gateway does not check the security scheme %s, %s; it is asked for in %s, and lets nobody in", name, kindOf(s), count(im.unfitSchemes[name], "place"))
	}
	if im.foreign > 0 {
		im.report(im.foreignAt, idServers, "remove the rules of those that this service does not answer",
			"%s servers of their own, the first here; their paths are taken for this service's, below %s", having(im.foreign), im.base+"/")
	}
	for use, where := range im.uses {
		s := im.doc.scheme(use.scheme)
		if _, known := declared(s)[use.scope]; s.Flows != nil && !known {
			im.report(where, idUndeclared, "", "the security scheme %s does not declare the scope %s", use.scheme, use.scope)
		}
	}
}

func having(n int) string {
	if n == 1 {
		return "1 operation has"
	}
	return fmt.Sprintf("%d operations have", n)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// maxNotes bounds the list of what is left out, in the draft; the findings have all of it.
const maxNotes = 50

// policy is the draft in the policy language.
func (im *importer) policy() *policy.Draft {
	im.draft.scopes = im.vocabulary()
	out := &policy.Draft{Service: im.options.Service, Scopes: im.shared(), Notes: []string{
		"Drafted by `gateway openapi import` from " + im.doc.file + ": read it before it is used.",
	}}
	for _, r := range im.draft.routes {
		made := policy.DraftRoute{Template: r.template, Notes: r.notes}
		for i := range r.rules {
			one := &r.rules[i]
			if one.need.Word == wordNobody {
				im.draft.Closed++
			}
			need := one.need
			if im.options.compare && one.beyond() {
				need.Word = wordAuthenticated
			}
			made.Rules = append(made.Rules, policy.DraftRule{Method: one.method, Need: need, Note: one.note})
			im.draft.Rules++
		}
		out.Routes = append(out.Routes, made)
	}
	for i, l := range im.draft.leftOut {
		if i == maxNotes {
			out.Notes = append(out.Notes, fmt.Sprintf("and %d more are left out.", len(im.draft.leftOut)-i))
			break
		}
		out.Notes = append(out.Notes, "Left out: "+l.method+" "+l.path+": "+l.why)
	}
	return out
}

// vocabulary is every scope that some rule asks for, and every other one that the schemes declare
// and a policy can name.
func (im *importer) vocabulary() []policy.Scope {
	abouts := map[string]string{}
	for use := range im.uses {
		abouts[use.scope] = ""
	}
	if c := im.doc.tree.Components; c != nil {
		for _, name := range slices.Sorted(maps.Keys(c.SecuritySchemes)) {
			for scope, about := range declared(im.doc.scheme(name)) {
				if fault, _ := policy.CheckScope(scope); fault == "" && abouts[scope] == "" {
					abouts[scope] = about
				}
			}
		}
	}
	var out []policy.Scope
	for _, name := range slices.Sorted(maps.Keys(abouts)) {
		out = append(out, policy.Scope{Name: name, About: abouts[name]})
	}
	return out
}

// shared is the document's vocabulary with that of the policy that it is compared with.
func (im *importer) shared() []policy.Scope {
	out, known := slices.Clone(im.options.vocabulary), map[string]bool{}
	for _, s := range out {
		known[s.Name] = true
	}
	for _, s := range im.draft.scopes {
		if !known[s.Name] {
			out = append(out, s)
		}
	}
	return out
}
