package learn

import (
	"net/url"
	"strings"
)

// literal gives the text of a canonical segment as a pattern has to spell it; ok is false for
// what no literal can match or spell: a segment that only an exception to the guard let through,
// and characters that mean something in patterns.
func literal(segment string) (text string, ok bool) {
	if strings.IndexByte(segment, '%') < 0 && !strings.ContainsAny(segment, `;\*{}`) {
		return segment, true
	}
	text, err := url.PathUnescape(segment)
	return text, err == nil && !strings.ContainsAny(text, `/;\%*{}?#`)
}

// longestName bounds what may be a name somebody gave to a resource, in bytes.
const longestName = 64

// varies reports whether a segment looks like an identifier rather than a name: numbers, UUIDs,
// hashes, dates, codes such as INV-2024-17, addresses with @. Versions (v2) are names.
func varies(segment string) bool {
	text, ok := literal(segment)
	if !ok || len(text) > longestName {
		return true
	}
	digits := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '@':
			return true
		}
	}
	switch {
	case digits == 0 || version(text):
		return false
	case digits == len(text) || digits >= 4:
		return true
	}
	return digits >= 2 && 2*digits >= len(text)
}

// version matches v1, v2.1 and the like.
func version(segment string) bool {
	rest, ok := strings.CutPrefix(segment, "v")
	return ok && rest != "" && len(rest) <= 6 && strings.Trim(rest, "0123456789.") == ""
}
