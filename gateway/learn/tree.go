package learn

import "strings"

// Bounds on what is kept of a log.
const (
	maxNodes    = 200_000 // places in the tree of paths
	maxChildren = 1000    // names below one place; more of them vary
	maxDepth    = 24      // segments; what lies deeper becomes /**
	maxMethods  = 16      // of one path, beside which there are no others
)

// node is a place in the tree of paths that were called.
type node struct {
	names map[string]*node // by canonical segment
	other *node            // segments that vary
	tail  *node            // everything deeper than maxDepth
	uses  map[string]*use  // by method: calls of exactly this path
	lines int64            // calls of this path and below
}

// tree is all of a service's paths.
type tree struct {
	root  node
	nodes int
}

// find returns the use for a path and method, which it makes when it is missing; nil when the
// tree is full.
func (t *tree) find(path, method string) *use {
	n := &t.root
	n.lines++
	for depth, rest, more := 0, path[1:], true; more; depth++ {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if depth == maxDepth {
			more, segment = false, ""
			n = t.below(&n.tail)
		} else {
			n = t.child(n, segment)
		}
		if n == nil {
			return nil
		}
		n.lines++
	}
	u := n.uses[method]
	if u == nil && len(n.uses) < maxMethods {
		u = &use{}
		if n.uses == nil {
			n.uses = map[string]*use{}
		}
		n.uses[strings.Clone(method)] = u
	}
	return u
}

// child is the place for a segment below n.
func (t *tree) child(n *node, segment string) *node {
	if c := n.names[segment]; c != nil {
		return c
	}
	if segment != "" && (varies(segment) || len(n.names) >= maxChildren || t.nodes >= maxNodes/2) {
		return t.below(&n.other)
	}
	if t.nodes == maxNodes {
		return nil
	}
	if n.names == nil {
		n.names = map[string]*node{}
	}
	c := &node{}
	n.names[strings.Clone(segment)] = c
	t.nodes++
	return c
}

// below returns *at, which it makes when it is missing.
func (t *tree) below(at **node) *node {
	if *at == nil && t.nodes < maxNodes {
		*at = &node{}
		t.nodes++
	}
	return *at
}

// merge adds what was called at and below another place.
func (n *node) merge(o *node) {
	n.lines += o.lines
	for method, u := range o.uses {
		if n.uses == nil {
			n.uses = map[string]*use{}
		}
		if n.uses[method] == nil {
			n.uses[method] = &use{}
		}
		n.uses[method].merge(u)
	}
	for segment, c := range o.names {
		if n.names == nil {
			n.names = map[string]*node{}
		}
		if n.names[segment] == nil {
			n.names[segment] = &node{}
		}
		n.names[segment].merge(c)
	}
	for _, pair := range []struct{ to, from **node }{{&n.other, &o.other}, {&n.tail, &o.tail}} {
		if *pair.from == nil {
			continue
		}
		if *pair.to == nil {
			*pair.to = &node{}
		}
		(*pair.to).merge(*pair.from)
	}
}
