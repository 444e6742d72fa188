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
	below    int   // segments up to the first in the tail that both have; 0 without one
	lost     bool  // a route with a tail wins all that the two have in common
	req      Request
}

// spots yields the paths that the two routes win together, of each number of
// segments one: the shortest first, and those with empty segments within them
// last. A nil route is won where nothing matches.
//
// Most pairs that are tried win none, so what is tried is written into memory
// that is used again.
func (c *comparer) spots(old, new *Route) iter.Seq[spot] {
	return func(yield func(spot) bool) {
		s := &c.at
		tail := s.cross(old, new, c)
		if !tail {
			if c.won(old, new, s) {
				yield(s.clone())
			}
			return
		}
		segments, open := len(s.segments), len(s.open)
		for below := range c.tails(segments, old.acceptsEmpty() || new.acceptsEmpty()) {
			s.segments, s.open, s.below = s.segments[:segments], s.open[:open], segments+1
			for _, empty := range below {
				s.add("", !empty, c)
			}
			if c.won(old, new, s) {
				if !yield(s.clone()) {
					return
				}
			} else if s.lost { // on all that is longer, too
				return
			}
		}
	}
}

func (s *spot) clone() spot {
	return spot{segments: slices.Clone(s.segments), open: slices.Clone(s.open), req: s.req}
}

func (r *Route) acceptsEmpty() bool { return r != nil && r.Accepts(RuleEmptySegment) }

// cross begins with the intersection of two patterns that meet, and reports
// whether it has a tail.
func (s *spot) cross(old, new *Route, c *comparer) (tail bool) {
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
	s.segments, s.open, s.below, s.lost = s.segments[:0], s.open[:0], 0, false
	for i, one := range a {
		if one.kind == namedSegment && i < len(b) {
			one = b[i]
		}
		s.add(one.text, one.kind == namedSegment, c)
	}
	return aTail && bTail
}

// fixed are the segments before a final **.
func (p pattern) fixed() (segments []segment, tail bool) {
	if n := len(p.segments) - 1; p.segments[n].kind == tailSegment {
		return p.segments[:n], true
	}
	return p.segments, false
}

// tails yields what may stand in the place of a ** behind some segments: for
// each segment below whether it is empty. No pattern tells lengths apart that
// are beyond the longest one. An empty segment before the end is a request that
// breaks the guard's rule empty_segment; of those one at each place is tried.
func (c *comparer) tails(behind int, inner bool) iter.Seq[[]bool] {
	return func(yield func([]bool) bool) {
		deepest := max(1, c.longest-behind+1)
		for n := range deepest {
			if !yield(make([]bool, n+1)) || !yield(append(make([]bool, n), true)) {
				return
			}
		}
		for n := 2; inner && n <= deepest+1; n++ { // one more: no path begins with //
			for i := range 2 * (n - 1) {
				below := make([]bool, n)
				below[i/2], below[n-1] = true, i%2 == 1
				if !yield(below) {
					return
				}
			}
		}
	}
}

// add appends a segment: a literal, or where it is open a text that stands in
// neither policy, another one for each place.
func (s *spot) add(literal string, open bool, c *comparer) {
	if open {
		literal = c.freshText(len(s.open))
		s.open = append(s.open, len(s.segments))
	}
	s.segments = append(s.segments, literal)
}

// freshText is the n-th of the texts that begin with fresh.
func (c *comparer) freshText(n int) string {
	for len(c.texts) <= n {
		text := c.fresh()
		if n := len(c.texts); n > 0 {
			text += strconv.Itoa(n + 1)
		}
		c.texts = append(c.texts, text)
	}
	return c.texts[n]
}

// fresh is a text with which no literal and no claim's value of the policies
// begins.
func (c *comparer) fresh() string {
	text := ""
	for _, text = range fills {
		if !c.mention(text) {
			return text
		}
	}
	for c.mention(text) {
		text += "x"
	}
	return text
}

func (c *comparer) mention(text string) bool {
	return c.old.policy.mentions(text) || c.new.policy.mentions(text)
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

// won reports whether the two routes win the path, and notes its reading.
func (c *comparer) won(old, new *Route, s *spot) bool {
	if !c.spend() {
		return false
	}
	c.path = c.path[:0]
	for _, segment := range s.segments {
		c.path = append(append(c.path, '/'), segment...)
	}
	path := string(c.path)
	if !s.wonBy(old, c.old.policy.root.find(path)) || !s.wonBy(new, c.new.policy.root.find(path)) {
		return false
	}
	var ok bool
	s.req, ok = readingOf(received("GET", path))
	return ok && s.req.Path == path
}

// wonBy compares the winner with the route that should be. One with a tail that
// begins no later than here wins everything below, too.
func (s *spot) wonBy(route, winner *Route) bool {
	if winner != route && winner != nil {
		before, tail := winner.pattern.fixed()
		s.lost = tail && len(before) < s.below
	}
	return winner == route
}

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
