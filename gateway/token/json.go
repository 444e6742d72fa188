package token

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
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

// jsonDocument is one JSON object that was checked whole: its text, and a table of the values
// in it. It is made to be parsed into again and again.
//
// It is stricter than encoding/json, because two readers of one token must see the same
// claims: a member that comes twice is refused whichever way its name is written (the last
// would win elsewhere, the first in other libraries), and so are invalid UTF-8 and unpaired
// surrogates, which would silently become U+FFFD.
type jsonDocument struct {
	text []byte
	// values stand in the order of the text, what is within an array or object behind it.
	// A member of an object is two of them, its name and its value.
	values []jsonValue
	limits jsonLimits
	pos    int
}

// jsonValue says where in its document's text a value stands.
type jsonValue struct {
	kind    byte  // the first character of it; '0' for any number
	escaped bool  // a string with a backslash in it
	start   int32 // of the text, of a string behind the quote
	end     int32 // of the text, of a string before the quote
	after   int32 // index of the next value that is not within this one
}

// root is the index of the object that the whole document is. It is no value of a member, so
// that it also says "absent".
const root = 0

var (
	errJSONEnd    = errors.New("unexpected end of JSON")
	errJSONSyntax = errors.New("not JSON")
)

// parse reads text, which must be one JSON object and nothing else but white space. The document
// refers to text from then on.
func (d *jsonDocument) parse(text []byte, limits jsonLimits) error {
	*d = jsonDocument{text: text, values: d.values[:0], limits: limits}
	d.space()
	if d.pos >= len(text) || text[d.pos] != '{' {
		return errors.New("not a JSON object")
	}
	if err := d.value(0); err != nil {
		return fmt.Errorf("at byte %d: %w", d.pos, err)
	}
	d.space()
	if d.pos != len(text) {
		return fmt.Errorf("at byte %d: bytes behind the JSON object", d.pos)
	}
	return nil
}

func (d *jsonDocument) space() {
	for d.pos < len(d.text) {
		switch d.text[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// next skips white space and returns the byte there without consuming it.
func (d *jsonDocument) next() (byte, error) {
	d.space()
	if d.pos >= len(d.text) {
		return 0, errJSONEnd
	}
	return d.text[d.pos], nil
}

// value reads a value and what is within it.
func (d *jsonDocument) value(depth int) error {
	c, err := d.next()
	if err != nil {
		return err
	}
	at, err := d.begin(c)
	if err != nil {
		return err
	}
	switch c {
	case '{':
		err = d.object(at, depth+1)
	case '[':
		err = d.array(depth + 1)
	case '"':
		err = d.str(at)
	case 't':
		err = d.literal("true")
	case 'f':
		err = d.literal("false")
	case 'n':
		err = d.literal("null")
	default:
		d.values[at].kind = '0'
		err = d.number()
	}
	d.finish(at)
	return err
}

// begin enters a value into the table, and finish its end.
func (d *jsonDocument) begin(kind byte) (at int, err error) {
	if len(d.values) >= d.limits.values {
		return 0, fmt.Errorf("more than %d values", d.limits.values)
	}
	d.values = append(d.values, jsonValue{kind: kind, start: int32(d.pos), after: math.MaxInt32})
	return len(d.values) - 1, nil
}

func (d *jsonDocument) finish(at int) {
	v := &d.values[at]
	v.end, v.after = int32(d.pos), int32(len(d.values))
	if v.kind == '"' {
		v.start, v.end = v.start+1, v.end-1
	}
}

func (d *jsonDocument) literal(word string) error {
	if !bytes.HasPrefix(d.text[d.pos:], []byte(word)) {
		return errJSONSyntax
	}
	d.pos += len(word)
	return nil
}

func (d *jsonDocument) object(at, depth int) error {
	if depth > d.limits.depth {
		return fmt.Errorf("nested deeper than %d", d.limits.depth)
	}
	d.pos++
	names := jsonNames{document: d, object: at}
	for first := true; ; first = false {
		c, err := d.next()
		if err != nil {
			return err
		}
		if c == '}' && first {
			d.pos++
			return nil
		}
		if c != '"' {
			return errJSONSyntax
		}
		if err := d.member(&names, depth); err != nil {
			return err
		}
		if done, err := d.more('}'); done || err != nil {
			return err
		}
	}
}

func (d *jsonDocument) member(names *jsonNames, depth int) error {
	name, err := d.begin('"')
	if err != nil {
		return err
	}
	if err := d.str(name); err != nil {
		return err
	}
	d.finish(name)
	if !names.add(name) {
		return fmt.Errorf("member %q comes twice", clip(d.string(name)))
	}
	if c, err := d.next(); err != nil || c != ':' {
		return errors.Join(err, errJSONSyntax)
	}
	d.pos++
	return d.value(depth)
}

// jsonNames are the names that an object has had so far.
type jsonNames struct {
	document *jsonDocument
	object   int
	count    int
	many     map[string]bool // used beyond a few, so that a large object does not take quadratic time
}

const fewNames = 16

// add reports whether the name is the first of its kind.
func (n *jsonNames) add(name int) bool {
	d := n.document
	n.count++
	if n.count <= fewNames {
		return d.find(n.object, name, d.bytes(name)) == root
	}
	if n.many == nil {
		n.many = map[string]bool{}
		for other := n.object + 1; other < name; other = int(d.values[other+1].after) {
			n.many[d.string(other)] = true
		}
	}
	text := d.string(name)
	if n.many[text] {
		return false
	}
	n.many[text] = true
	return true
}

func (d *jsonDocument) array(depth int) error {
	if depth > d.limits.depth {
		return fmt.Errorf("nested deeper than %d", d.limits.depth)
	}
	d.pos++
	if c, err := d.next(); err != nil {
		return err
	} else if c == ']' {
		d.pos++
		return nil
	}
	for {
		if err := d.value(depth); err != nil {
			return err
		}
		if done, err := d.more(']'); done || err != nil {
			return err
		}
	}
}

// more consumes a comma, or the end of the object or array.
func (d *jsonDocument) more(end byte) (done bool, err error) {
	c, err := d.next()
	if err != nil {
		return false, err
	}
	if c != end && c != ',' {
		return false, errJSONSyntax
	}
	d.pos++
	return c == end, nil
}

// number follows RFC 8259 section 6: no plus, no leading zero, digits around the point.
func (d *jsonDocument) number() error {
	start := d.pos
	d.skip('-')
	if d.skip('0') {
		if d.digits() > 0 {
			return errJSONSyntax
		}
	} else if d.digits() == 0 {
		return errJSONSyntax
	}
	if d.skip('.') && d.digits() == 0 {
		return errJSONSyntax
	}
	if d.skip('e') || d.skip('E') {
		if !d.skip('+') {
			d.skip('-')
		}
		if d.digits() == 0 {
			return errJSONSyntax
		}
	}
	if d.pos-start > maxNumberBytes {
		return errors.New("number too long")
	}
	return nil
}

func (d *jsonDocument) skip(c byte) bool {
	if d.pos < len(d.text) && d.text[d.pos] == c {
		d.pos++
		return true
	}
	return false
}

func (d *jsonDocument) digits() (n int) {
	for d.pos < len(d.text) && d.text[d.pos] >= '0' && d.text[d.pos] <= '9' {
		d.pos++
		n++
	}
	return n
}

// str checks a string: whatever passes, unescape reads.
func (d *jsonDocument) str(at int) error {
	d.pos++
	start, ascii := d.pos, true
	for d.pos < len(d.text) {
		c := d.text[d.pos]
		switch {
		case c == '"':
			if !ascii && !utf8.Valid(d.text[start:d.pos]) {
				return errors.New("invalid UTF-8")
			}
			d.pos++
			return nil
		case c < 0x20:
			return errors.New("control character in a string")
		case c == '\\':
			d.values[at].escaped = true
			_, size, err := unescape(d.text[d.pos:])
			if err != nil {
				return err
			}
			d.pos += size
			continue
		case c >= utf8.RuneSelf:
			ascii = false
		}
		d.pos++
	}
	return errJSONEnd
}

// unescape reads the escape sequence at the start of text, and returns how long it is.
func unescape(text []byte) (r rune, size int, err error) {
	if len(text) < 2 {
		return 0, 0, errJSONEnd
	}
	switch c := text[1]; c {
	case '"', '\\', '/':
		return rune(c), 2, nil
	case 'b':
		return '\b', 2, nil
	case 'f':
		return '\f', 2, nil
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case 'u':
		return unicodeEscape(text)
	}
	return 0, 0, errJSONSyntax
}

// unicodeEscape reads \uXXXX, or two of them that are one character beyond U+FFFF.
func unicodeEscape(text []byte) (r rune, size int, err error) {
	r, err = hex4(text[2:])
	if err != nil || !utf16.IsSurrogate(r) {
		return r, 6, err
	}
	if !bytes.HasPrefix(text[6:], []byte(`\u`)) {
		return 0, 0, errors.New("unpaired surrogate")
	}
	low, err := hex4(text[8:])
	if err != nil {
		return 0, 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, 0, errors.New("unpaired surrogate")
	}
	return r, 12, nil
}

func hex4(text []byte) (rune, error) {
	if len(text) < 4 {
		return 0, errJSONEnd
	}
	digits := text[:4]
	if bytes.ContainsAny(digits, "+-_") {
		return 0, errJSONSyntax
	}
	n, err := strconv.ParseUint(string(digits), 16, 32)
	if err != nil {
		return 0, errJSONSyntax
	}
	return rune(n), nil
}

// jsonObject parses src into a tree.
func jsonObject(src []byte, limits jsonLimits) (map[string]any, error) {
	var d jsonDocument
	if err := d.parse(src, limits); err != nil {
		return nil, err
	}
	return d.tree(root).(map[string]any), nil
}

// clip shortens text of strangers for a log line.
func clip(s string) string {
	const longest = 128
	if len(s) <= longest {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:longest]), nil)) + "…"
}
