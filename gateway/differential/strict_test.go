package differential

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The readers here take what both lanes may write and nothing else. They share
// no line with the lanes' own, so that a fault is not in both.

// line is a field line; its name is in lower case.
type line struct{ name, value string }

// message is a request or an answer as it stood on the wire.
type message struct {
	start    []string // the three parts of the first line
	spelled  []string // the fields' names as they were written
	fields   []line
	framing  string // "", "length" or "chunked"
	length   int    // declared
	body     string
	complete bool // to the end of its framing
}

func (m *message) values(name string) (v []string) {
	for _, f := range m.fields {
		if f.name == name {
			v = append(v, f.value)
		}
	}
	return v
}

// closes tells whether it says that its connection ends.
func (m *message) closes() bool { return strings.Join(m.values("connection"), ",") == "close" }

// errCut is the end of the stream within a message.
var errCut = errors.New("the stream ends within a message")

// readRequest reads a request. io.EOF is the end between two.
func readRequest(r *bufio.Reader) (*message, error) {
	m := &message{}
	if err := m.readHead(r); err != nil {
		return m, err
	}
	if len(m.start) != 3 || m.start[2] != "HTTP/1.1" || !strings.HasPrefix(m.start[1], "/") || !isName(m.start[0]) ||
		strings.ContainsFunc(m.start[1], func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return m, fmt.Errorf("the request line %q", m.start)
	}
	if len(m.values("host")) != 1 {
		return m, fmt.Errorf("hosts %q", m.values("host"))
	}
	return m, m.readBody(r, m.framing == "")
}

// readAnswer reads the final answer to a request with this method, and counts
// the interim ones before it.
func readAnswer(r *bufio.Reader, method string) (m *message, interim int, err error) {
	for {
		m = &message{}
		if err := m.readHead(r); err != nil {
			return m, interim, err
		}
		if len(m.start) < 2 || m.start[0] != "HTTP/1.1" || len(m.start[1]) != 3 || m.status() < 100 {
			return m, interim, fmt.Errorf("the status line %q", m.start)
		}
		if m.status() >= 200 || m.status() == 101 {
			break
		}
		if m.framing != "" {
			return m, interim, fmt.Errorf("an interim answer with a body: %v", m.fields)
		}
		interim++
	}
	status := m.status()
	bare := method == "HEAD" || status == 204 || status == 304
	if m.framing == "" && !bare {
		return m, interim, fmt.Errorf("no framing: %v", m.fields)
	}
	if m.framing != "" && status == 204 {
		return m, interim, fmt.Errorf("a 204 with %s", m.framing)
	}
	return m, interim, m.readBody(r, bare)
}

func (m *message) status() int {
	n, err := strconv.Atoi(m.start[1])
	if err != nil {
		return -1
	}
	return n
}

func (m *message) readHead(r *bufio.Reader) error {
	first, err := readLine(r)
	if err != nil {
		return err
	}
	m.start = strings.SplitN(first, " ", 3)
	for {
		text, err := readLine(r)
		if err == io.EOF {
			return errCut
		}
		if err != nil {
			return err
		}
		if text == "" {
			return m.frame()
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok || !isName(name) || value != "" && value[0] != ' ' || strings.Trim(value[min(1, len(value)):], " \t") != value[min(1, len(value)):] {
			return fmt.Errorf("the field line %q", text)
		}
		m.spelled = append(m.spelled, name)
		m.fields = append(m.fields, line{strings.ToLower(name), value[min(1, len(value)):]})
	}
}

// frame finds the one framing.
func (m *message) frame() error {
	lengths, codings := m.values("content-length"), m.values("transfer-encoding")
	switch {
	case len(lengths)+len(codings) > 1:
		return fmt.Errorf("framings %q and %q", lengths, codings)
	case len(codings) == 1:
		if codings[0] != "chunked" {
			return fmt.Errorf("the coding %q", codings[0])
		}
		m.framing = "chunked"
	case len(lengths) == 1:
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != lengths[0] {
			return fmt.Errorf("the length %q", lengths[0])
		}
		m.framing, m.length = "length", int(n)
	}
	return nil
}

func (m *message) readBody(r *bufio.Reader, none bool) (err error) {
	switch {
	case none:
	case m.framing == "chunked":
		m.body, err = readChunks(r)
	default:
		var body strings.Builder
		_, err = io.CopyN(&body, r, int64(m.length))
		m.body = body.String()
	}
	if err == io.EOF {
		err = errCut
	}
	m.complete = err == nil
	return err
}

func readChunks(r *bufio.Reader) (string, error) {
	var body strings.Builder
	for {
		text, err := readLine(r)
		if err != nil {
			return body.String(), err
		}
		size, err := strconv.ParseUint(text, 16, 31)
		if err != nil {
			return body.String(), fmt.Errorf("the chunk size %q", text)
		}
		if size == 0 {
			return body.String(), readTrailers(r)
		}
		if _, err := io.CopyN(&body, r, int64(size)); err != nil {
			return body.String(), err
		}
		if end, err := readLine(r); err != nil || end != "" {
			return body.String(), errors.Join(err, fmt.Errorf("%q behind a chunk", end))
		}
	}
}

// readTrailers reads over a trailer section, in which nothing may stand that
// has a meaning for this hop.
func readTrailers(r *bufio.Reader) error {
	for {
		text, err := readLine(r)
		if err != nil || text == "" {
			return err
		}
		name, _, ok := strings.Cut(text, ": ")
		switch name = strings.ToLower(name); {
		case !ok || !isName(name), name == "content-length", name == "transfer-encoding", name == "connection":
			return fmt.Errorf("the trailer %q", text)
		}
	}
}

// readLine reads to CRLF. io.EOF is the end before the first byte.
func readLine(r *bufio.Reader) (string, error) {
	text, err := r.ReadString('\n')
	if err != nil {
		if text != "" && err == io.EOF {
			err = errCut
		}
		return "", err
	}
	text, ok := strings.CutSuffix(text, "\r\n")
	if !ok || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", fmt.Errorf("a control in the line %q", text)
	}
	return text, nil
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}
