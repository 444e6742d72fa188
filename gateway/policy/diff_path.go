package policy

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// spot is one path that two routes win together.
type spot struct {
	segments []string
	open     []int // the places that neither pattern names
	req      Request
}

// spots yields the paths that the two routes win together, of each number of
// segments one: the shortest first, and those with empty segments within them
// last. A nil route is won where nothing matches.
func (c *comparer) spots(old, new *Route) iter.Seq[spot] {
	return func(yield func(spot) bool) {
		fixed, tail := crossing(old, new)
		s := c.spotOf(fixed)
		if !tail {
			if c.wins(old, new, &s) {
				yield(s)
			}
			return
		}
		for _, below := range c.tails(len(fixed), old.acceptsEmpty() || new.acceptsEmpty()) {
			one := spot{segments: slices.Clone(s.segments), open: slices.Clone(s.open)}
			for _, empty := range below {
				one.add("", !empty, c)
			}
			if c.wins(old, new, &one) && !yield(one) {
				return
			}
		}
	}
}

func (r *Route) acceptsEmpty() bool { return r != nil && r.Accepts(RuleEmptySegment) }

// crossing is the intersection of two patterns that meet, without its tail.
func crossing(old, new *Route) (fixed []segment, tail bool) {
	if old == nil {
		old = new
	}
	if new == nil {
		new = old
	}
	a, aTail := old.pattern.fixed()
	b, bTail := new.pattern.fixed()
	if len(a) < len(b) {
		a, b = b, a
	}
	fixed = slices.Clone(a)
	for i, s := range b {
		if fixed[i].kind == namedSegment {
			fixed[i] = s
		}
	}
	return fixed, aTail && bTail
}

// fixed are the segments before a final **.
func (p pattern) fixed() (segments []segment, tail bool) {
	if n := len(p.segments) - 1; p.segments[n].kind == tailSegment {
		return p.segments[:n], true
	}
	return p.segments, false
}

// tails lists what may stand in the place of a ** behind some segments: for
// each segment below whether it is empty. No pattern tells lengths apart that
// are beyond the longest one. An empty segment before the end is a request that
// breaks the guard's rule empty_segment; of those one at each place is tried.
func (c *comparer) tails(behind int, inner bool) (out [][]bool) {
	deepest := max(1, c.longest-behind+1)
	for n := 1; n <= deepest; n++ {
		out = append(out, make([]bool, n), append(make([]bool, n-1), true))
	}
	if !inner {
		return out
	}
	plain := len(out)
	for _, below := range out[:plain] {
		for i := range len(below) - 1 {
			one := slices.Clone(below)
			one[i] = true
			out = append(out, one)
		}
	}
	return out
}

func (c *comparer) spotOf(fixed []segment) (s spot) {
	for _, f := range fixed {
		s.add(f.text, f.kind == namedSegment, c)
	}
	return s
}

// add appends a segment: a literal, or where it is open a text that stands in
// neither policy, another one for each place.
func (s *spot) add(literal string, open bool, c *comparer) {
	if open {
		literal = c.fresh()
		if n := len(s.open); n > 0 {
			literal += strconv.Itoa(n + 1)
		}
		s.open = append(s.open, len(s.segments))
	}
	s.segments = append(s.segments, literal)
}

// fresh is a text with which no literal and no claim's value of the policies
// begins.
func (c *comparer) fresh() string {
	if c.fill != "" {
		return c.fill
	}
	for _, c.fill = range fills {
		if !c.old.policy.mentions(c.fill) && !c.new.policy.mentions(c.fill) {
			return c.fill
		}
	}
	for c.old.policy.mentions(c.fill) || c.new.policy.mentions(c.fill) {
		c.fill += "x"
	}
	return c.fill
}

// mentions reports whether a literal or the value of a claim begins so.
func (p *Policy) mentions(text string) bool {
	for _, route := range p.routes {
		for _, s := range route.pattern.segments {
			if s.kind == literalSegment && strings.HasPrefix(s.text, text) {
				return true
			}
		}
		for _, rule := range route.rules {
			for i := range rule.conditions {
				if slices.ContainsFunc(rule.conditions[i].values, func(a accepted) bool { return strings.HasPrefix(a.text, text) }) {
					return true
				}
			}
		}
	}
	return false
}

// wins reports whether the two routes win the path, and notes its reading.
func (c *comparer) wins(old, new *Route, s *spot) bool {
	if !c.spend() {
		return false
	}
	var ok bool
	s.req, ok = readingOf(received("GET", s.path()))
	return ok && c.old.policy.root.find(s.req.Path) == old && c.new.policy.root.find(s.req.Path) == new
}

func (s *spot) path() string { return "/" + strings.Join(s.segments, "/") }

// with is the path with another text in one place.
func (s *spot) with(place int, text string) string {
	segments := slices.Clone(s.segments)
	segments[place] = text
	return "/" + strings.Join(segments, "/")
}

// received is a plain request, as a client sends it.
func received(method, target string) Received {
	return Received{Method: method, Target: target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1}
}

func readingOf(in Received) (Request, bool) {
	req, err := NewRequest(&in)
	return req, err == nil
}
