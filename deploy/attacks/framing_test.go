package attacks

import (
	"errors"
	"strings"
)

// framing is how one back end finds the requests in the bytes of a connection. The zero value reads
// as RFC 9112 demands and refuses everything else. Each member is a liberty that some server takes or
// took; testdata/liberties.yaml names them.
type framing struct {
	Ends  string `yaml:"ends"`  // a line, beside CRLF: LF, CR, or CR+ for CR and whatever byte follows
	Blank bool   `yaml:"blank"` // empty lines before a request are skipped
	Words bool   `yaml:"words"` // white space of any kind and number parts a request line
	Nine  bool   `yaml:"nine"`  // a request line of two parts is HTTP/0.9, which has no head
	Any   bool   `yaml:"any"`   // any version is taken for 1.1

	Fold     string `yaml:"fold"`     // a line that begins with a blank: join, drop, own (a field of its own)
	Colon    string `yaml:"colon"`    // a line without a colon: drop, blank (which stands in its place)
	Nameless string `yaml:"nameless"` // an empty name: drop, end (of the head)
	Name     string `yaml:"name"`     // what is made of a name: trim, fold, squeeze, cut, keep (whatever is in it)
	Value    string `yaml:"value"`    // of a value with control characters: keep, trim, NUL (ends it)
	Hosts    string `yaml:"hosts"`    // of several hosts: first, last, target (which wins)

	Both    string `yaml:"both"`    // of two framings: CL, TE
	TE      string `yaml:"te"`      // of codings: part, first, last, all, none, never
	Old     string `yaml:"old"`     // of Transfer-Encoding in HTTP/1.0: take, drop
	CLs     string `yaml:"cls"`     // of several lengths: first, last
	CL      string `yaml:"cl"`      // of a length that is no number: prefix, base, python, zero, wrap
	Idle    bool   `yaml:"idle"`    // content is left unread where the method gives it no meaning
	Expect  bool   `yaml:"expect"`  // content is left unread where the client expects something first
	Upgrade bool   `yaml:"upgrade"` // what follows an Upgrade, to WebSockets excepted, is another protocol

	Size string `yaml:"size"` // of a chunk size that is no number: prefix, strtol, python, trim, wrap, empty
	Ext  bool   `yaml:"ext"`  // a chunk extension holds anything up to the end of its line
	Data string `yaml:"data"` // behind a chunk: any (two bytes), none, line (up to its end)
	Last string `yaml:"last"` // behind the last chunk: none, any (two bytes)
}

// span is one request as a framing sees it.
type span struct {
	start, end           int // of the whole message
	method, target, host string
}

var (
	errRefused = errors.New("refused") // the back end answers 400 and closes
	errWaiting = errors.New("waiting") // it waits for more bytes
)

// requests are those that a back end sees in what it received, and what it does then: nil means that it is
// ready for the next.
func (f *framing) requests(in string) (all []span, err error) {
	r := &scan{framing: f, in: in}
	for {
		for f.Blank && r.at < len(in) && strings.IndexByte("\r\n", in[r.at]) >= 0 {
			r.at++
		}
		if r.at == len(in) {
			return all, nil
		}
		r.span, r.fields = span{start: r.at}, r.fields[:0]
		if err := r.head(); err != nil {
			return all, err
		}
		err := r.body()
		r.end = r.at
		all = append(all, r.span)
		if err != nil {
			return all, err
		}
	}
}

// scan is a framing at work.
type scan struct {
	*framing
	in string
	at int
	span
	version string
	fields  [][2]string
}

// line is the next line, without its end.
func (r *scan) line() (string, error) {
	if r.Ends == "" {
		text, _, found := strings.Cut(r.in[r.at:], "\r\n")
		if !found {
			return "", errWaiting
		}
		r.at += len(text) + 2
		return text, nil
	}
	for i := r.at; i < len(r.in); i++ {
		n := 0
		switch c := r.in[i]; {
		case c == '\r' && strings.HasPrefix(r.in[i+1:], "\n"):
			n = 2
		case c == '\n' && r.Ends == "LF", c == '\r' && r.Ends == "CR":
			n = 1
		case c == '\r' && r.Ends == "CR+":
			n = min(2, len(r.in)-i)
		}
		if n > 0 {
			text := r.in[r.at:i]
			r.at = i + n
			return text, nil
		}
	}
	return "", errWaiting
}

func (r *scan) head() error {
	line, err := r.line()
	if err != nil {
		return err
	}
	parts := strings.Split(line, " ")
	if r.Words {
		parts = strings.Fields(line)
	}
	switch {
	case len(parts) == 2 && r.Nine:
		r.method, r.target = parts[0], parts[1]
		return nil
	case len(parts) != 3 || !token(parts[0]) || !r.Words && strings.ContainsFunc(line, blankOrControl):
		return errRefused
	}
	r.method, r.target, r.version = parts[0], parts[1], parts[2]
	if r.version != "HTTP/1.1" && r.version != "HTTP/1.0" {
		if !r.Any {
			return errRefused
		}
		r.version = "HTTP/1.1"
	}
	for {
		line, err := r.line()
		switch {
		case err != nil:
			return err
		case line == "":
			return r.findHost()
		}
		end, err := r.field(line)
		switch {
		case err != nil:
			return err
		case end:
			return r.findHost()
		}
	}
}

// control characters have no place in a value, where a tab has one; in a request line it has none.
func control(c rune) bool        { return c < ' ' && c != '\t' || c == 0x7f }
func blankOrControl(c rune) bool { return c < ' ' || c == 0x7f }

// token is RFC 9110 section 5.6.2's.
func token(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func alphanumeric(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// field reads one line of the head; end says that it is taken for the last.
func (r *scan) field(line string) (end bool, err error) {
	if line[0] == ' ' || line[0] == '\t' {
		switch {
		case r.Fold == "join" && len(r.fields) > 0:
			last := &r.fields[len(r.fields)-1]
			last[1] = strings.Trim(last[1]+" "+strings.Trim(line, " \t"), " \t")
			return false, nil
		case r.Fold == "drop":
			return false, nil
		case r.Fold != "own":
			return false, errRefused
		}
		line = strings.TrimLeft(line, " \t")
	}
	name, value, found := strings.Cut(line, ":")
	if !found {
		switch r.Colon {
		case "drop":
			return false, nil
		case "blank":
			name, value, _ = strings.Cut(line, " ")
		default:
			return false, errRefused
		}
	}
	if name == "" {
		if r.Nameless == "" {
			return false, errRefused
		}
		return r.Nameless == "end", nil
	}
	name = r.named(name)
	value, err = r.valued(value)
	if err != nil || r.Name != "keep" && !token(name) {
		return false, errRefused
	}
	r.fields = append(r.fields, [2]string{strings.ToLower(name), value})
	return false, nil
}

// blanks are what one stack or another strips from the ends of names and values.
const blanks = " \t\r\n\v\f\x00\x1c\x1d\x1e\x1f\x85\xa0\xad\xff"

func trimmed(s string) string {
	for s != "" && strings.IndexByte(blanks, s[0]) >= 0 {
		s = s[1:]
	}
	for s != "" && strings.IndexByte(blanks, s[len(s)-1]) >= 0 {
		s = s[:len(s)-1]
	}
	return s
}

func (r *scan) named(name string) string {
	switch r.Name {
	case "trim":
		return trimmed(name)
	case "fold": // as CGI does: every byte that is no letter and no digit is the same
		folded := []byte(name)
		for i, c := range folded {
			if !alphanumeric(c) {
				folded[i] = '-'
			}
		}
		return string(folded)
	case "squeeze": // drops what cannot be part of a name
		var b strings.Builder
		for i := range len(name) {
			if token(name[i : i+1]) {
				b.WriteByte(name[i])
			}
		}
		return b.String()
	case "cut": // ends it at the first such byte
		for i := range len(name) {
			if !token(name[i : i+1]) {
				return name[:i]
			}
		}
	}
	return name
}

func (r *scan) valued(value string) (string, error) {
	switch r.Value {
	case "trim":
		return trimmed(value), nil
	case "NUL":
		value, _, _ = strings.Cut(value, "\x00")
	case "":
		if strings.ContainsFunc(value, control) {
			return "", errRefused
		}
	}
	return strings.Trim(value, " \t"), nil
}

// values are those of a field, in order.
func (r *scan) values(name string) (all []string) {
	for _, f := range r.fields {
		if f[0] == name {
			all = append(all, f[1])
		}
	}
	return all
}

func (r *scan) findHost() error {
	all := r.values("host")
	if r.Hosts == "target" {
		if _, rest, found := strings.Cut(r.target, "://"); found {
			all = []string{strings.SplitN(rest, "/", 2)[0]}
		}
	}
	switch {
	case len(all) == 0 && r.version == "HTTP/1.0":
		return nil
	case len(all) == 0, len(all) > 1 && r.Hosts == "":
		return errRefused
	case r.Hosts == "last":
		r.host = all[len(all)-1]
	default:
		r.host = all[0]
	}
	return nil
}
