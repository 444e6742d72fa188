package learn

import (
	"maps"
	"slices"

	"github.com/scopegate/scopegate/gateway/policy"
)

// DefaultNames is how many different names may stand at one place of a path before they count as
// values of a parameter.
const DefaultNames = 20

const (
	manyNames = 200 // at one place are values, however often each is seen
	rare      = 3   // lines of a name that is seen now and then, as values are
	heavy     = 10  // times the lines of the median make a name that stands out
)

// settle decides, from the root down, which names are values of a parameter, and puts those
// together.
func (l *learner) settle(n *node, depth int) {
	if n == nil {
		return
	}
	values := l.values(n, depth)
	if len(values) > 0 {
		if n.other == nil {
			n.other = &node{}
		}
		for _, name := range values {
			n.other.merge(n.names[name])
			delete(n.names, name)
		}
	}
	for _, c := range n.names {
		l.settle(c, depth+1)
	}
	l.settle(n.other, depth+1)
	l.settle(n.tail, depth+1)
}

// values are the names below n that are values, sorted.
func (l *learner) values(n *node, depth int) []string {
	var names, bound []string
	seldom := 0
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		if name == "" {
			continue
		}
		names = append(names, name)
		if n.names[name].lines <= rare {
			seldom++
		}
		if n.names[name].bound(depth) {
			bound = append(bound, name)
		}
	}
	if len(names) > manyNames || len(names) > l.names && 4*seldom >= len(names) {
		if ordinary := l.ordinary(n, names); !l.apart(n, ordinary) {
			return ordinary
		}
	}
	if len(bound) > 1 {
		return bound // the tokens' own: two tenants are enough to know
	}
	return nil
}

// bound reports whether each call at and below the place named one of its token's claims in the
// segment of this depth.
func (n *node) bound(depth int) bool {
	for _, u := range n.uses {
		found := false
		for b := range u.bindings {
			found = found || b.segment == depth
		}
		if !found {
			return false
		}
	}
	if n.other != nil && !n.other.bound(depth) || n.tail != nil && !n.tail.bound(depth) {
		return false
	}
	for _, c := range n.names {
		if !c.bound(depth) {
			return false
		}
	}
	return true
}

// ordinary leaves out names that stand out: called far more often than the others, and asking for
// something else, as /users/me does beside /users/{id}.
func (l *learner) ordinary(n *node, names []string) []string {
	var lines []int64
	for _, name := range names {
		lines = append(lines, n.names[name].lines)
	}
	slices.Sort(lines)
	median := lines[len(lines)/2]
	var ordinary, outstanding []string
	for _, name := range names {
		if c := n.names[name]; c.lines >= heavy*median && c.lines > heavy {
			outstanding = append(outstanding, name)
		} else {
			ordinary = append(ordinary, name)
		}
	}
	rest := together(n, ordinary)
	for _, name := range outstanding {
		if l.like(n.names[name], rest) {
			ordinary = append(ordinary, name)
		}
	}
	slices.Sort(ordinary)
	return ordinary
}

// together is what the names would be as one.
func together(n *node, names []string) *node {
	all := &node{}
	for _, name := range names {
		all.merge(n.names[name])
	}
	if n.other != nil {
		all.merge(n.other)
	}
	return all
}

// like reports whether the calls of a name ask for what those of the others do.
func (l *learner) like(c, rest *node) bool {
	for method, u := range c.uses {
		if rest.uses[method] == nil {
			return false
		}
		mine, _ := l.need(u, method)
		others, _ := l.need(rest.uses[method], method)
		if !sameNeed(mine, others) {
			return false
		}
	}
	return true
}

// apart reports whether the names are different things: together most of them would need
// something else than each by itself.
func (l *learner) apart(n *node, names []string) bool {
	all, different := together(n, names), 0
	needs := map[*use]policy.Need{} // of all
	for _, name := range names {
		if l.differs(n.names[name], all, needs) {
			different++
		}
	}
	return 2*different > len(names)
}

// differs reports whether a call at or below c needs something else than at the same place of all.
func (l *learner) differs(c, all *node, needs map[*use]policy.Need) bool {
	if c == nil {
		return false
	}
	for method, u := range c.uses {
		mine, _ := l.need(u, method)
		shared, known := needs[all.uses[method]]
		if !known {
			shared, _ = l.need(all.uses[method], method)
			needs[all.uses[method]] = shared
		}
		if !sameNeed(mine, shared) {
			return true
		}
	}
	for name, below := range c.names {
		if l.differs(below, all.names[name], needs) {
			return true
		}
	}
	return l.differs(c.other, all.other, needs) || l.differs(c.tail, all.tail, needs)
}
