package policy

import "slices"

// maxCrossings bounds the steps of looking for routes that cross others, over all of a policy.
const maxCrossings = 200_000

// lintOvertaken looks for a route that takes paths from a stricter one. Where two patterns match one
// path, the first segment in which they differ decides: /shop/** goes before /{tenant}/admin on
// /shop/admin, although the latter names `admin`. A route that is more specific all along was
// written for its paths, and is no mistake.
func (r *reader) lintOvertaken(d demands, route *Route, steps *int) {
	p := d.old.policy
	x := crossing{segments: route.pattern.segments, steps: steps}
	x.walk(p.root, 0, "", false, false)
	if *steps <= 0 {
		return
	}
	slices.SortFunc(x.found, func(a, b overtaker) int { return a.route.line - b.route.line })
	for _, o := range x.found {
		if p.root.find(o.path) != o.route {
			continue // a third route takes that path
		}
		if strict, weaker := d.letsInMoreAt(o.path, route, o.route); weaker != nil {
			r.reportAt(weaker.line, weaker.column, idOvertaken, "add a route for "+o.path+", or give the two different first segments",
				"%s %s goes to %s, which asks for less than %s does in line %d: the first segment that differs decides",
				weaker.sampleMethod(), o.path, o.route.Template(), route.Template(), strict.line)
			return
		}
	}
}

// letsInMoreAt finds a method for which other, whose path it is, lets in somebody whom route would
// refuse there. Decide bears it out.
func (d demands) letsInMoreAt(path string, route, other *Route) (strict, weaker *Rule) {
	p := d.old.policy
	for _, rules := range [][]*Rule{route.rules, other.rules} {
		for _, rule := range rules {
			strict, weaker = route.rule(rule.method), other.rule(rule.method)
			if strict == nil || weaker == nil {
				continue
			}
			v := d.between(strict, weaker, path)
			if v.unknown || v.wider == nil {
				continue
			}
			if req, ok := p.answers(weaker, weaker.sampleMethod(), path); ok {
				if decided := p.Decide(&req, v.wider.Caller(p)); decided.Allow {
					return strict, weaker
				}
			}
		}
	}
	return nil, nil
}

// overtaker is a route, and a path that it takes from another.
type overtaker struct {
	route *Route
	path  string
}

// crossing gathers the routes that share paths with a pattern, go before it, and yet leave open a
// segment that the pattern names.
type crossing struct {
	segments []segment
	steps    *int // that are left
	found    []overtaker
}

// walk goes on below n with the pattern's segment i. path is what both match so far; before tells
// that the other was the more specific one where they first differed, open that it has left open
// what the pattern names.
func (x *crossing) walk(n *node, i int, path string, before, open bool) {
	if *x.steps--; *x.steps <= 0 || n == nil {
		return
	}
	if i == len(x.segments) {
		x.add(n.route, path, before && open)
		return
	}
	s := x.segments[i]
	if before && n.tail != nil {
		named := slices.ContainsFunc(x.segments[i:], func(s segment) bool { return s.kind == literalSegment && s.text != "" })
		x.add(n.tail, path+pattern{segments: x.segments[i:]}.sample("x"), open || named)
	}
	switch s.kind {
	case tailSegment:
	case literalSegment:
		x.walk(n.literal(s.text), i+1, path+"/"+s.text, before, open)
		if before && s.text != "" {
			x.walk(n.named, i+1, path+"/"+s.text, before, true)
		}
	case namedSegment:
		x.walk(n.named, i+1, path+"/x", before, open)
		for text, c := range n.literals {
			if text != "" {
				x.walk(c, i+1, path+"/"+text, true, open)
			}
		}
	}
}

func (x *crossing) add(route *Route, path string, crosses bool) {
	if route != nil && crosses {
		x.found = append(x.found, overtaker{route, path})
	}
}

// canHold reports whether a path that breaks the guard's rule can match the pattern. What the
// rules about octets let through matches a {name} or ** only.
func (p pattern) canHold(rule GuardRule) bool {
	switch rule {
	case RuleMethodOverride, RuleQueryToken:
		return true
	case RuleEmptySegment:
		return slices.ContainsFunc(p.segments, func(s segment) bool { return s.kind == tailSegment }) ||
			slices.Contains(p.segments[:len(p.segments)-1], segment{kind: literalSegment})
	}
	return slices.ContainsFunc(p.segments, func(s segment) bool { return s.kind != literalSegment })
}
