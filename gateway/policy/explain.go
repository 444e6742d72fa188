package policy

import "fmt"

// Explanation is a decision with what a person needs to understand it.
type Explanation struct {
	Decision Decision
	// Lost are the other routes whose patterns match the whole path, the next
	// best first. They had no say.
	Lost []Lost
	// Unmet are the conditions of the rule that the caller does not fulfil, in
	// the order of the file. Where the rule has alternatives, not all of them
	// need be met.
	Unmet []Condition
}

// Lost is a route that matches a path too, and did not win it.
type Lost struct {
	Route *Route
	// Why says at which segment the winning route was more specific.
	Why string
}

// Condition is an atom of a requirement that is not a scope, where it stands.
type Condition struct {
	Text         string
	Line, Column int
}

// Explain decides as Decide does, and adds why this route answered and which
// conditions were not met.
func (p *Policy) Explain(req *Request, c *Caller) Explanation {
	e := Explanation{Decision: p.Decide(req, c)}
	if winner := e.Decision.Match.Route; winner != nil {
		for _, r := range p.root.findAll(req.Path) {
			if r != winner {
				e.Lost = append(e.Lost, Lost{r, winner.pattern.beats(r.pattern)})
			}
		}
	}
	e.Unmet = e.Decision.Unmet()
	return e
}

// Unmet lists the conditions of the rule that the caller does not fulfil, in the
// order of the file; none for a decision that did not come to ask for them.
func (d *Decision) Unmet() []Condition {
	if d.policy == nil || !d.Match.NeedsToken() || d.Reason == ReasonTokenMissing {
		return nil
	}
	var unmet []Condition
	for i := range d.Match.Rule.conditions {
		if c := &d.Match.Rule.conditions[i]; d.met>>i&1 == 0 {
			unmet = append(unmet, Condition{c.text, c.line, c.column})
		}
	}
	return unmet
}

// beats says where p is more specific than o, which matches the same path.
func (p pattern) beats(o pattern) string {
	for i := range min(len(p.segments), len(o.segments)) {
		a, b := p.segments[i], o.segments[i]
		if a.kind != b.kind {
			return fmt.Sprintf("at segment %d %s beats %s", i+1, a, b)
		}
	}
	return "it is less specific"
}

// String is the segment as the pattern writes it, with its kind.
func (s segment) String() string {
	switch s.kind {
	case namedSegment:
		return "{" + s.text + "}"
	case tailSegment:
		return "**"
	}
	return fmt.Sprintf("the literal %q", s.text)
}
