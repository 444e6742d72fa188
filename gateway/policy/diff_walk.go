package policy

import (
	"cmp"
	"slices"
	"strings"
)

// Which rules must be compared with which? Those of two routes that win the same
// path, one in each policy. Two patterns match a path in common exactly where
// their intersection, segment by segment, is not empty; and of all paths in it
// the one with texts that no pattern names, in every place that both leave open,
// is the least likely to be caught by somebody else. For a pattern that matches
// it has a name or a tail in each of these places, and so matches all paths of
// the intersection that have as many segments, of which the same ones are empty.
// So the two routes win such a path together if and only if they win this one,
// and one call of the index's own find decides it for each number of segments.

// Bounds on work, far above what policies need that people write.
const (
	maxMeetings = 150_000_000 // pairs of nodes visited and paths tried
	workPerRule = 300_000     // steps on the diagram of one pair of rules
	workInAll   = 30_000_000  // steps on all of them

	asking = 1 << 10 // visits after which somebody is asked whether to go on
)

// comparer holds one comparison.
type comparer struct {
	old, new  side
	sameWords bool        // the vocabularies are equal
	exact     bool        // all was decided
	whole     bool        // all was looked at
	stop      func() bool // nil: never
	meetings  int         // visits that are left
	work      int         // steps that are left
	longest   int         // segments of the longest pattern
	texts     []string    // see freshText
	at        spot        // the one that is tried
	path      []byte      // its path
	found     []meeting
	verdicts  map[verdictKey]verdict
	numbers   map[string]int
	changes   []Change
	noted     map[noted]int // their places, by rules
}

// meeting is a pair of routes that win a path together; one of them may be nil.
type meeting struct {
	old, new *Route
	at       spot
}

// nothing stands for a policy that is not there: it has no routes.
func nothing(like *Policy) *Policy {
	p := &Policy{service: like.service, vocabulary: like.vocabulary, root: &node{}}
	p.root.measure()
	return p
}

func newComparer(old, new *Policy) *comparer {
	c := &comparer{old: side{policy: old}, new: side{policy: new}, exact: true, whole: true, meetings: maxMeetings, work: workInAll,
		verdicts: map[verdictKey]verdict{}, numbers: map[string]int{}, noted: map[noted]int{}}
	c.sameWords = old.vocabulary.equals(new.vocabulary)
	for _, routes := range [][]*Route{old.routes, new.routes} {
		for _, r := range routes {
			c.longest = max(c.longest, len(r.pattern.segments))
		}
	}
	return c
}

// equals reports whether two vocabularies declare the same words, which imply
// the same.
func (v *vocabulary) equals(o *vocabulary) bool {
	return v == o || slices.Equal(v.words, o.words) &&
		slices.EqualFunc(v.closures, o.closures, func(a, b bitset) bool { return (a == nil) == (b == nil) && a.equals(b) })
}

// compare finds the meetings first, so that changes come in an order that does
// not depend on the order of a map.
func (c *comparer) compare() {
	c.meet(c.old.policy.root, c.new.policy.root)
	for _, r := range c.old.policy.routes {
		if c.new.policy.root.twin(r) == nil {
			c.pair(r, nil)
		}
	}
	for _, r := range c.new.policy.routes {
		if c.old.policy.root.twin(r) == nil {
			c.pair(nil, r)
		}
	}
	slices.SortFunc(c.found, func(a, b meeting) int {
		return cmp.Or(strings.Compare(a.new.name(), b.new.name()), strings.Compare(a.old.name(), b.old.name()))
	})
	for i := range c.found {
		if c.stopped() {
			return
		}
		c.judge(&c.found[i])
	}
}

func (r *Route) name() string {
	if r == nil {
		return ""
	}
	return r.pattern.template
}

// meet visits two nodes under which patterns meet, and notes the routes that do.
func (c *comparer) meet(a, b *node) {
	if a == b && c.sameWords || a.longest < b.shortest || b.longest < a.shortest || !c.spend() {
		return // one subtree in both policies, where the same routes win; or no length in common
	}
	if a.route != nil && b.route != nil {
		c.pair(a.route, b.route)
	}
	if a.tail != nil {
		b.below(func(s *Route) { c.pair(a.tail, s) })
	}
	if b.tail != nil {
		a.below(func(r *Route) {
			if r != a.tail {
				c.pair(r, b.tail)
			}
		})
	}
	for text, to := range a.literals {
		if same := b.literal(text); same != nil {
			c.meet(to, same)
		}
		if b.named != nil && text != "" {
			c.meet(to, b.named)
		}
	}
	if a.named == nil {
		return
	}
	for text, to := range b.literals {
		if text != "" {
			c.meet(a.named, to)
		}
	}
	if b.named != nil {
		c.meet(a.named, b.named)
	}
}

// literals yields the children for literal segments.
func (n *node) literals(yield func(string, *node) bool) {
	for _, e := range n.few {
		if !yield(e.text, e.to) {
			return
		}
	}
	for text, to := range n.many {
		if !yield(text, to) {
			return
		}
	}
}

// below calls f with every route that a tail at the node meets.
func (n *node) below(f func(*Route)) {
	if n.tail != nil {
		f(n.tail)
	}
	for c := range n.children {
		if c.route != nil {
			f(c.route)
		}
		c.below(f)
	}
}

// twin is the route of the same shape, which matches the same paths.
func (n *node) twin(r *Route) *Route {
	for _, s := range r.pattern.segments {
		switch s.kind {
		case tailSegment:
			return n.tail
		case namedSegment:
			n = n.named
		default:
			n = n.literal(s.text)
		}
		if n == nil {
			return nil
		}
	}
	return n.route
}

// pair notes two routes if they win some path together and may differ there.
func (c *comparer) pair(old, new *Route) {
	if !c.whole || c.sameWords && old.alike(new) {
		return
	}
	for at := range c.spots(old, new) {
		c.found = append(c.found, meeting{old, new, at})
		return
	}
}

// alike reports whether two routes obviously let the same callers do the same,
// given one vocabulary.
func (r *Route) alike(o *Route) bool {
	if r == o {
		return true
	}
	return r != nil && o != nil && r.accepts == o.accepts && slices.Equal(r.upgrades, o.upgrades) &&
		slices.EqualFunc(r.rules, o.rules, func(a, b *Rule) bool { return a.method == b.method && a.alike(b) })
}

func (r *Rule) alike(o *Rule) bool {
	return r.access == o.access && slices.Equal(r.formula, o.formula) &&
		slices.EqualFunc(r.conditions, o.conditions, func(a, b condition) bool { return a.sameAs(&b) })
}

// spend counts work and reports whether there is some left.
func (c *comparer) spend() bool {
	if c.meetings--; c.meetings < 0 {
		c.whole = false
	}
	return c.whole && (c.meetings%asking != 0 || !c.stopped())
}

// stopped asks whether whoever compares has run out of patience.
func (c *comparer) stopped() bool {
	if c.stop == nil || !c.stop() {
		return false
	}
	c.whole = false
	return true
}
