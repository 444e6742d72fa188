package policy

import (
	"fmt"
	"slices"
	"strconv"
)

// widening is one mistake in a path: the route as it would be.
type widening struct {
	kind   MutantKind
	change string
	route  *Route
}

// widenings lists the mistakes that can be made in a path. One that cannot be loaded, because
// another path has that shape, is not told apart here; see withRoute.
func (r *Route) widenings() []widening {
	var out []widening
	last := len(r.pattern.segments) - 1
	for i, s := range r.pattern.segments {
		if s.kind == literalSegment && s.text != "" {
			out = append(out, r.widened(LiteralWidened, i, segment{namedSegment, r.pattern.freeName()}))
		}
	}
	if s := r.pattern.segments[last]; s.kind != tailSegment && !r.compares(last) {
		out = append(out, r.widened(PathWidened, last, segment{kind: tailSegment}))
	}
	return out
}

func (r *Route) widened(kind MutantKind, place int, wider segment) widening {
	c := r.clone()
	c.pattern.segments = slices.Clone(r.pattern.segments)
	c.pattern.segments[place] = wider
	c.pattern.template = c.pattern.written()
	return widening{kind, fmt.Sprintf("the path is %s", c.pattern.template), c}
}

// compares reports whether a rule compares a claim with the segment.
func (r *Route) compares(place int) bool {
	for _, rule := range r.rules {
		for i := range rule.conditions {
			if slices.ContainsFunc(rule.conditions[i].values, func(a accepted) bool { return a.segment == place }) {
				return true
			}
		}
	}
	return false
}

// freeName is a name that no segment has.
func (p pattern) freeName() string {
	name := "x"
	for n := 2; p.segmentOf(name) >= 0; n++ {
		name = "x" + strconv.Itoa(n)
	}
	return name
}

// written is the template of the segments.
func (p pattern) written() string {
	text := ""
	for _, s := range p.segments {
		switch s.kind {
		case tailSegment:
			text += "/**"
		case namedSegment:
			text += "/{" + s.text + "}"
		default:
			text += "/" + decodeSegment(s.text)
		}
	}
	return text
}

// withMethodWidened is the route, which lists no ANY, with that in the place of one method.
func (r *Route) withMethodWidened(rule *Rule) *Route {
	c := r.clone()
	c.any = c.rules[slices.Index(r.rules, rule)]
	c.any.method = "ANY"
	c.finish()
	return c
}
