package fastlane

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/scopegate/scopegate/gateway/gate"
)

// mostFields bounds the field lines of a head, and of a trailer section.
const mostFields = 256

// field is one field line; both are views into a buffer.
type field struct{ name, value string }

// fields are the field lines of a head. It is a [gate.Header].
type fields struct {
	lines []field
	seen  uint64   // a bit for each name that may be there
	found []string // what Values has given out for this head
}

func (f *fields) reset() {
	clear(f.lines)
	clear(f.found)
	f.lines, f.found, f.seen = f.lines[:0], f.found[:0], 0
}

// Values returns the values of all lines of this name, in any case. They stand
// until the next reset.
func (f *fields) Values(name string) []string {
	if f.seen&bit(name) == 0 {
		return nil
	}
	from := len(f.found)
	for i := range f.lines {
		if strings.EqualFold(f.lines[i].name, name) {
			f.found = append(f.found, f.lines[i].value)
		}
	}
	return f.found[from:len(f.found):len(f.found)]
}

// bit is where a name shows in seen; another name may show in the same place.
func bit(name string) uint64 { return 1 << ((len(name)*5 + int(name[0]|0x20)) & 63) }

// errLine is a line that is none, and all the lines that follow are in doubt.
var errLine = gate.ErrMalformed

// endOfHead looks for the empty line that ends a head, in what has arrived of
// it; the lines before from have been looked at. end is 0 as long as there is
// none. Only CRLF ends a line (RFC 9112 section 2.2 lets a reader take a bare
// LF for one, and smuggling begins where one reader does and another does not).
func endOfHead(b []byte, from int) (end, next int, err error) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, from, nil
		}
		at := from + i
		if at == 0 || b[at-1] != '\r' {
			return 0, from, errLine
		}
		if at == from+1 {
			return at + 1, at + 1, nil
		}
		from = at + 1
	}
}

// requestHead is a request's head as it was read.
type requestHead struct {
	method, target string
	major, minor   int
	fields
}

// parse reads a whole head, the empty line included.
func (h *requestHead) parse(b []byte) error {
	line, rest := cutLine(b)
	if hasControl(line) {
		return errLine
	}
	s := view(line)
	first := strings.IndexByte(s, ' ')
	last := strings.LastIndexByte(s, ' ')
	// RFC 9112 section 3: three parts and two single spaces. What the parts may
	// be is the gate's to judge.
	if first <= 0 || last <= first+1 || strings.IndexByte(s[first+1:last], ' ') >= 0 || strings.IndexByte(s, '\t') >= 0 {
		return errLine
	}
	var ok bool
	if h.major, h.minor, ok = version(s[last+1:]); !ok {
		return errLine
	}
	h.method, h.target = s[:first], s[first+1:last]
	return h.fields.parse(rest)
}

// answerHead is the head of a service's answer.
type answerHead struct {
	status int
	reason string
	minor  int
	fields
}

// parse reads a whole head, the empty line included. A missing reason phrase is
// accepted, with its space or without (RFC 9112 section 4).
func (h *answerHead) parse(b []byte) error {
	line, rest := cutLine(b)
	if hasControl(line) {
		return errLine
	}
	s := view(line)
	const before = "HTTP/1.1 "
	if len(s) < len(before)+3 || s[len(before)-1] != ' ' {
		return errLine
	}
	major, minor, ok := version(s[:len(before)-1])
	if !ok || major != 1 || minor > 1 {
		return errLine
	}
	h.minor, h.status = minor, 0
	for _, d := range []byte(s[len(before) : len(before)+3]) {
		if d < '0' || d > '9' {
			return errLine
		}
		h.status = h.status*10 + int(d-'0')
	}
	h.reason = ""
	if s = s[len(before)+3:]; s != "" {
		if s[0] != ' ' {
			return errLine
		}
		h.reason = s[1:]
	}
	if h.status < 100 {
		return gate.ErrStatus
	}
	return h.fields.parse(rest)
}

// version reads "HTTP/d.d", in capitals (RFC 9112 section 2.3).
func version(s string) (major, minor int, ok bool) {
	if len(s) != 8 || s[:5] != "HTTP/" || s[6] != '.' {
		return 0, 0, false
	}
	major, minor = int(s[5]-'0'), int(s[7]-'0')
	return major, minor, s[5] >= '0' && major <= 9 && s[7] >= '0' && minor <= 9
}

// parse reads field lines up to the empty one. There is no white space before a
// colon and no line that goes on in the next (RFC 9112 sections 5.1 and 5.2):
// both would need one in a name, where none is a token character.
func (f *fields) parse(b []byte) error {
	f.reset()
	for {
		line, rest := cutLine(b)
		if len(line) == 0 {
			return nil
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !isToken(line[:colon]) || hasControl(line[colon+1:]) {
			return errLine
		}
		if len(f.lines) == mostFields {
			return gate.ErrBigHead
		}
		name := view(line[:colon])
		f.lines = append(f.lines, field{name, strings.Trim(view(line[colon+1:]), " \t")})
		f.seen |= bit(name)
		b = rest
	}
}

// cutLine cuts the first line off, without its CRLF. endOfHead has seen to it
// that there is one.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	return b[:i-1], b[i+1:]
}

// view is b as a string that shares its bytes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// hasControl reports a byte that must not stand in a line: a control other
// than the tab, CR and NUL among them (RFC 9110 section 5.5). Eight bytes are
// looked at at a time, since a token alone has hundreds.
func hasControl(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		del := w ^ 0x7f*ones
		if ((w-0x20*ones)&^w|(del-ones)&^del)&highs != 0 && hasControlByte(b[:8]) {
			return true
		}
		b = b[8:]
	}
	return hasControlByte(b)
}

func hasControlByte(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// isToken reports whether b consists of token characters (RFC 9110 section 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenOctet[c] {
			return false
		}
	}
	return len(b) > 0
}

var tokenOctet = func() (t [256]bool) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "0123456789!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()
