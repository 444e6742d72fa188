package openapi

import (
	"fmt"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// ids are the findings' ids of the kinds, in the order in which they matter.
var ids = map[Kind]string{
	Undocumented: idUndocumented, Unrouted: idUnrouted, Looser: idLooser, Stricter: idStricter, Different: idDifferent,
	Public: idPublic, Secured: idSecured, AnyForAll: idAnyForAll, AllForAny: idAllForAny, Undecided: idUndecided,
}

// ID is the id of the finding.
func (d *Difference) ID() string { return ids[d.Kind] }

// Finding words the difference for build servers, at the line where it is to be mended: that of the
// policy, or that of the document for what the policy lacks.
func (d *Difference) Finding() policy.Finding {
	at := d.Policy
	if at.File == "" || d.Kind == Unrouted {
		at = d.Document
	}
	return policy.Finding{ID: d.ID(), Severity: policy.SeverityError, File: at.File, Line: at.Line, Column: at.Column,
		Message: visible(d.Method + " " + d.Path + " is " + d.Kind.String() + ": " + d.text()), Hint: visible(d.Hint())}
}

// text says in one sentence what the two say.
func (d *Difference) text() string {
	return "the document" + d.Document.in() + " " + d.Said() + "; the policy" + d.Policy.in() + " " + d.Wanted()
}

func (p Place) in() string {
	if p.Line == 0 {
		return ""
	}
	return " (" + p.String() + ")"
}

// Said is what the document says, to stand behind its name.
func (d *Difference) Said() string {
	switch {
	case d.Kind == Undocumented:
		return "does not have it"
	case d.Kind == Undecided && d.Asks == "":
		return "could not be compared"
	case d.Asks == "":
		return "asks for what the gateway does not check"
	}
	return "asks for " + asked(d.Asks)
}

// Wanted is what the policy says, to stand behind its name.
func (d *Difference) Wanted() string {
	switch {
	case d.Kind == Unrouted:
		return "has no rule for it"
	case d.Kind == Undecided && d.Needs == "":
		return "could not be compared"
	}
	return "asks for " + asked(d.Needs)
}

// asked words a requirement.
func asked(requirement string) string {
	switch requirement {
	case wordPublic:
		return "nothing"
	case wordAuthenticated:
		return "any valid token"
	case wordNobody:
		return "what nobody has"
	}
	if inner, ok := strings.CutPrefix(requirement, "("); ok && strings.IndexByte(inner, ')') == len(inner)-1 {
		return inner[:len(inner)-1]
	}
	return requirement
}

// Hint says what would mend it, where that can be said.
func (d *Difference) Hint() string {
	switch d.Kind {
	case Undocumented:
		return "document it, close it in the policy, or pass it over by --ignore"
	case Unrouted:
		return "write a route for it, or pass it over by --ignore"
	case AnyForAll:
		return "in OpenAPI the scopes of one entry are all needed: write all: in the policy, or an entry for each scope in the document"
	case AllForAny:
		return "in OpenAPI any one of the entries is enough: write any: in the policy, or one entry with all scopes in the document"
	}
	return ""
}

// Ignore passes over differences whose requests match one of the patterns: a path of the policy
// language, as in /internal/**, or one with a method before it. It returns how many there were.
func (r *Report) Ignore(patterns []string) (int, error) {
	if len(patterns) == 0 {
		return 0, nil
	}
	ignored, err := ignoring(patterns)
	if err != nil {
		return 0, err
	}
	var left []Difference
	for _, d := range r.Differences {
		if !ignores(ignored, &d) {
			left = append(left, d)
		}
	}
	n := len(r.Differences) - len(left)
	r.Differences = left
	return n, nil
}

// ignoring makes a policy of patterns, so that they match as routes do.
func ignoring(patterns []string) ([]*policy.Policy, error) {
	var out []*policy.Policy
	for _, pattern := range patterns {
		method, path := "ANY", pattern
		if first, rest, two := strings.Cut(pattern, " "); two {
			method, path = first, strings.TrimSpace(rest)
		}
		if fault, hint := policy.CheckPattern(path); fault != "" {
			return nil, fmt.Errorf("%s is not a path pattern: %s; %s", visible(path), fault, hint)
		}
		if method != "ANY" && !policy.ValidMethod(method) {
			return nil, fmt.Errorf("%s is not a method", visible(method))
		}
		draft := policy.Draft{Service: "ignored", Routes: []policy.DraftRoute{{Template: path,
			Rules: []policy.DraftRule{{Method: method, Need: policy.Need{Word: wordPublic}}}}}}
		p, found := policy.Load("--ignore", []byte(draft.YAML()))
		if p == nil {
			return nil, found.Errors()
		}
		out = append(out, p)
	}
	return out, nil
}

func ignores(patterns []*policy.Policy, d *Difference) bool {
	for i := range d.Witnesses {
		x := &d.Witnesses[i]
		matched := false
		for _, p := range patterns {
			m := p.Match(&x.Request)
			matched = matched || x.Request.Path != "" && m.Rule != nil
		}
		if !matched {
			return false
		}
	}
	return len(d.Witnesses) > 0
}
