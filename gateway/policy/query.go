package policy

import "strings"

// A query is forwarded byte for byte and not judged but for three things: bytes that would
// break the next request line, a token that stands beside or instead of the Authorization field
// (RFC 6750 section 2.3), and a _method that turns a POST into something else behind the gate.

// param is a query parameter that means something to the gateway.
type param uint8

const (
	paramOther param = iota
	paramToken
	paramMethod
)

const (
	markToken  = 1 << paramToken
	markMethod = 1 << paramMethod
)

// queryOctet marks the bytes that may stand in a query: visible ASCII but '#'.
var queryOctet = func() (t [256]bool) {
	for c := 0x21; c <= 0x7E; c++ {
		t[c] = c != '#'
	}
	return t
}()

// judgeQuery checks the bytes of a query and marks the parameters that matter.
func judgeQuery(q string) (marks uint8, err *GuardError) {
	name := true // a parameter's name begins here
	for i := 0; i < len(q); i++ {
		c := q[i]
		if !queryOctet[c] {
			if c == '#' {
				return 0, broken(RuleFragment)
			}
			return 0, broken(RuleRawByte)
		}
		if name && mayMatter(c) {
			pair, _ := nextPair(q[i:])
			marks |= 1 << paramOf(pair)
		}
		name = c == '&' || c == ';'
	}
	return marks &^ (1 << paramOther), nil
}

// mayMatter spares most parameters a closer look: a name that matters begins with its first
// letter, with something encoded, or with what some stack folds to an underscore or drops.
func mayMatter(c byte) bool {
	switch c {
	case 'a', 'A', '_', '%', '+', '.', '[':
		return true
	}
	return false
}

// nextPair cuts the first name=value off. Both separators count: HTML 4 asked servers to take
// ';' for '&', and some still do.
func nextPair(q string) (pair, rest string) {
	if i := strings.IndexAny(q, "&;"); i >= 0 {
		return q[:i], q[i+1:]
	}
	return q, ""
}

// paramOf tells which parameter a pair sets, reading its name as the most lenient stack does:
// decoded, without regard to case (ASP.NET), leading spaces dropped, '.', ' ' and a lone '[' taken
// for '_', cut at NUL and at the '[' of an index (PHP).
func paramOf(pair string) param {
	const longest = len("access_token")
	var buf [longest + 1]byte
	n := 0
	for i := 0; i < len(pair) && pair[i] != '='; i++ {
		c := pair[i]
		if v, ok := triplet(pair[i:]); ok {
			c, i = v, i+2
		}
		if known := named(buf[:n]); c == 0 || c == '[' && known != paramOther {
			return known
		}
		if c = foldName(c); c == ' ' {
			if n == 0 {
				continue
			}
			c = '_'
		}
		if n == len(buf) {
			return paramOther
		}
		buf[n], n = c, n+1
	}
	return named(buf[:n])
}

func named(folded []byte) param {
	switch string(folded) {
	case "access_token":
		return paramToken
	case "_method":
		return paramMethod
	}
	return paramOther
}

// foldName folds one decoded byte of a name; a space stays one, so that leading spaces can be
// told from others.
func foldName(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c | 0x20
	case c == '.' || c == '[':
		return '_'
	case c == '+' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
		return ' '
	}
	return c
}

// withoutParam removes a parameter's pairs and keeps every other byte.
func withoutParam(q string, gone param) string {
	var kept strings.Builder
	for rest := q; rest != ""; {
		pair, after := nextPair(rest)
		if paramOf(pair) != gone {
			kept.WriteString(rest[:len(rest)-len(after)])
		}
		rest = after
	}
	out := kept.String()
	if out != "" && !strings.HasSuffix(q, out) { // the last pair went: its separator goes too
		out = strings.TrimRight(out, "&;")
	}
	return out
}

// decodeForm decodes a form value; a percent sign that begins no triplet stands for itself.
func decodeForm(s string) string {
	return string(appendDecoded(nil, strings.ReplaceAll(s, "+", " ")))
}
