package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonLimits bounds a document beyond its length in bytes.
type jsonLimits struct {
	depth  int // nested arrays and objects
	values int // values of any kind, members' names included
}

// maxNumberBytes is the longest number literal; longer ones are only good for making
// readers slow.
const maxNumberBytes = 64

// jsonObject parses src, which must be one JSON object and nothing else but white space.
//
// It is stricter than encoding/json, because two readers of one token must see the same
// claims: a member that comes twice is refused whichever way its name is written (the last
// would win elsewhere, the first in other libraries), and so are invalid UTF-8 and unpaired
// surrogates, which would silently become U+FFFD. Numbers stay json.Number. Strings without
// escapes share src's memory. The second result is a rough count of the bytes the tree takes.
func jsonObject(src string, limits jsonLimits) (map[string]any, int64, error) {
	p := jsonParser{src: src, limits: limits}
	p.space()
	if p.pos >= len(src) || src[p.pos] != '{' {
		return nil, 0, errors.New("not a JSON object")
	}
	v, err := p.value(0)
	if err != nil {
		return nil, 0, fmt.Errorf("at byte %d: %w", p.pos, err)
	}
	p.space()
	if p.pos != len(src) {
		return nil, 0, fmt.Errorf("at byte %d: bytes behind the JSON object", p.pos)
	}
	return v.(map[string]any), p.size, nil
}

type jsonParser struct {
	src    string
	pos    int
	limits jsonLimits
	values int
	size   int64
}

var (
	errJSONEnd    = errors.New("unexpected end of JSON")
	errJSONSyntax = errors.New("not JSON")
)

func (p *jsonParser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// next skips white space and returns the byte there without consuming it.
func (p *jsonParser) next() (byte, error) {
	p.space()
	if p.pos >= len(p.src) {
		return 0, errJSONEnd
	}
	return p.src[p.pos], nil
}

func (p *jsonParser) count(size int64) error {
	p.values++
	p.size += size
	if p.values > p.limits.values {
		return fmt.Errorf("more than %d values", p.limits.values)
	}
	return nil
}

func (p *jsonParser) value(depth int) (any, error) {
	c, err := p.next()
	if err != nil {
		return nil, err
	}
	if err := p.count(16); err != nil {
		return nil, err
	}
	switch c {
	case '{':
		return p.object(depth + 1)
	case '[':
		return p.array(depth + 1)
	case '"':
		return p.str()
	case 't':
		return true, p.literal("true")
	case 'f':
		return false, p.literal("false")
	case 'n':
		return nil, p.literal("null")
	}
	return p.number()
}

func (p *jsonParser) literal(word string) error {
	if !strings.HasPrefix(p.src[p.pos:], word) {
		return errJSONSyntax
	}
	p.pos += len(word)
	return nil
}

func (p *jsonParser) object(depth int) (any, error) {
	if depth > p.limits.depth {
		return nil, fmt.Errorf("nested deeper than %d", p.limits.depth)
	}
	p.pos++
	p.size += 64
	object := map[string]any{}
	for first := true; ; first = false {
		c, err := p.next()
		if err != nil {
			return nil, err
		}
		if c == '}' && first {
			p.pos++
			return object, nil
		}
		if c != '"' {
			return nil, errJSONSyntax
		}
		if err := p.member(object, depth); err != nil {
			return nil, err
		}
		if done, err := p.more('}'); done || err != nil {
			return object, err
		}
	}
}

func (p *jsonParser) member(object map[string]any, depth int) error {
	if err := p.count(48); err != nil {
		return err
	}
	name, err := p.str()
	if err != nil {
		return err
	}
	if _, twice := object[name]; twice {
		return fmt.Errorf("member %q comes twice", clip(name))
	}
	if c, err := p.next(); err != nil || c != ':' {
		return errors.Join(err, errJSONSyntax)
	}
	p.pos++
	object[name], err = p.value(depth)
	return err
}

func (p *jsonParser) array(depth int) (any, error) {
	if depth > p.limits.depth {
		return nil, fmt.Errorf("nested deeper than %d", p.limits.depth)
	}
	p.pos++
	p.size += 24
	array := []any{}
	if c, err := p.next(); err != nil {
		return nil, err
	} else if c == ']' {
		p.pos++
		return array, nil
	}
	for {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
		if done, err := p.more(']'); done || err != nil {
			return array, err
		}
	}
}

// more consumes a comma, or the end of the object or array.
func (p *jsonParser) more(end byte) (done bool, err error) {
	c, err := p.next()
	if err != nil {
		return false, err
	}
	if c != end && c != ',' {
		return false, errJSONSyntax
	}
	p.pos++
	return c == end, nil
}

// number follows RFC 8259 section 6: no plus, no leading zero, digits around the point.
func (p *jsonParser) number() (any, error) {
	start := p.pos
	p.skip('-')
	if p.skip('0') {
		if p.digits() > 0 {
			return nil, errJSONSyntax
		}
	} else if p.digits() == 0 {
		return nil, errJSONSyntax
	}
	if p.skip('.') && p.digits() == 0 {
		return nil, errJSONSyntax
	}
	if p.skip('e') || p.skip('E') {
		if !p.skip('+') {
			p.skip('-')
		}
		if p.digits() == 0 {
			return nil, errJSONSyntax
		}
	}
	if p.pos-start > maxNumberBytes {
		return nil, errors.New("number too long")
	}
	return json.Number(p.src[start:p.pos]), nil
}

func (p *jsonParser) skip(c byte) bool {
	if p.pos < len(p.src) && p.src[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *jsonParser) digits() (n int) {
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
		n++
	}
	return n
}

func (p *jsonParser) str() (string, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			s := p.src[start:p.pos]
			p.pos++
			if !utf8.ValidString(s) {
				return "", errors.New("invalid UTF-8")
			}
			p.size += int64(len(s))
			return s, nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", errors.New("control character in a string")
		}
		p.pos++
	}
	return "", errJSONEnd
}

// escaped goes on where str met the first backslash.
func (p *jsonParser) escaped(start int) (string, error) {
	out := append(make([]byte, 0, p.pos-start+32), p.src[start:p.pos]...)
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", errors.New("invalid UTF-8")
			}
			p.size += int64(len(out))
			return string(out), nil
		case c < 0x20:
			return "", errors.New("control character in a string")
		case c != '\\':
			out = append(out, c)
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return "", errJSONEnd
}

func (p *jsonParser) escape() (rune, error) {
	if p.pos >= len(p.src) {
		return 0, errJSONEnd
	}
	c := p.src[p.pos]
	p.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	}
	return 0, errJSONSyntax
}

func (p *jsonParser) unicode() (rune, error) {
	r, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if !strings.HasPrefix(p.src[p.pos:], `\u`) {
		return 0, errors.New("unpaired surrogate")
	}
	p.pos += 2
	low, err := p.hex4()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errors.New("unpaired surrogate")
	}
	return r, nil
}

func (p *jsonParser) hex4() (rune, error) {
	if p.pos+4 > len(p.src) {
		return 0, errJSONEnd
	}
	digits := p.src[p.pos : p.pos+4]
	if strings.ContainsAny(digits, "+-_") {
		return 0, errJSONSyntax
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return 0, errJSONSyntax
	}
	p.pos += 4
	return rune(n), nil
}

// clip shortens text of strangers for a log line.
func clip(s string) string {
	const longest = 128
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}
