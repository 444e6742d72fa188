package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds on one pattern.
const (
	maxPatternBytes    = 2048
	maxPatternSegments = 64
)

// segment is one part of a pattern between slashes: a literal in canonical
// percent-encoding, a {name}, or the final **.
type segment struct {
	kind segmentKind
	text string // the canonical literal, or the name
}

// segmentKind orders the kinds by precedence: less wins.
type segmentKind uint8

const (
	literalSegment segmentKind = iota
	namedSegment
	tailSegment
)

// pattern is a parsed path template.
type pattern struct {
	template string
	segments []segment
}

// parsePattern reads a template. fault says what is wrong with it, "" when
// nothing is.
func parsePattern(template string) (p pattern, fault, hint string) {
	p.template = template
	switch {
	case !strings.HasPrefix(template, "/"):
		return p, "a path begins with a slash", "write /" + template
	case len(template) > maxPatternBytes:
		return p, fmt.Sprintf("longer than %d bytes", maxPatternBytes), ""
	case strings.Count(template, "/") > maxPatternSegments:
		return p, fmt.Sprintf("more than %d segments", maxPatternSegments), ""
	case strings.Contains(template, "%"):
		return p, "a % stands in it", "write literals decoded: a space and not %20"
	case strings.ContainsAny(template, `;\`):
		return p, "a ; or \\ stands in it", "what accept: lets through matches a {name} or ** only; write one of them in that place"
	case strings.ContainsAny(template, "?#"):
		return p, "a ? or # stands in it", "a pattern covers the path only, not the query or a fragment"
	}
	parts := strings.Split(template[1:], "/")
	for i, part := range parts {
		s, fault, hint := parseSegment(part, i == len(parts)-1)
		if fault != "" {
			return p, fault, hint
		}
		if s.kind == namedSegment && slices.Contains(p.segments, s) {
			return p, "the name {" + s.text + "} stands twice", "give each segment a name of its own"
		}
		p.segments = append(p.segments, s)
	}
	return p, "", ""
}

// CheckPattern says what keeps a template from standing below `routes:`, and the cure where there
// is one; "" when nothing does. A path with exceptions to the guard may match more than it tells.
func CheckPattern(template string) (fault, hint string) {
	p, fault, hint := parsePattern(template)
	if fault == "" {
		if rule := p.unreachable(0); rule != "" {
			return "no request with such a path is let through: it breaks the guard's rule " + rule, ""
		}
	}
	return fault, hint
}

func parseSegment(part string, last bool) (s segment, fault, hint string) {
	const about = "a segment is a literal, a {name}, or a final **"
	switch {
	case part == "**" && last:
		return segment{kind: tailSegment}, "", ""
	case part == "**":
		return s, "** stands before the end", "** is only possible as the last segment"
	case part == "*":
		return s, "a * stands in it", "write {name} for exactly one segment, or a final ** for everything below"
	case strings.Contains(part, "*"):
		return s, "a * stands in it", about + "; there are no wildcards within a segment"
	case strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") && isName(part[1:len(part)-1]):
		return segment{namedSegment, part[1 : len(part)-1]}, "", ""
	case strings.ContainsAny(part, "{}"):
		return s, fmt.Sprintf("the segment %q is neither a literal nor a {name}", part),
			about + "; a name is made of letters, digits, _ and -, and begins with a letter or _"
	}
	return segment{literalSegment, encodeSegment(part)}, "", ""
}

// isName matches [A-Za-z_][A-Za-z0-9_-]*.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// sample is a path that the pattern matches, with fill in the place of names
// and of the tail.
func (p pattern) sample(fill string) string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		if s.kind == literalSegment {
			b.WriteString(s.text)
		} else {
			b.WriteString(fill)
		}
	}
	return b.String()
}

// segmentOf finds the place of a {name}, or -1.
func (p pattern) segmentOf(name string) int {
	return slices.Index(p.segments, segment{namedSegment, name})
}

func (p pattern) names() []string {
	var out []string
	for _, s := range p.segments {
		if s.kind == namedSegment {
			out = append(out, s.text)
		}
	}
	return out
}

// unreachable names the guard's rule by which no request can ever match the
// pattern, given the exceptions that its path accepts. It asks the guard
// itself, so that the two cannot disagree.
func (p pattern) unreachable(accepts GuardRules) string {
	target := p.sample("x")
	req, err := NewRequest(&Received{Method: "GET", Target: target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if refused, ok := err.(*GuardError); ok {
		return refused.Rule.String()
	}
	return (req.Broken &^ accepts).First().String()
}
