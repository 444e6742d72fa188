package policy

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// entry is one key of a mapping with its value.
type entry struct {
	key, value *yaml.Node
}

// entries returns the pairs of a mapping, without keys that are no text and
// without repeated ones, which are reported.
func (r *reader) entries(n *yaml.Node, what string) []entry {
	if n.Kind != yaml.MappingNode {
		r.report(n, idType, "", "%s must be a mapping, not %s", what, describe(n))
		return nil
	}
	out := make([]entry, 0, len(n.Content)/2)
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if _, ok := r.text(key, "a key"); !ok {
			continue
		}
		if line, twice := lines[key.Value]; twice {
			r.report(key, idDuplicate, "", "%q stands twice in one mapping, first in line %d", key.Value, line)
			continue
		}
		lines[key.Value] = key.Line
		out = append(out, entry{key, value})
	}
	return out
}

// fields are the values of a mapping with a fixed set of keys.
type fields map[string]*yaml.Node

// fields reads a mapping whose keys must be among known.
func (r *reader) fields(n *yaml.Node, what string, known ...string) fields {
	out := fields{}
	for _, e := range r.entries(n, what) {
		if !slices.Contains(known, e.key.Value) {
			r.unknownKey(e.key, what, known)
			continue
		}
		out[e.key.Value] = e.value
	}
	return out
}

func (r *reader) unknownKey(key *yaml.Node, what string, known []string) {
	hint := r.didYouMean(key.Value, known)
	if hint == "" {
		hint = "known here: " + strings.Join(known, ", ")
	}
	r.report(key, idUnknownKey, hint, "unknown key %q in %s", key.Value, what)
}

// text reads a string. A number, a boolean or null in its place is an error,
// and so is a word that readers of YAML 1.1 take for a boolean.
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		hint := ""
		if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
			hint = "quote it: " + quoted(n.Value)
		}
		r.report(n, idType, hint, "%s must be a string, not %s", what, describe(n))
		return "", false
	}
	return n.Value, r.unmistakable(n)
}

// unmistakable refuses unquoted words and numbers that YAML 1.1 and 1.2 read
// differently: `no` and `on` as booleans, `0777`, `1_000` and `12:30:00` as
// numbers, dates as instants.
func (r *reader) unmistakable(n *yaml.Node) bool {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return true
	}
	switch strings.ToLower(n.Value) {
	case "y", "n", "yes", "no", "on", "off":
		r.report(n, idTrapWord, "quote it: "+quoted(n.Value), "some readers take an unquoted %q for a boolean", n.Value)
		return false
	}
	if isSexagesimal(n.Value) {
		r.report(n, idTrapWord, "quote it: "+quoted(n.Value), "some readers take an unquoted %q for a number", n.Value)
		return false
	}
	return true
}

// isSexagesimal recognises YAML 1.1's numbers to the base of sixty.
func isSexagesimal(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return strings.Contains(s, ":") && s[0] != ':' && strings.Trim(s, "0123456789:") == ""
}

// words reads one string or a list of at least one, none of them twice.
func (r *reader) words(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind == yaml.SequenceNode {
		return r.list(n, what)
	}
	if _, ok := r.text(n, what); !ok {
		return nil
	}
	return []*yaml.Node{n}
}

// list reads a list of at least one string, none of them twice.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.Kind == yaml.ScalarNode && n.Value != "" {
			hint = "write a list: [" + n.Value + "]"
		}
		r.report(n, idType, hint, "%s must be a list, not %s", what, describe(n))
		return nil
	}
	if len(n.Content) == 0 {
		r.report(n, idType, "", "%s must not be empty", what)
		return nil
	}
	var out []*yaml.Node
	seen := map[string]bool{}
	for _, item := range n.Content {
		if _, ok := r.text(item, "an entry of "+what); !ok || r.repeated(item, what, seen) {
			continue
		}
		out = append(out, item)
	}
	return out
}

func (r *reader) repeated(item *yaml.Node, what string, seen map[string]bool) bool {
	if seen[item.Value] {
		r.report(item, idRepeated, "", "%q stands twice in %s", item.Value, what)
		return true
	}
	seen[item.Value] = true
	return false
}

// truth reads a boolean written as true or false.
func (r *reader) truth(n *yaml.Node, what string) (value, ok bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || (n.Value != "true" && n.Value != "false") {
		r.report(n, idType, "write true or false", "%s must be a boolean, not %s", what, describe(n))
		return false, false
	}
	return n.Value == "true", true
}

// describe names what stands at a node, for a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the boolean " + n.Value
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!timestamp":
		return "the date " + n.Value
	}
	return quoted(n.Value)
}

func quoted(s string) string {
	const longest = 60
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return `"` + s + `"`
}

func values(nodes []*yaml.Node) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.Value
	}
	return out
}
