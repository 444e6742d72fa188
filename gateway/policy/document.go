package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds on a policy file. A file beyond them is refused before anything is
// built from it; the numbers are far above what people write.
const (
	maxFileBytes = 4 << 20
	maxDepth     = 40
	maxFindings  = 1000 // errors, and as many warnings
	maxMessage   = 600  // bytes of a finding's message, and of its hint
	// maxEffort bounds all searches for a nearest word together, in pairs of
	// bytes compared: they cost the product of unknown words and known ones.
	maxEffort = 100_000_000
)

// reader walks one file's YAML nodes and gathers what is wrong with them.
//
// The walk is done by hand over yaml.Node, not by decoding into structs:
// decoding stops early, knows no columns, lets the last duplicate win inside
// custom types, and ignores a second document.
type reader struct {
	file   string
	found  Findings
	count  map[Severity]int
	effort int // spent on looking for nearest words
}

// report adds a finding at a node.
func (r *reader) report(n *yaml.Node, id, hint, format string, args ...any) {
	r.reportAt(n.Line, n.Column, id, hint, format, args...)
}

func (r *reader) reportAt(line, column int, id, hint, format string, args ...any) {
	severity := severityOf(id)
	switch n := r.count[severity]; {
	case n > maxFindings:
		return
	case n == maxFindings: // as grave as what is left out: a thousand remarks are no fault
		id, hint, format, args = idTooMany, "", "more than %d findings; the rest is not listed", []any{maxFindings}
	}
	if r.count == nil {
		r.count = map[Severity]int{}
	}
	r.count[severity]++
	r.found = append(r.found, Finding{
		ID: id, Severity: severity, File: r.file, Line: max(line, 1), Column: max(column, 1),
		Message: printable(fmt.Sprintf(format, args...)), Hint: printable(hint),
	})
}

// printable keeps a text from the file to one line of bounded length that
// shows what it holds: findings are printed on terminals and into the logs of
// build servers, where escape sequences and line breaks are commands.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || deceptive(c) {
			return utf8.RuneError
		}
		return c
	}, clip(s, maxMessage))
}

// didYouMean words the hint for an unknown word, "" when nothing is near.
func (r *reader) didYouMean(word string, candidates []string) string {
	cost := 0
	for _, c := range candidates {
		cost += len(word) * len(c)
	}
	if r.effort += cost; r.effort > maxEffort {
		return ""
	}
	if near := suggest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// document parses the bytes into the one root node that a policy file has, or
// returns nil after reporting why not.
func (r *reader) document(src []byte) *yaml.Node {
	if len(src) > maxFileBytes {
		r.reportAt(1, 1, idTooLarge, "", "the file has %d bytes, more than %d", len(src), maxFileBytes)
		return nil
	}
	if at := invalidUTF8(src); at >= 0 {
		r.reportAt(1+bytes.Count(src[:at], []byte("\n")), at-bytes.LastIndexByte(src[:at], '\n'), idSyntax,
			"save the file as UTF-8", "the file is not UTF-8")
		return nil
	}
	if !r.asItLooks(src) {
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc, second yaml.Node
	switch err := decode(dec, &doc); {
	case errors.Is(err, io.EOF):
		r.reportAt(1, 1, idDocuments, "start with `version: 1`", "the file is empty")
		return nil
	case err != nil:
		r.reportSyntax(err)
		return nil
	}
	switch err := decode(dec, &second); {
	case err == nil:
		r.report(&second, idDocuments, "remove the `---` line and what follows it", "the file holds a second YAML document")
	case !errors.Is(err, io.EOF):
		r.reportSyntax(err)
	}
	root := doc.Content[0]
	if !r.plain(root, 0) {
		return nil
	}
	return root
}

func invalidUTF8(src []byte) int {
	for i := 0; i < len(src); {
		c, size := utf8.DecodeRune(src[i:])
		if c == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// asItLooks refuses characters by which a file reads otherwise than an editor
// shows it. YAML 1.1 breaks lines where few editors do, so that the end of a
// comment may be a route; bidirectional controls reorder what is seen
// (CVE-2021-42574, "Trojan Source"); others cannot be seen at all.
func (r *reader) asItLooks(src []byte) bool {
	line, column, ok := 1, 0, true
	for at, c := range string(src) {
		column++
		switch {
		case c == '\n':
			line, column = line+1, 0
		case at == 0 && c == '\uFEFF': // a byte order mark
			column = 0
		case c == '\r' && at+1 < len(src) && src[at+1] == '\n':
		case c == '\r' || deceptive(c):
			r.reportAt(line, column, idDeceptive, "remove it; within double quotes it can be written as an escape",
				"the character %U makes the file read otherwise than it looks", c)
			ok = false
		}
	}
	return ok
}

// deceptive lists line breaks that are none to most editors, bidirectional
// controls, and characters without a width. (The joiners U+200C and U+200D have
// their use in prose.)
func deceptive(c rune) bool {
	switch c {
	case '\u0085', '\u2028', '\u2029',
		'\u061C', '\u200E', '\u200F', '\u202A', '\u202B', '\u202C', '\u202D', '\u202E', '\u2066', '\u2067', '\u2068', '\u2069',
		'\u00AD', '\u200B', '\u2060', '\uFEFF':
		return true
	}
	return false
}

// decode turns a panic of the YAML library into an error: the file may come
// from a hot reload, and a crash there would take the gateway down.
func decode(dec *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: the parser gave up: %v", p)
		}
	}()
	return dec.Decode(into)
}

var yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// reportSyntax turns the library's error into a finding with its line.
func (r *reader) reportSyntax(err error) {
	text := err.Error()
	m := yamlErrorLine.FindStringSubmatch(text)
	line, _ := strconv.Atoi(m[1])
	hint := ""
	if strings.Contains(text, "cannot start any token") {
		hint = "tabs cannot indent in YAML; a word that begins with @, ` or % must be quoted"
	}
	r.reportAt(line, 1, idSyntax, hint, "not YAML: %s", text[len(m[0]):])
}

// plain reports everything in the tree by which a file says one thing and
// means another: anchors, aliases, merge keys, tags; and nesting beyond bounds.
// It returns false when the tree must not be walked.
func (r *reader) plain(n *yaml.Node, depth int) bool {
	const hint = "write the value out where it is used"
	if depth > maxDepth {
		r.report(n, idTooLarge, "", "nested more than %d levels deep", maxDepth)
		return false
	}
	ok := true
	switch {
	case n.Kind == yaml.AliasNode:
		r.report(n, idReference, hint, "aliases (`*%s`) are not part of the language", n.Value)
		return false
	case n.Anchor != "":
		r.report(n, idReference, hint, "anchors (`&%s`) are not part of the language", n.Anchor)
		ok = false
	case n.Style&yaml.TaggedStyle != 0:
		r.report(n, idReference, "quote the value to make it a string", "tags (`%s`) are not part of the language", n.Tag)
		ok = false
	case n.Kind == yaml.ScalarNode && n.Tag == "!!merge":
		r.report(n, idReference, hint, "merge keys (`<<`) are not part of the language")
		ok = false
	}
	for _, child := range n.Content {
		ok = r.plain(child, depth+1) && ok
	}
	return ok
}
