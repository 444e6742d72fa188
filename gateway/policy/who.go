package policy

import (
	"slices"
	"strings"
)

// Access says who may make one request.
type Access struct {
	// Match is the rule that answers, or why none does.
	Match Match
	// Public tells that no token is asked for.
	Public bool
	// Ways are the minimal ways in, the one with the fewest rights first. It is
	// empty when nobody may, and holds one way without scopes where any token,
	// or none, will do.
	Ways []Way
	// Scopes are the minimal sets of scopes, each sorted, in the order of Ways:
	// a token that lists one of them may, once it meets the conditions of a way
	// with those scopes, and no part of the set may, whatever else the token
	// says.
	Scopes [][]string
	// Exact is false when there are too many ways to list them all. Those listed
	// are right, and a token that fits none of them may be let in too.
	Exact bool
}

// Way is one minimal way to fulfil a rule: of no other way are the scopes and
// the conditions among those of this one.
type Way struct {
	// Scopes are the words that the token lists, sorted.
	Scopes []string
	// Conditions must be met beside them, in the order of the file. A condition
	// on a segment of the path says what it is here.
	Conditions []Condition
	// Caller is one that comes this way, and was let in by Decide.
	Caller *Caller
}

// Who answers which callers may make a request. Every way that it lists was
// confirmed by Decide for a caller made for it.
func (p *Policy) Who(req *Request) Access {
	access := Access{Match: p.Match(req), Exact: true}
	rule := access.Match.Rule
	switch {
	case access.Match.Public():
		access.Public = true
		access.Ways = []Way{{Scopes: []string{}, Caller: &Caller{Anonymous: true}}}
		access.Scopes = [][]string{{}}
		return access
	case !access.Match.NeedsToken():
		return access
	}
	a := p.analyse(rule)
	ways, exact := a.ways()
	access.Exact = exact
	var real []way
	for _, w := range ways {
		c, scopes, ok := a.holder(w, req.Path)
		if !ok {
			continue // no token can say all of it
		}
		if d := p.Decide(req, c); !d.Allow {
			access.Exact = false
			continue
		}
		real = append(real, w)
		access.Ways = append(access.Ways, Way{Scopes: scopes, Conditions: rule.described(w.met, req.Path), Caller: c})
	}
	for _, s := range scopesOnly(real) {
		access.Scopes = append(access.Scopes, p.vocabulary.names(s))
	}
	return access
}

// described lists conditions in words, with what a segment of the path is.
func (r *Rule) described(met uint64, path string) []Condition {
	var out []Condition
	for i := range r.conditions {
		c := &r.conditions[i]
		if met>>i&1 == 0 {
			continue
		}
		var here []string
		for _, v := range c.values {
			if text := v.here(path); text != "" {
				here = append(here, text)
			}
		}
		text := c.text
		if len(here) > 0 {
			text += " (here " + printable(strings.Join(here, " or ")) + ")"
		}
		out = append(out, Condition{text, c.line, c.column})
	}
	return out
}

// here is the text of the segment that a value stands for, "" for a fixed value
// and for a segment that equals nothing.
func (a accepted) here(path string) string {
	if a.segment < 0 || exceptionIn(nthSegment(path, a.segment)) {
		return ""
	}
	return decodeSegment(nthSegment(path, a.segment))
}

// Conditions lists the conditions of all ways, each once, in the order of the
// file.
func (a *Access) Conditions() []Condition {
	var out []Condition
	for _, w := range a.Ways {
		for _, c := range w.Conditions {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y Condition) int {
		if x.Line != y.Line {
			return x.Line - y.Line
		}
		return x.Column - y.Column
	})
	return out
}
