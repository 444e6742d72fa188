package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds on a policy file. A file beyond them is refused before anything is
// built from it; the numbers are far above what people write.
const (
	maxFileBytes = 4 << 20
	maxDepth     = 40
	maxFindings  = 1000
	// maxSuggested bounds the searches for a nearest word, which cost the
	// product of unknown words and known ones.
	maxSuggested = 100
)

// reader walks one file's YAML nodes and gathers what is wrong with them.
//
// The walk is done by hand over yaml.Node, not by decoding into structs:
// decoding stops early, knows no columns, lets the last duplicate win inside
// custom types, and ignores a second document.
type reader struct {
	file      string
	found     Findings
	full      bool
	suggested int
}

// report adds a finding at a node.
func (r *reader) report(n *yaml.Node, id, hint, format string, args ...any) {
	r.reportAt(n.Line, n.Column, id, hint, format, args...)
}

func (r *reader) reportAt(line, column int, id, hint, format string, args ...any) {
	if r.full {
		return
	}
	if len(r.found) == maxFindings {
		r.full = true
		id, hint, format, args = idTooMany, "", "more than %d findings; the rest is not listed", []any{maxFindings}
	}
	r.found = append(r.found, Finding{
		ID: id, Severity: severityOf(id), File: r.file, Line: max(line, 1), Column: max(column, 1),
		Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// didYouMean words the hint for an unknown word, "" when nothing is near.
func (r *reader) didYouMean(word string, candidates []string) string {
	if r.suggested == maxSuggested {
		return ""
	}
	r.suggested++
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
