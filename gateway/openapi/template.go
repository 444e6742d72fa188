package openapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/scopegate/scopegate/gateway/policy"
)

// template is a path of OpenAPI in the policy language.
type template struct {
	text string // "" when the language cannot say it
	// fault is why the language cannot say it as it is meant; with a text, that is wider.
	fault string
}

// translate turns a path into a template of the policy language. What stands for a part of a
// segment only, for several segments or for a query is more than the language can say: with widen
// it becomes the narrowest template that takes it in, and else none.
func translate(path string, widen bool) template {
	var out template
	if cut := strings.IndexAny(path, "?#"); cut >= 0 {
		out.fault = "a policy covers the path only, not a query or a fragment"
		path = path[:cut]
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	names := []string{}
	for i, part := range parts {
		segment, fault := translateSegment(part, i == len(parts)-1)
		if fault != "" {
			out.fault = fault
		}
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = free(strings.TrimSuffix(name, "}"), names)
			names = append(names, name)
			segment = "{" + name + "}"
		}
		parts[i] = segment
	}
	if out.fault != "" && !widen {
		return out
	}
	text := "/" + strings.Join(parts, "/")
	if fault, _ := policy.CheckPattern(text); fault != "" {
		out.fault = fault
		return out
	}
	out.text = text
	return out
}

// translateSegment returns a literal, a {name} or **, and a fault where that is wider than what
// was meant. What no template takes in comes back as it is, and is refused as a whole.
func translateSegment(part string, last bool) (out, fault string) {
	inner, braced := strings.CutPrefix(part, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	switch {
	case part == "*" || part == "**":
		return tail(part, last)
	case !strings.ContainsAny(part, "{}*"):
		return literal(part)
	case !braced || !closed || strings.ContainsAny(inner, "{}"):
		return "{" + nameFrom(parameters(part)) + "}", "the segment " + strconv.Quote(part) + " is a parameter in a part only"
	case strings.Contains(inner, ":"):
		return part, "the segment " + strconv.Quote(part) + " holds a pattern"
	case strings.HasSuffix(inner, "+") || strings.HasSuffix(inner, "*") || strings.HasPrefix(inner, "+") || strings.HasSuffix(inner, "..."):
		return tail(part, last)
	case !isPlainName(inner):
		return "{" + nameFrom(inner) + "}", "the segment " + strconv.Quote(part) + " is more than a parameter with a name"
	}
	return "{" + nameFrom(inner) + "}", ""
}

// tail is a parameter that takes several segments. Elsewhere than at the end no template does.
func tail(part string, last bool) (out, fault string) {
	fault = "the segment " + strconv.Quote(part) + " stands for several segments"
	if last {
		return "**", fault
	}
	return part, fault + " before the end"
}

// literal decodes a literal, as the policy language writes it.
func literal(part string) (out, fault string) {
	decoded, err := url.PathUnescape(part)
	if err != nil || strings.ContainsAny(decoded, "/{}*") {
		return part, "the segment " + strconv.Quote(part) + " is encoded in a way that no policy can name"
	}
	return decoded, ""
}

// parameters joins the names in a segment.
func parameters(part string) string {
	var names []string
	for _, rest := range strings.Split(part, "{")[1:] {
		name, _, _ := strings.Cut(rest, "}")
		names = append(names, name)
	}
	return strings.Join(names, "_")
}

// isPlainName tells names from the operators of RFC 6570 and from patterns.
func isPlainName(s string) bool {
	for i, c := range s {
		ok := unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("_-$@", c) || i > 0 && strings.ContainsRune(". ~", c)
		if !ok {
			return false
		}
	}
	return s != ""
}

// nameFrom makes a name of the policy language. Names mean nothing to matching.
func nameFrom(s string) string {
	name := strings.Trim(strings.Map(func(c rune) rune {
		if c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c)) || c == '-' || c == '_' {
			return c
		}
		return '_'
	}, s), "_-")
	switch {
	case name == "":
		return "parameter"
	case name[0] >= '0' && name[0] <= '9':
		return "_" + name
	}
	return name
}

// free makes a name that no segment before has.
func free(name string, taken []string) string {
	out := name
	for n := 2; slices.Contains(taken, out); n++ {
		out = name + "_" + strconv.Itoa(n)
	}
	return out
}

// shape is what two templates share that match the same paths.
func shape(template string) string {
	parts := strings.Split(template, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "{}"
		}
	}
	return strings.Join(parts, "/")
}
