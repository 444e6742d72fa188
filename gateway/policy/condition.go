package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// maxConditions bounds the conditions of one rule, so that which of them are
// met fits into one word.
const maxConditions = 64

type conditionKind uint8

const (
	onClaim conditionKind = iota
	onIssuer
	onMaxAge
	onACR
)

// condition is one atom of a requirement that is not a scope.
type condition struct {
	kind   conditionKind
	claim  string // the claim's name as written
	values []accepted
	words  []string      // acr values, or the one issuer
	maxAge time.Duration // of onMaxAge
	text   string
	line   int
	column int
}

// accepted is one value that a claim may have: a text, or a segment of the
// request's path when segment is not negative.
type accepted struct {
	text    string
	segment int
}

// sameAs reports whether two conditions ask for the same, whatever the names
// of the path's segments are.
func (c *condition) sameAs(o *condition) bool {
	return c.kind == o.kind && c.claim == o.claim && c.maxAge == o.maxAge &&
		slices.Equal(c.words, o.words) && slices.Equal(c.values, o.values)
}

// met evaluates the condition for a caller and a canonical path.
func (c *condition) met(caller *Caller, path string) bool {
	switch c.kind {
	case onIssuer:
		return caller.Issuer == c.words[0]
	case onMaxAge:
		return caller.AuthAgeKnown && caller.AuthAge <= c.maxAge
	case onACR:
		return caller.ACR != "" && slices.Contains(c.words, caller.ACR)
	}
	value, ok := lookup(caller.Claims, c.claim)
	return ok && c.accepts(value, path)
}

// lookup finds a claim: under its whole name first, else along the name's dots
// into objects.
func lookup(claims map[string]any, name string) (value any, ok bool) {
	if value, ok = claims[name]; ok {
		return value, true
	}
	for more := true; more; {
		var part string
		part, name, more = strings.Cut(name, ".")
		if value, ok = claims[part]; !ok {
			return nil, false
		}
		claims, _ = value.(map[string]any)
	}
	return value, true
}

// accepts compares a claim's value, or one element of an array.
func (c *condition) accepts(value any, path string) bool {
	list, ok := value.([]any)
	if !ok {
		return c.acceptsOne(value, path)
	}
	for _, v := range list {
		if c.acceptsOne(v, path) {
			return true
		}
	}
	return false
}

func (c *condition) acceptsOne(value any, path string) bool {
	text, ok := claimText(value)
	if !ok || text == "" { // an empty claim must not open a path that lacks a segment
		return false
	}
	for i := range c.values {
		a := &c.values[i]
		if a.segment < 0 && a.text == text || a.segment >= 0 && segmentIs(path, a.segment, text) {
			return true
		}
	}
	return false
}

// claimText is the text by which a scalar claim is compared. Numbers other than
// plain integers have several spellings, so they have no text; nor have null,
// objects and arrays.
func claimText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), isPlainInteger(string(v))
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}
	return "", false
}

// isPlainInteger matches -?(0|[1-9][0-9]*), the one spelling of an integer.
func isPlainInteger(s string) bool {
	s = strings.TrimPrefix(s, "-")
	if s == "" || s[0] == '0' && len(s) > 1 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// segmentIs compares the n-th segment of a canonical path, percent-decoded,
// with a text. A segment that holds an octet let in by an exception to the
// guard equals nothing: `a%2Fb` is one segment here and may be two behind.
func segmentIs(path string, n int, text string) bool {
	seg := nthSegment(path, n)
	if seg == "" || exceptionIn(seg) {
		return false
	}
	for seg != "" {
		b, size := seg[0], 1
		if v, ok := triplet(seg); ok {
			b, size = v, 3
		}
		if text == "" || text[0] != b {
			return false
		}
		seg, text = seg[size:], text[1:]
	}
	return text == ""
}

// nthSegment returns a segment, counted from 0, of a path that begins with a
// slash; "" when there are fewer.
func nthSegment(path string, n int) string {
	path = path[1:]
	for ; n > 0; n-- {
		i := strings.IndexByte(path, '/')
		if i < 0 {
			return ""
		}
		path = path[i+1:]
	}
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return path
}
