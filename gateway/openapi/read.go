package openapi

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"gopkg.in/yaml.v3"
)

// Document is an OpenAPI document of version 3.0, 3.1 or 3.2 with its references followed.
type Document struct {
	file string // as the person named it
	root string // the folder that the library's relative names are seen from
	tree *openapi3.T
}

// Version is the version of OpenAPI in which the document says that it is written.
func (d *Document) Version() string { return d.tree.OpenAPI }

// Open reads a file that a $ref names, by its path relative to the folder that references may lead
// into. It is asked for nothing else: references that leave this machine are refused before.
type Open func(file string) ([]byte, error)

// ErrUnusable is what every error of [Read] wraps: the document is none, or contradicts itself.
var ErrUnusable = errors.New("the OpenAPI document cannot be used")

// Read parses a document. file is its name for findings and name its path relative to the folder
// root, from which open reads what the document refers to; open may be nil where nothing else is to
// be read.
//
// The library takes a document for JSON when it is no YAML, and then the last of two equal keys
// wins and nothing has a place. Such a document is refused.
func Read(file, root, name string, src []byte, open Open) (doc *Document, err error) {
	defer func() { // a stranger's file must not show a stack trace
		if p := recover(); p != nil {
			doc, err = nil, unusable(file, fmt.Errorf("the parser gave up: %v", p))
		}
	}()
	if err := crowded(src); err != nil {
		return nil, unusable(file, err)
	}
	loader := openapi3.NewLoader()
	loader.IncludeOrigin = true
	loader.ReadFromURIFunc = func(_ *openapi3.Loader, at *url.URL) ([]byte, error) { return follow(at, open) }
	tree, err := loader.LoadFromDataWithPath(src, &url.URL{Path: filepath.ToSlash(name)})
	if err != nil {
		return nil, unusable(file, err)
	}
	if err := spoken(tree); err != nil {
		return nil, unusable(file, err)
	}
	if tree.Origin == nil {
		return nil, unusable(file, misread(src))
	}
	return &Document{file: file, root: root, tree: tree}, nil
}

// follow reads what a $ref leads to: files, and below one folder only. A document is often
// somebody else's, and its references would read any file and any address (SSRF).
func follow(at *url.URL, open Open) ([]byte, error) {
	local := filepath.FromSlash(at.Path)
	switch {
	case at.Scheme != "" || at.Host != "":
		return nil, fmt.Errorf("a $ref leads to %s: only files are followed; save it beside the document", at.Redacted())
	case !filepath.IsLocal(local):
		return nil, fmt.Errorf("a $ref leads to %s, out of the folder that references may lead into: name a folder around all files by --refs", at.Path)
	case open == nil:
		return nil, fmt.Errorf("a $ref leads to another file, %s", at.Path)
	}
	src, err := open(local)
	if err == nil {
		err = crowded(src)
	}
	return src, err
}

// maxKeys bounds one mapping, far above what people write.
const maxKeys = 20_000

// crowded refuses mappings over which the library would run out of time and memory: it compares each
// key with every other, and words every pair that is equal. What is no YAML is left to it.
func crowded(src []byte) error {
	var document yaml.Node
	if yaml.Unmarshal(src, &document) != nil {
		return nil
	}
	return crowdedNode(&document)
}

func crowdedNode(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		if len(n.Content)/2 > maxKeys {
			return fmt.Errorf("line %d: a mapping with more than %d keys", n.Line, maxKeys)
		}
		seen := map[string]int{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if line, twice := seen[key.Value]; twice && key.Kind == yaml.ScalarNode && key.Tag != "!!merge" {
				return fmt.Errorf("line %d: mapping key %q already defined at line %d", key.Line, key.Value, line)
			}
			seen[key.Value] = key.Line
		}
	}
	for _, child := range n.Content {
		if err := crowdedNode(child); err != nil {
			return err
		}
	}
	return nil
}

// spoken refuses versions whose words may mean something else.
func spoken(tree *openapi3.T) error {
	major, rest, _ := strings.Cut(tree.OpenAPI, ".")
	minor, _, _ := strings.Cut(rest, ".")
	switch {
	case tree.OpenAPI == "" && tree.Extensions["swagger"] != nil:
		return errors.New("it is written in Swagger 2.0: convert it to OpenAPI 3.0 or 3.1 first, as swagger2openapi does")
	case tree.OpenAPI == "":
		return errors.New("it has no `openapi:` with a version, as in openapi: 3.1.0")
	case major != "3" || minor != "0" && minor != "1" && minor != "2":
		return fmt.Errorf("it is written in OpenAPI %s: 3.0, 3.1 and 3.2 are understood", visible(tree.OpenAPI))
	}
	return nil
}

// misread says why a document that is JSON is no YAML, in which a key stands once.
func misread(src []byte) error {
	var value map[string]any
	err := yaml.Unmarshal(src, &value)
	if err == nil {
		err = errors.New("it holds the control character U+0085: write it as an escape")
	}
	return err
}

var (
	errorPrefix = regexp.MustCompile(`^(?:failed to unmarshal data: |(?:json|yaml) error: |yaml: |construct errors: |unmarshal errors:\s*)+`)
	errorInner  = regexp.MustCompile(`line \d+: go-yaml load error in \w+ at L(\d+)\.C\d+`)
	errorLine   = regexp.MustCompile(`\bline (\d+)`)
)

// unusable words the library's error: the place first where it is known, on one line.
func unusable(file string, err error) error {
	text := errorInner.ReplaceAllString(visible(err.Error()), "line $1")
	text = strings.ReplaceAll(errorPrefix.ReplaceAllString(text, ""), "openapi3.", "")
	if m := errorLine.FindStringSubmatch(text); m != nil {
		file += ":" + m[1]
		text = strings.TrimPrefix(text, m[0]+": ")
	}
	return fmt.Errorf("%w: %s: %s", ErrUnusable, file, text)
}

// Place is where something stands in a file; lines and columns count from 1, 0 is unknown.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column,omitempty"`
}

// String writes the place as a compiler would.
func (p Place) String() string {
	if p.Column == 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

func (d *Document) at(l openapi3.Location) Place {
	p := Place{File: d.file, Line: max(l.Line, 1), Column: max(l.Column, 1)}
	if name, err := url.PathUnescape(l.File); err == nil && d.tree.Origin.Key != nil && l.File != d.tree.Origin.Key.File && name != "" {
		p.File = filepath.Join(d.root, filepath.FromSlash(name))
	}
	return p
}

// field is the place of one key of an object, or else of the object.
func (d *Document) field(o *openapi3.Origin, name string) (p Place, written bool) {
	switch l, ok := field(o, name); {
	case ok:
		return d.at(l), true
	case o != nil && o.Key != nil:
		return d.at(*o.Key), false
	}
	return Place{File: d.file, Line: 1, Column: 1}, false
}

func field(o *openapi3.Origin, name string) (openapi3.Location, bool) {
	if o == nil {
		return openapi3.Location{}, false
	}
	return o.Fields.Lookup(name)
}
