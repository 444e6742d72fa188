package decisions

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON (RFC 8259) from a text without copying it. encoding/json takes some ten
// times as long for a line, most of it to find out which key is meant and to copy values that
// nobody asks for; it is the oracle of the tests.
type scanner struct {
	text  string
	at    int
	depth int
	first bool // the next member or element is the first
}

// maxDepth bounds nesting: a line of the gateway's has three levels.
const maxDepth = 32

var (
	errSyntax = errors.New("no JSON value")
	errString = errors.New("no JSON string")
	errNumber = errors.New("no whole number")
	errDeep   = errors.New("nested too deeply")
)

// space skips white space and returns the next byte, 0 at the end.
func (s *scanner) space() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// open enters an array or object.
func (s *scanner) open(bracket byte) error {
	if s.space() != bracket {
		return errors.New("not a JSON " + map[byte]string{'{': "object", '[': "array"}[bracket])
	}
	s.at++
	s.first = true
	return nil
}

// more reports whether another member or element follows, and skips the comma before it. After
// a false one close, or the closing bracket, says whether all was well: what is neither comma
// nor bracket is left for the next read to stumble over.
func (s *scanner) more(bracket byte) bool {
	c := s.space()
	first := s.first
	s.first = false
	switch {
	case c == bracket || c == 0:
		return false
	case first:
		return true
	case c == ',':
		s.at++
		return s.space() != 0
	}
	s.at = len(s.text) // neither: nothing that follows can be read
	return false
}

// shut leaves an array or object.
func (s *scanner) shut(bracket byte) error {
	if s.space() != bracket {
		return errSyntax
	}
	s.at++
	return nil
}

// close leaves the outermost object, behind which nothing may stand.
func (s *scanner) close() error {
	if err := s.shut('}'); err != nil {
		return errors.New("the JSON object does not end")
	}
	if s.space() != 0 || s.at < len(s.text) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// name reads the name of a member and its colon.
func (s *scanner) name() (string, error) {
	name, err := s.string()
	if err == nil && s.space() != ':' {
		err = errSyntax
	}
	s.at++
	return name, err
}

// plain are the bytes that stand for themselves in a string.
var plain = func() (is [256]bool) {
	for c := ' '; c < 256; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// string reads a string. Without escapes it is a part of the text.
func (s *scanner) string() (string, error) {
	from, escaped, err := s.quoted()
	if err != nil {
		return "", err
	}
	inner := s.text[from : s.at-1]
	if !escaped {
		return inner, nil
	}
	return unescape(inner), nil
}

// quoted moves behind a string, whose first byte is at from.
func (s *scanner) quoted() (from int, escaped bool, err error) {
	if s.space() != '"' {
		return 0, false, errString
	}
	s.at++
	from = s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case plain[c]:
			s.at++
		case c == '"':
			s.at++
			return from, escaped, nil
		case c == '\\':
			escaped = true
			n := escape(s.text[s.at:])
			if n == 0 {
				return 0, false, errString
			}
			s.at += n
		default: // a control character
			return 0, false, errString
		}
	}
	return 0, false, errString
}

// escape is the length of the escape that a text begins with, 0 if it is none.
func escape(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(text) >= 6 {
			if _, err := strconv.ParseUint(text[2:6], 16, 16); err == nil {
				return 6
			}
		}
	}
	return 0
}

// unescape resolves the escapes of a string that quoted has read. A lone surrogate becomes
// U+FFFD.
func unescape(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		i := strings.IndexByte(text, '\\')
		if i < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:i])
		text = text[i:]
		n := escape(text)
		switch text[1] {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r := unit(text)
			if utf16.IsSurrogate(r) {
				if low := unit(text[n:]); utf16.DecodeRune(r, low) != utf8.RuneError {
					r, n = utf16.DecodeRune(r, low), n+6
				} else {
					r = utf8.RuneError
				}
			}
			b.WriteRune(r)
		default:
			b.WriteByte(text[1])
		}
		text = text[n:]
	}
	return b.String()
}

// unit is the UTF-16 code unit of an escape \uXXXX, -1 if the text begins with none.
func unit(text string) rune {
	if !strings.HasPrefix(text, `\u`) || escape(text) == 0 {
		return -1
	}
	n, _ := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n)
}

// integer reads a whole number without fraction and exponent.
func (s *scanner) integer() (int64, error) {
	text := s.number()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errNumber
	}
	return n, nil
}

// number moves behind a number and returns its text, "" if there is none.
func (s *scanner) number() string {
	s.space()
	from := s.at
	i := from
	digits := func() bool {
		begin := i
		for i < len(s.text) && s.text[i] >= '0' && s.text[i] <= '9' {
			i++
		}
		return i > begin
	}
	at := func(set string) bool {
		if i < len(s.text) && strings.IndexByte(set, s.text[i]) >= 0 {
			i++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		return ""
	}
	if at(".") && !digits() {
		return ""
	}
	if at("eE") {
		at("+-")
		if !digits() {
			return ""
		}
	}
	s.at = i
	return s.text[from:i]
}

// word reads one of the literals, if it stands here.
func (s *scanner) word(word string) bool {
	s.space()
	if !strings.HasPrefix(s.text[s.at:], word) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) null() bool { return s.word("null") }

// skip moves behind a value of any kind.
func (s *scanner) skip() error {
	switch c := s.space(); c {
	case '"':
		_, _, err := s.quoted()
		return err
	case '{', '[':
		return s.nested(c)
	case 't', 'f', 'n':
		if s.word("true") || s.word("false") || s.null() {
			return nil
		}
	default:
		if s.number() != "" {
			return nil
		}
	}
	return errSyntax
}

// nested moves behind an array or object.
func (s *scanner) nested(bracket byte) error {
	if s.depth++; s.depth > maxDepth {
		return errDeep
	}
	defer func() { s.depth-- }()
	shut := bracket + 2 // ASCII: ] and } come two after [ and {
	if err := s.open(bracket); err != nil {
		return err
	}
	for s.more(shut) {
		if bracket == '{' {
			if _, err := s.name(); err != nil {
				return err
			}
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
	return s.shut(shut)
}

// raw moves behind an array or object and returns its text.
func (s *scanner) raw(bracket byte) (string, error) {
	if s.space() != bracket {
		return "", errSyntax
	}
	from := s.at
	if err := s.nested(bracket); err != nil {
		return "", err
	}
	return s.text[from:s.at], nil
}

// words moves behind an array of strings and returns its text.
func (s *scanner) words() (string, error) {
	s.space()
	from := s.at
	if err := s.open('['); err != nil {
		return "", err
	}
	for s.more(']') {
		if _, _, err := s.quoted(); err != nil {
			return "", err
		}
	}
	if err := s.shut(']'); err != nil {
		return "", err
	}
	return s.text[from:s.at], nil
}

// tree reads a value as encoding/json does with UseNumber. It is for texts that skip accepts.
func (s *scanner) tree() any {
	switch c := s.space(); c {
	case '"':
		text, _ := s.string()
		return text
	case '[':
		list := []any{}
		for _ = s.open(c); s.more(']'); {
			list = append(list, s.tree())
		}
		_ = s.shut(']')
		return list
	case '{':
		members := map[string]any{}
		for _ = s.open(c); s.more('}'); {
			name, _ := s.name()
			members[name] = s.tree()
		}
		_ = s.shut('}')
		return members
	case 't':
		return s.word("true")
	case 'f':
		return !s.word("false")
	case 'n':
		s.null()
		return nil
	}
	return json.Number(s.number())
}
