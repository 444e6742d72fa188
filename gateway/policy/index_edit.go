package policy

import (
	"maps"
	"math"
	"slices"
)

// with returns a trie in which r ends where the segments lead, in the place of what ended there;
// nothing does if r is nil. It shares every other node with n, which stays as it is, and keeps
// bounds on length that may be wider than need be, but never too narrow.
func (n *node) with(segments []segment, r *Route) *node {
	c := &node{shortest: math.MaxInt}
	if n != nil {
		*c = *n
	}
	switch {
	case len(segments) == 0:
		c.route = r
		c.shortest = 0
	case segments[0].kind == tailSegment:
		c.tail = r
		c.shortest, c.longest = min(c.shortest, 1), math.MaxInt
	case segments[0].kind == namedSegment:
		c.named = c.named.with(segments[1:], r)
		c.reach(c.named)
	default:
		child := c.literal(segments[0].text).with(segments[1:], r)
		c.put(segments[0].text, child)
		c.reach(child)
	}
	return c
}

// reach widens the bounds to what can be reached through a child.
func (n *node) reach(child *node) {
	n.shortest = min(n.shortest, child.shortest+1)
	if child.longest == math.MaxInt {
		n.longest = math.MaxInt
	} else {
		n.longest = max(n.longest, child.longest+1)
	}
}

// put places a child for a literal in lists of the node's own.
func (n *node) put(text string, child *node) {
	n.few, n.many = slices.Clone(n.few), maps.Clone(n.many)
	at := slices.IndexFunc(n.few, func(e edge) bool { return e.text == text })
	switch {
	case n.many != nil:
		n.many[text] = child
	case at >= 0:
		n.few[at].to = child
	default:
		n.few = append(n.few, edge{text, child})
	}
}

// withRoute is the policy with another route in the place of one of its own; nil when its shape is
// that of a third one. What a gateway asks of a policy as a whole (NeedsTokens, ClaimNames) is not
// computed anew.
func (p *Policy) withRoute(old, r *Route) *Policy {
	q := *p
	switch p.root.twin(r) {
	case nil:
		q.root = p.root.with(old.pattern.segments, nil).with(r.pattern.segments, r)
	case old:
		q.root = p.root.with(r.pattern.segments, r)
	default:
		return nil
	}
	q.routes = slices.Clone(p.routes)
	q.routes[slices.Index(q.routes, old)] = r
	return &q
}

// clone copies a route, with rules of its own.
func (r *Route) clone() *Route {
	c := *r
	c.rules = slices.Clone(r.rules)
	for i, rule := range r.rules {
		own := *rule
		own.route = &c
		c.rules[i] = &own
		if rule == r.any {
			c.any = &own
		}
	}
	return &c
}
