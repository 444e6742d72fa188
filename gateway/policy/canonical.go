package policy

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// What a raw byte of a path means to the fast pass.
const (
	octetOther   uint8 = iota // it needs the full judgement
	octetPlain                // it stands for itself, everywhere
	octetBegin                // '/' and '.': plain unless a slash stands before
	octetToWrite              // visible, but canonically written %XX
)

// pathOctet classifies the bytes of a path: unreserved, sub-delims, ':' and '@' are plain
// (RFC 3986's pchar), but for ';'.
var pathOctet = func() (t [256]uint8) {
	for c := 0x21; c <= 0x7E; c++ {
		t[c] = octetToWrite
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = octetPlain, octetPlain
	}
	for _, c := range []byte("0123456789-_~!$&'()*+,=:@") {
		t[c] = octetPlain
	}
	t['/'], t['.'] = octetBegin, octetBegin
	for _, c := range []byte(`%\;#?`) {
		t[c] = octetOther
	}
	return t
}()

// canonicalTarget splits an origin-form target and gives its path's canonical form and the
// rules that it breaks but that a route may accept. The usual path is canonical already, which
// one pass over a table finds out.
func canonicalTarget(target string) (path, query string, hasQuery bool, rules GuardRules, err *GuardError) {
	i := plainPrefix(target)
	if i == len(target) {
		return target, "", false, 0, nil
	}
	if target[i] == '?' {
		return target[:i], target[i+1:], true, 0, nil
	}
	path, query, hasQuery = strings.Cut(target, "?")
	path, rules, err = judgePath(path)
	return path, query, hasQuery, rules, err
}

// plainPrefix is the length of the longest prefix that is canonical whatever follows. The
// target begins with a slash.
func plainPrefix(target string) int {
	for i := 1; i < len(target); i++ {
		switch pathOctet[target[i]] {
		case octetPlain:
		case octetBegin:
			if target[i-1] == '/' {
				return i
			}
		default:
			return i
		}
	}
	return len(target)
}

// judgePath judges a path that the fast pass could not vouch for. It allocates only when the
// canonical form is spelled otherwise, or for very long paths.
func judgePath(path string) (canonical string, rules GuardRules, err *GuardError) {
	var room [2][512]byte
	decoded, sent, rules, rule := spell(path, room[0][:0], room[1][:0])
	if rule == 0 {
		rule = unwaivable(decoded)
	}
	if rule == 0 && emptyStart(decoded) {
		rule = startRule(path)
	}
	if rule == 0 {
		var twice GuardRules
		twice, rule = judgeTwice(decoded)
		rules |= twice
	}
	if rule != 0 {
		return "", 0, broken(rule)
	}
	if string(sent) == path {
		return path, rules, nil
	}
	return string(sent), rules, nil
}

// spell walks the octets of a path and appends what they decode to and how they are sent. The
// octets of a waivable rule are sent in the spelling received: a service that needs %2f may
// tell it from %2F, and one that needs a raw ';' takes %3B for a letter.
func spell(path string, decoded, sent []byte) (_, _ []byte, rules GuardRules, fatal GuardRule) {
	for i := 0; i < len(path); i++ {
		c, received := path[i], path[i:i+1]
		class := pathOctet[c]
		switch {
		case c == '%':
			v, ok := triplet(path[i:])
			if !ok {
				return nil, nil, 0, RuleBadPercent
			}
			c, received, class = v, path[i:i+3], pathOctet[v]
			i += 2
			if c == '/' {
				rules |= RuleSet(RuleEncodedSlash)
				class = octetOther
			}
		case c == '#':
			return nil, nil, 0, RuleFragment
		case class == octetOther && (c < 0x21 || c > 0x7E):
			return nil, nil, 0, RuleRawByte
		case c == '/' && i > 0 && path[i-1] == '/':
			rules |= RuleSet(RuleEmptySegment)
		}
		switch c {
		case '\\':
			rules |= RuleSet(RuleEncodedBackslash)
		case ';':
			rules |= RuleSet(RuleSemicolon)
		}
		decoded = append(decoded, c)
		switch {
		case class == octetPlain || class == octetBegin:
			sent = append(sent, c)
		case exceptional(c):
			sent = append(sent, received...)
		default:
			sent = appendTriplet(sent, c)
		}
	}
	return decoded, sent, rules, 0
}

// exceptional lists the octets that only an exception lets through and that keep their spelling.
func exceptional(c byte) bool { return c == '/' || c == '\\' || c == ';' }

// judgeTwice judges a decoded path as a service that decodes a second time reads it. A rule
// that nothing waives is returned beside double_encoding, so that a route that accepts double
// encoding still refuses the path. What hides a third layer, or begins with "//" when read so,
// is beyond what accepting double_encoding can mean.
func judgeTwice(decoded []byte) (rules GuardRules, fatal GuardRule) {
	if !hasTriplet(decoded) {
		return 0, 0
	}
	var room [512]byte
	twice := appendDecoded(room[:0], decoded)
	if hasTriplet(twice) || emptyStart(twice) {
		return 0, RuleDoubleEncoding
	}
	rules = RuleSet(RuleDoubleEncoding)
	if rule := unwaivable(twice); rule != 0 {
		rules |= RuleSet(rule)
	}
	return rules, 0
}

// unwaivable finds the first rule that a decoded path breaks and that no route can accept.
func unwaivable(decoded []byte) GuardRule {
	if rule := judgeRunes(decoded); rule != 0 {
		return rule
	}
	if dotPiece(decoded) {
		return RuleDotSegment
	}
	return 0
}

// judgeRunes looks for what is no UTF-8, for controls, for line separators, and for characters
// that normalisation turns into syntax.
func judgeRunes(text []byte) GuardRule {
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7F {
				return RuleEncodedControl
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return RuleBadUTF8
		case r >= 0x80 && r <= 0x9F, r == 0x2028, r == 0x2029:
			return RuleEncodedControl
		case compatible(text[i : i+size]):
			return RuleCompatChar
		}
		i += size
	}
	return 0
}

// compatible reports whether a character's NFKC form holds a character of the path's syntax: a
// service that normalises before it routes reads U+FF0F as a slash and U+2025 as two dots.
func compatible(char []byte) bool {
	return bytes.ContainsAny(norm.NFKC.Properties(char).Decomposition(), `/\.;%?#`)
}

// dotPiece reports whether a piece of a decoded path between slashes of either direction, cut at
// its first ';', is "." or "..". Decoded slashes count as well: a service that an exception
// lets them through to resolves ..%2F, and one that drops path parameters resolves "..;x".
func dotPiece(decoded []byte) bool {
	for len(decoded) > 0 {
		var piece []byte
		piece, decoded = cutPiece(decoded)
		if string(piece) == "." || string(piece) == ".." {
			return true
		}
	}
	return false
}

// emptyStart reports whether a reader who takes backslashes or encoded slashes for slashes, or
// drops path parameters, sees the path begin with "//": what stands behind it would be a host
// to whoever resolves the path as a reference (RFC 3986 section 4.2), and nothing accepts that.
func emptyStart(decoded []byte) bool {
	first, rest := cutPiece(decoded[1:])
	return len(first) == 0 && rest != nil
}

// startRule names what emptyStart found by its spelling.
func startRule(path string) GuardRule {
	c, _ := triplet(path[1:])
	switch {
	case path[1] == '/':
		return RuleEmptySegment
	case path[1] == ';' || c == ';':
		return RuleSemicolon
	case c == '/':
		return RuleEncodedSlash
	}
	return RuleEncodedBackslash
}

// cutPiece cuts the first piece off a decoded path, and its parameters off the piece. The rest is
// nil when no separator follows.
func cutPiece(decoded []byte) (piece, rest []byte) {
	end := bytes.IndexAny(decoded, `/\`)
	if end < 0 {
		piece = decoded
	} else {
		piece, rest = decoded[:end], decoded[end+1:]
	}
	if i := bytes.IndexByte(piece, ';'); i >= 0 {
		piece = piece[:i]
	}
	return piece, rest
}

// triplet reads the %XX that s begins with.
func triplet[T string | []byte](s T) (value byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, lo := unhex(s[1]), unhex(s[2])
	return hi<<4 | lo, hi < 16 && lo < 16
}

// unhex is a hex digit's value, 16 or more for any other byte.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

func appendTriplet(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

func hasTriplet(b []byte) bool {
	for i := range b {
		if _, ok := triplet(b[i:]); ok {
			return true
		}
	}
	return false
}

// appendDecoded decodes every triplet of s once; a percent sign that begins none stands for
// itself.
func appendDecoded[T string | []byte](b []byte, s T) []byte {
	for i := 0; i < len(s); i++ {
		if v, ok := triplet(s[i:]); ok {
			b = append(b, v)
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return b
}

// decodeSegment gives the text of a segment of a canonical path. It allocates only when there is
// something to decode.
func decodeSegment(segment string) string {
	if strings.IndexByte(segment, '%') < 0 {
		return segment
	}
	return string(appendDecoded(nil, segment))
}

// encodeSegment gives the one canonical spelling of a segment's text: the inverse of
// decodeSegment for text that breaks no rule.
func encodeSegment(text string) string {
	b := make([]byte, 0, len(text))
	for _, c := range []byte(text) {
		if pathOctet[c] == octetPlain || c == '.' {
			b = append(b, c)
		} else {
			b = appendTriplet(b, c)
		}
	}
	return string(b)
}

// exceptionIn reports whether a segment of a canonical path holds an octet that only an
// exception let through. Such a segment equals no literal and binds no claim.
func exceptionIn(segment string) bool {
	for i := 0; i < len(segment); i++ {
		switch segment[i] {
		case ';', '\\':
			return true
		case '%':
			v, _ := triplet(segment[i:])
			i += 2 // in canonical form the hex digits behind %25 are raw
			if exceptional(v) || v == '%' && i+2 < len(segment) && unhex(segment[i+1]) < 16 && unhex(segment[i+2]) < 16 {
				return true
			}
		}
	}
	return false
}
