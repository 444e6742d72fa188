package policy

import (
	"slices"
	"strings"
)

// Mutation says how many of a policy's mutants its personas notice: those under which some
// expectation that holds fails.
type Mutation struct {
	Killed    int
	Survivors []Survivor // by line, then in the order of Mutants
	// Proposed are personas under which no mutant survives and nothing is uncovered: those of the
	// report's coverage, and what the survivors need besides. Their names are new, and the policy as
	// it is gives them what they expect.
	Proposed []Persona
}

// Survivor is a mistake that no persona notices.
type Survivor struct {
	Mistake
	// Persona would notice it, by its only expectation; it is one of Proposed with nothing else.
	Persona Persona
}

// Score is the share of mutants that are noticed, from 0 to 100; 100 of none.
func Score(killed, survived int) float64 {
	if killed+survived == 0 {
		return 100
	}
	return 100 * float64(killed) / float64(killed+survived)
}

// Mutate asks of each mutant whether the expectations of a report notice it; the report is one that
// Test of this policy returned, and is used once. progress is that of Mutants.
func (p *Policy) Mutate(report *Report, progress func(done, total int)) Mutation {
	var out Mutation
	w := newWatch(p)
	for i := range report.Outcomes {
		if o := &report.Outcomes[i]; o.Passed() && o.request != nil {
			w.add(&guard{Outcome: o})
		}
	}
	pr := report.proposer
	for i := range report.Coverage.Proposed {
		w.propose(&report.Coverage.Proposed[i])
	}
	for m := range p.Mutants(progress) {
		g := w.notice(m)
		if g == nil {
			alone := pr.add(m.Who, &m.Request, false)
			g = w.propose(alone)[0]
		}
		if g.proposed == nil {
			out.Killed++
		} else {
			out.Survivors = append(out.Survivors, Survivor{m.Mistake, *g.proposed})
		}
	}
	slices.SortStableFunc(out.Survivors, func(a, b Survivor) int { return a.Line - b.Line })
	out.Proposed = pr.personas()
	return out
}

// guard is an expectation that holds, of the report or of a proposed persona.
type guard struct {
	*Outcome
	proposed *Persona // with this expectation alone; nil for one of the report
}

// fails reports whether the expectation would not hold under a mutant.
func (g *guard) fails(m *Mutant) bool {
	caller := g.caller
	if m.scope >= 0 { // the token's words mean more
		caller = g.who.Caller(m.Policy)
	}
	o := *g.Outcome
	o.Decision = m.Policy.Decide(g.request, caller)
	return !o.Passed()
}

// watch finds the expectations that a mutant may reach, in the order in which they were added.
type watch struct {
	policy  *Policy
	all     []*guard
	route   map[*Route][]*guard
	paths   []*watched
	path    map[string]*watched
	segment map[segmentAt][]*watched
}

// watched is a path that expectations ask for, and the route that answers.
type watched struct {
	path   string
	route  *Route
	guards []*guard
}

// segmentAt is a text in one place of a path.
type segmentAt struct {
	place int
	text  string
}

func newWatch(p *Policy) *watch {
	return &watch{policy: p, route: map[*Route][]*guard{}, path: map[string]*watched{}, segment: map[segmentAt][]*watched{}}
}

func (w *watch) add(g *guard) {
	at := w.at(g.request.Path)
	at.guards = append(at.guards, g)
	w.all = append(w.all, g)
	w.route[at.route] = append(w.route[at.route], g)
}

// at finds what is known of a path, and begins to watch one that is new.
func (w *watch) at(path string) *watched {
	known := w.path[path]
	if known != nil {
		return known
	}
	known = &watched{path: path, route: w.policy.root.find(path)}
	w.path[path] = known
	w.paths = append(w.paths, known)
	place := 0
	for text := range strings.SplitSeq(path[1:], "/") {
		at := segmentAt{place, text}
		w.segment[at] = append(w.segment[at], known)
		place++
	}
	return known
}

// propose adds the expectations of a persona that nobody wrote yet.
func (w *watch) propose(persona *Persona) (added []*guard) {
	caller := persona.Caller(w.policy)
	for _, list := range []struct {
		expectations []Expectation
		want         bool
	}{{persona.Allow, true}, {persona.Deny, false}} {
		for i, e := range list.expectations {
			alone := *persona
			alone.Allow, alone.Deny = nil, list.expectations[i:i+1]
			if list.want {
				alone.Allow, alone.Deny = alone.Deny, nil
			}
			o := &Outcome{Persona: persona.Name, Expectation: e, Want: list.want, who: persona, caller: caller}
			w.policy.answer(o)
			g := &guard{o, &alone}
			w.add(g)
			added = append(added, g)
		}
	}
	return added
}

// notice is the first expectation that fails under the mutant, nil when all hold; those of the
// report come before those that are proposed.
func (w *watch) notice(m *Mutant) (first *guard) {
	for _, g := range w.near(m) {
		if (first == nil || first.proposed != nil && g.proposed == nil) && g.fails(m) {
			first = g
		}
		if first != nil && first.proposed == nil {
			break
		}
	}
	return first
}

// near lists every expectation that may fail: those that the changed route answers, or that
// another route answers since a path is wider; for an implication those whose token has the scope.
func (w *watch) near(m *Mutant) (out []*guard) {
	switch {
	case m.scope >= 0:
		for _, g := range w.all {
			if !g.who.Anonymous && g.caller.Scopes.bits.has(m.scope) {
				out = append(out, g)
			}
		}
		return out
	case len(m.wider.segments) == 0:
		return w.route[m.route]
	}
	for _, at := range w.below(m.wider) {
		if m.Policy.root.find(at.path) != at.route {
			out = append(out, at.guards...)
		}
	}
	return out
}

// below lists the paths that have some literal segment in common with a pattern: of its segments
// the one that the fewest have. For a pattern without literals it is all of them.
func (w *watch) below(wider pattern) []*watched {
	fewest, found := []*watched(nil), false
	for place, s := range wider.segments {
		if s.kind != literalSegment {
			continue
		}
		if some := w.segment[segmentAt{place, s.text}]; !found || len(some) < len(fewest) {
			fewest, found = some, true
		}
	}
	if !found {
		return w.paths
	}
	return fewest
}
