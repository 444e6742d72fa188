package policy

import (
	"math"
	"strings"
)

// node is one place in the trie of patterns. All patterns that begin with the
// same kinds of segments share their nodes.
//
// A path is looked for depth first: literal, then {name}, then **. Patterns
// that match one path differ first where one has a more specific kind of
// segment, so the first match found is the one that a comparison segment by
// segment prefers. Each node is visited at most once for a path, because a node
// belongs to one prefix; so even a policy made to hurt costs no more than its
// own size, and the bounds on length cut off what cannot match anyway.
type node struct {
	few      []edge           // literals, while they are few
	many     map[string]*node // literals, when they are more
	named    *node            // {name}
	tail     *Route           // the pattern that ends here with **
	route    *Route           // the pattern that ends here
	shortest int              // fewest segments that a match below still takes
	longest  int              // most segments; math.MaxInt below a tail
}

type edge struct {
	text string
	to   *node
}

// fewEdges is where a map overtakes comparing one by one.
const fewEdges = 6

// insert adds a route and returns the route of the same shape that stands
// there already, if any.
func (n *node) insert(r *Route) (same *Route) {
	segments := r.pattern.segments
	for _, s := range segments {
		switch s.kind {
		case tailSegment:
			if n.tail != nil {
				return n.tail
			}
			n.tail = r
			return nil
		case namedSegment:
			if n.named == nil {
				n.named = &node{}
			}
			n = n.named
		default:
			n = n.grow(s.text)
		}
	}
	if n.route != nil {
		return n.route
	}
	n.route = r
	return nil
}

// grow returns the child for a literal, which it makes when it is missing.
func (n *node) grow(text string) *node {
	if c := n.literal(text); c != nil {
		return c
	}
	c := &node{}
	switch {
	case n.many != nil:
		n.many[text] = c
	case len(n.few) < fewEdges:
		n.few = append(n.few, edge{text, c})
	default:
		n.many = make(map[string]*node, 2*fewEdges)
		for _, e := range n.few {
			n.many[e.text] = e.to
		}
		n.many[text] = c
		n.few = nil
	}
	return c
}

func (n *node) literal(text string) *node {
	if n.many != nil {
		return n.many[text]
	}
	for i := range n.few {
		if n.few[i].text == text {
			return n.few[i].to
		}
	}
	return nil
}

// measure fills in the bounds on length, bottom up, once all routes stand.
func (n *node) measure() {
	n.shortest, n.longest = math.MaxInt, 0
	if n.route != nil {
		n.shortest = 0
	}
	if n.tail != nil {
		n.shortest, n.longest = min(n.shortest, 1), math.MaxInt
	}
	for c := range n.children {
		c.measure()
		n.shortest = min(n.shortest, c.shortest+1)
		if c.longest == math.MaxInt {
			n.longest = math.MaxInt
		} else {
			n.longest = max(n.longest, c.longest+1)
		}
	}
}

// children yields every child.
func (n *node) children(yield func(*node) bool) {
	for _, e := range n.few {
		if !yield(e.to) {
			return
		}
	}
	for _, c := range n.many {
		if !yield(c) {
			return
		}
	}
	if n.named != nil {
		yield(n.named)
	}
}

// find returns the route of a canonical path, nil when there is none.
func (n *node) find(path string) *Route {
	return n.search(path[1:], strings.Count(path, "/"), nil)
}

// findAll returns every route whose pattern matches the whole path, the
// winning one first.
func (n *node) findAll(path string) []*Route {
	var all []*Route
	n.search(path[1:], strings.Count(path, "/"), &all)
	return all
}

// search looks below n for the rest of a path, which has left segments. With
// all it gathers every match instead of stopping at the first.
func (n *node) search(rest string, left int, all *[]*Route) *Route {
	if left == 0 {
		return n.route.take(all)
	}
	segment, below := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		segment, below = rest[:i], rest[i+1:]
	}
	if c := n.literal(segment); c != nil && c.shortest < left && left-1 <= c.longest {
		if r := c.search(below, left-1, all); r != nil {
			return r
		}
	}
	if c := n.named; c != nil && segment != "" && c.shortest < left && left-1 <= c.longest {
		if r := c.search(below, left-1, all); r != nil {
			return r
		}
	}
	return n.tail.take(all)
}

// take returns the route, or notes it and returns nil so that the search goes
// on.
func (r *Route) take(all *[]*Route) *Route {
	if r == nil || all == nil {
		return r
	}
	*all = append(*all, r)
	return nil
}

// covered reports whether more specific patterns match everything that a tail
// here would, so that the tail never wins: the lone trailing slash, and every
// path that begins with a non-empty segment.
func (n *node) covered() bool {
	slash := n.literal("")
	return slash != nil && slash.route != nil && n.named != nil && n.named.route != nil &&
		(n.named.tail != nil || n.named.covered())
}
