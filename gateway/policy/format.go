package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Format gives a policy or a test file its canonical layout: two spaces for each
// level, lists included; one space behind a colon, a dash and a comma; braces
// with a space inside, brackets without; at most one blank line, and one before
// each section; comments at the end of a line in the column where they are, or
// one space behind the text where they were so or it has become too long. Order, quotes and words stay as they are: nothing
// but white space changes.
//
// The source is one that Load or ReadSuite takes. The error is about layouts that
// it cannot keep, of which the language needs none; nothing is lost by it.
func Format(src []byte) ([]byte, error) {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	for range mostPasses {
		out, err := formatOnce(src)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(src, out) {
			return out, nil
		}
		src = out
	}
	return nil, errors.New("no layout of it stays as it is")
}

// mostPasses is one for the layout and one to see that it stays; a comment in an
// odd place may need another.
const mostPasses = 4

func formatOnce(src []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(src, &document); err != nil {
		return nil, err
	}
	if document.Kind != yaml.DocumentNode {
		return nil, errors.New("the file holds no document")
	}
	l := &layout{lines: splitLines(src), indents: map[int]int{}, verbatim: map[int]bool{}, sections: map[int]bool{}}
	root := document.Content[0]
	if root.Kind == yaml.MappingNode && root.Style&yaml.FlowStyle == 0 {
		for i := 0; i+1 < len(root.Content); i += 2 {
			l.sections[root.Content[i].Line] = i > 0 && isBlock(root.Content[i+1])
		}
	}
	l.place(root, 0)
	out := l.write()
	return out, sameButSpace(src, out, &document)
}

// sameButSpace is the promise: words and comments are all there, in their order,
// and YAML reads the same.
func sameButSpace(src, out []byte, before *yaml.Node) error {
	if !bytes.Equal(withoutSpace(src), withoutSpace(out)) {
		return errors.New("its layout cannot be changed without changing more than white space")
	}
	var after yaml.Node
	if err := yaml.Unmarshal(out, &after); err != nil {
		return fmt.Errorf("its layout cannot be changed: %w", err)
	}
	if at := difference(before, &after); at != nil {
		return fmt.Errorf("the layout around line %d cannot be changed without changing what it says", at.Line)
	}
	return nil
}

func withoutSpace(b []byte) []byte {
	return bytes.Map(func(c rune) rune {
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			return -1
		}
		return c
	}, b)
}

// difference is the first node of a that says something else than its twin in b.
func difference(a, b *yaml.Node) *yaml.Node {
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return a
	}
	for i := range a.Content {
		if at := difference(a.Content[i], b.Content[i]); at != nil {
			return at
		}
	}
	return nil
}

func splitLines(src []byte) []string {
	lines := strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t")
	}
	return lines
}

// layout is a file on its way to the canonical form. Lines count from 1, as
// YAML's nodes have it.
type layout struct {
	lines    []string
	indents  map[int]int  // of the lines with which an entry begins: the new indentation
	verbatim map[int]bool // lines of a block scalar, which keep their blanks
	sections map[int]bool // lines of top-level keys that a blank line goes before
	out      []string
}

func (l *layout) line(n int) string { return l.lines[n-1] }

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func isBlock(n *yaml.Node) bool {
	return (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode) && n.Style&yaml.FlowStyle == 0
}

// place finds the lines with which entries begin.
func (l *layout) place(n *yaml.Node, depth int) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		l.keep(n)
	case !isBlock(n):
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			l.begin(l.dash(item.Line), depth)
			l.place(item, depth+1)
		}
	default:
		for i := 0; i+1 < len(n.Content); i += 2 {
			l.begin(n.Content[i].Line, depth)
			l.place(n.Content[i+1], depth+1)
		}
	}
}

// begin notes the depth of a line. The first key behind a dash has the dash's.
func (l *layout) begin(line, depth int) {
	if _, known := l.indents[line]; !known {
		l.indents[line] = 2 * depth
	}
}

// dash is the line of the dash before an item, which may stand alone above it.
func (l *layout) dash(line int) int {
	for n := line; n > 0; n-- {
		if text := strings.TrimLeft(l.line(n), " "); text == "-" || strings.HasPrefix(text, "- ") {
			return n
		}
	}
	return line
}

// keep marks the lines of a block scalar: those below its head that are indented
// further than the entry that it is the value of.
func (l *layout) keep(n *yaml.Node) {
	head := n.Line
	last := head
	for i := head + 1; i <= len(l.lines); i++ {
		if text := l.line(i); text != "" {
			if indentOf(text) <= indentOf(l.line(head)) {
				break
			}
			last = i
		}
	}
	for i := head + 1; i <= last; i++ {
		l.verbatim[i] = true
	}
}

// write lays out line after line.
func (l *layout) write() []byte {
	shift, open := 0, 0 // of the entry in hand: how far it moved, and its brackets
	for i := range l.lines {
		n, text := i+1, l.lines[i]
		indent, begins := l.indents[n]
		switch {
		case l.verbatim[n]:
			l.out = append(l.out, moved(text, shift))
		case text == "":
			l.blank()
		case begins:
			if l.sections[n] {
				l.separate()
			}
			shift = indent - indentOf(text)
			var laid string
			laid, open = entryLine(text)
			l.out = append(l.out, strings.Repeat(" ", indent)+tailed(laid, text, indent))
		case open > 0 || !strings.HasPrefix(strings.TrimLeft(text, " "), "#"):
			open += scan(strings.TrimLeft(text, " ")).depth
			l.out = append(l.out, moved(text, shift))
		default:
			l.out = append(l.out, strings.Repeat(" ", l.commentIndent(n))+strings.TrimLeft(text, " "))
		}
	}
	for len(l.out) > 0 && l.out[len(l.out)-1] == "" {
		l.out = l.out[:len(l.out)-1]
	}
	return []byte(strings.Join(l.out, "\n") + "\n")
}

// blank adds an empty line, if there is not one already and something has begun.
func (l *layout) blank() {
	if len(l.out) == 0 {
		return
	}
	last := l.out[len(l.out)-1]
	text, _, _ := strings.Cut(last, " #")
	if text != "" && !strings.HasSuffix(strings.TrimRight(text, " "), ":") {
		l.out = append(l.out, "")
	}
}

// separate puts an empty line before the comments that stand right above.
func (l *layout) separate() {
	at := len(l.out)
	for at > 0 && strings.HasPrefix(l.out[at-1], "#") {
		at--
	}
	if at > 0 && l.out[at-1] != "" {
		l.out = slices.Insert(l.out, at, "")
	}
}

func moved(text string, shift int) string {
	if text == "" {
		return ""
	}
	return strings.Repeat(" ", max(0, indentOf(text)+shift)) + strings.TrimLeft(text, " ")
}

// commentIndent is the new indentation of a comment line: that of the entry which
// it stands before, or after where only that one stood as far in.
func (l *layout) commentIndent(n int) int {
	own := indentOf(l.line(n))
	after, before := -1, -1
	for i := n + 1; i <= len(l.lines) && after < 0; i++ {
		if _, begins := l.indents[i]; begins {
			after = i
		}
	}
	for i := n - 1; i > 0 && before < 0; i-- {
		if _, begins := l.indents[i]; begins {
			before = i
		}
	}
	switch {
	case after > 0 && (before < 0 || indentOf(l.line(after)) >= own):
		return l.indents[after]
	case before > 0 && (after < 0 || indentOf(l.line(before)) <= own):
		if after < 0 && own == 0 {
			return 0
		}
		return l.indents[before]
	case after > 0:
		return l.indents[after]
	}
	return 0
}

// tailed puts a line's comment behind its text again: one space behind it where
// it was so, else in its column if there is room.
func tailed(laid, line string, indent int) string {
	at := scan(line).comment
	if at < 0 {
		return laid
	}
	gap := 1
	if strings.HasSuffix(line[:at], "  ") {
		gap = max(1, utf8.RuneCountInString(line[:at])-indent-utf8.RuneCountInString(laid))
	}
	return laid + strings.Repeat(" ", gap) + line[at:]
}
