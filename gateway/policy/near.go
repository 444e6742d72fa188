package policy

import (
	"slices"
	"strings"
)

// Claim reads a claim by its name as `claims:` spells it: the claim of the
// whole name, else a path with dots into objects; nil when it is absent. It
// allocates nothing.
func Claim(claims map[string]any, name string) any {
	value, _ := lookup(claims, name)
	return value
}

// Hint names the template of the route that a request without a route may have
// meant: the same path with a trailing slash, or without it. "" when there is
// none, or when the path has a route after all.
func (p *Policy) Hint(req *Request) string {
	if p.root.find(req.Path) != nil {
		return ""
	}
	near := req.Path + "/"
	if trimmed, ok := strings.CutSuffix(req.Path, "/"); ok {
		near = trimmed
	}
	if near == "" {
		return ""
	}
	r := p.root.find(near)
	if r == nil {
		return ""
	}
	return r.Template()
}

// Near lists up to three routes whose paths a path without a route may have
// meant, the nearest first: the same but for a slash, for case, for a letter or
// two in a segment, or for one segment more or less.
func (p *Policy) Near(path string) []*Route {
	type candidate struct {
		route *Route
		cost  int
	}
	var near []candidate
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, r := range p.routes {
		if cost := r.pattern.unlike(segments); cost <= oneSegment && r.pattern.namesOne(segments) {
			near = append(near, candidate{r, cost})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.cost - b.cost })
	var out []*Route
	for _, c := range near[:min(len(near), 3)] {
		out = append(out, c.route)
	}
	return out
}

// What a difference between a path and a pattern costs.
const (
	otherCase  = 1
	otherSlash = 2
	misspelt   = 4
	oneSegment = 10
	unlike     = 100
)

// unlike says by how much segments miss the pattern: an edit distance over
// segments.
func (p pattern) unlike(path []string) int {
	row := make([]int, len(path)+1)
	for j := range path {
		row[j+1] = row[j] + more(path[j])
	}
	for _, s := range p.segments {
		diagonal, gap := row[0], oneSegment
		if s.kind == literalSegment {
			gap = more(s.text)
		}
		row[0] += gap
		for j, segment := range path {
			best := min(diagonal+s.unlike(segment), row[j+1]+gap, row[j]+more(segment))
			diagonal, row[j+1] = row[j+1], best
		}
		if s.kind == tailSegment { // stands for all that follows
			return slices.Min(row)
		}
	}
	return row[len(path)]
}

// more is what a segment too many costs, or one too few.
func more(segment string) int {
	if segment == "" {
		return otherSlash
	}
	return oneSegment
}

func (s segment) unlike(segment string) int {
	switch {
	case s.kind == tailSegment:
		return 0
	case s.kind == namedSegment && segment != "", s.kind == literalSegment && s.text == segment:
		return 0
	case s.kind == namedSegment || segment == "" || s.text == "":
		return unlike
	case strings.EqualFold(s.text, segment):
		return otherCase
	case len(segment) > 2 && suggest(segment, []string{s.text}) != "":
		return misspelt
	}
	return unlike
}

// namesOne reports whether one of the segments is nearly a literal of the
// pattern: names and tails alone are like every path.
func (p pattern) namesOne(path []string) bool {
	return slices.ContainsFunc(p.segments, func(s segment) bool {
		return s.kind == literalSegment && s.text != "" &&
			slices.ContainsFunc(path, func(segment string) bool { return s.unlike(segment) < oneSegment })
	})
}
