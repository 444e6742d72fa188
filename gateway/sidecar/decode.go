package sidecar

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/gateway/policy"
)

// opt is one scalar or list of the file as it was written: whether it is there at all, and
// where, so that a fault that is found later can still point at it.
type opt[T any] struct {
	v    T
	set  bool
	node *yaml.Node
}

// or returns the written value, or def where the file says nothing.
func (o opt[T]) or(def T) T {
	if o.set {
		return o.v
	}
	return def
}

func (o *opt[T]) put(v T, n *yaml.Node) { o.v, o.set, o.node = v, true, n }

// word is a string of the file with its place.
type word struct {
	text string
	node *yaml.Node
}

// decoder walks the YAML tree of one gateway.yaml. It never stops at a fault: it notes the
// fault with its place and goes on, so that one run reports them all.
type decoder struct {
	file     string
	origin   map[*yaml.Node]string // nodes set by a flag or a variable, with its name
	findings policy.Findings
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, origin: map[*yaml.Node]string{}}
}

// key is one key of a mapping and how its value is read.
type key struct {
	name string
	read func(*yaml.Node)
}

func (d *decoder) add(sev policy.Severity, id string, n *yaml.Node, message, hint string) {
	f := policy.Finding{ID: id, Severity: sev, File: d.file, Message: message, Hint: hint}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
		if from, ok := d.origin[n]; ok {
			f.File, f.Line, f.Column = from, 0, 0
		}
	}
	d.findings = append(d.findings, f)
}

func (d *decoder) fault(id string, n *yaml.Node, message, hint string) {
	d.add(policy.SeverityError, id, n, message, hint)
}

func (d *decoder) warn(id string, n *yaml.Node, message, hint string) {
	d.add(policy.SeverityWarning, id, n, message, hint)
}

// mapping reads a mapping by its table of keys: unknown and repeated keys are faults.
func (d *decoder) mapping(n *yaml.Node, what string, keys []key) {
	if n.Kind != yaml.MappingNode {
		d.fault(idWrongType, n, what+" must be a mapping, not "+kindOf(n), "")
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if first, twice := seen[k.Value]; twice {
			d.fault(idDuplicateKey, k, fmt.Sprintf("key %q stands twice in %s", k.Value, what),
				fmt.Sprintf("the first is in line %d", first.Line))
			continue
		}
		seen[k.Value] = k
		at := slices.IndexFunc(keys, func(c key) bool { return c.name == k.Value })
		if at < 0 || k.Kind != yaml.ScalarNode {
			d.fault(idUnknownKey, k, fmt.Sprintf("unknown key %q in %s", k.Value, what), meant(k.Value, names(keys)))
			continue
		}
		keys[at].read(v)
	}
}

func names(keys []key) []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, k.name)
	}
	return out
}

// list hands every entry of a sequence to each.
func (d *decoder) list(what string, each func(*yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			d.fault(idWrongType, n, what+" must be a list, not "+kindOf(n), "")
			return
		}
		for _, entry := range n.Content {
			each(entry)
		}
	}
}

// scalar checks that n is a plain value of one of the YAML tags; the tag is YAML's own
// reading, so that an unquoted 8001 is a number and not a string.
func (d *decoder) scalar(n *yaml.Node, want string, tags ...string) (string, bool) {
	if n.Kind != yaml.ScalarNode || !slices.Contains(tags, n.ShortTag()) {
		hint := ""
		if n.Kind == yaml.ScalarNode && slices.Contains(tags, "!!str") && n.ShortTag() != "!!null" {
			hint = fmt.Sprintf("put it in quotes: %q", n.Value)
		}
		d.fault(idWrongType, n, "must be "+want+", not "+kindOf(n), hint)
		return "", false
	}
	return n.Value, true
}

func (d *decoder) text(o *opt[string]) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n, "a string", "!!str")
		if ok && s == "" {
			d.fault(idBadValue, n, "must not be empty", "leave the key out")
			return
		}
		if ok {
			o.put(s, n)
		}
	}
}

func (d *decoder) flag(o *opt[bool]) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := d.scalar(n, "true or false", "!!bool"); ok {
			o.put(strings.EqualFold(s, "true"), n)
		}
	}
}

// oneOf reads a word of a closed set.
func (d *decoder) oneOf(o *opt[string], words ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n, "one of "+strings.Join(words, ", "), "!!str")
		if ok && !slices.Contains(words, s) {
			d.fault(idBadValue, n, fmt.Sprintf("%q is not one of %s", s, strings.Join(words, ", ")), meant(s, words))
			return
		}
		if ok {
			o.put(s, n)
		}
	}
}

// count reads a whole number between low and high.
func (d *decoder) count(o *opt[int], low, high int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n, "a whole number", "!!int")
		if !ok {
			return
		}
		v, err := strconv.Atoi(s)
		if err != nil || v < low || v > high {
			d.fault(idBadValue, n, fmt.Sprintf("%s is not a number from %d to %d", s, low, high), "")
			return
		}
		o.put(v, n)
	}
}

// duration reads a Go duration with its unit, between low and high.
func (d *decoder) duration(o *opt[time.Duration], low, high time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n, "a duration such as 30s", "!!str", "!!int", "!!float")
		if !ok {
			return
		}
		v, err := time.ParseDuration(s)
		if _, bare := strconv.ParseFloat(s, 64); bare == nil && s != "0" {
			d.fault(idBadValue, n, fmt.Sprintf("the duration %s has no unit", s), fmt.Sprintf("write %ss for seconds", s))
			return
		}
		if err != nil {
			d.fault(idBadValue, n, fmt.Sprintf("%q is not a duration", s), "write it like 500ms, 30s, 5m or 1h30m")
			return
		}
		if v < low || v > high {
			d.fault(idBadValue, n, fmt.Sprintf("%s is not between %s and %s", s, low, high), "")
			return
		}
		o.put(v, n)
	}
}

// units are the only ones for sizes: powers of two, and spelled so that nobody has to guess
// whether a kilobyte is 1000 or 1024 bytes.
var units = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// size reads a number of bytes: 65536, 64KiB, 1MiB.
func (d *decoder) size(o *opt[int64], low, high int64) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.scalar(n, "a size such as 64KiB", "!!str", "!!int")
		if !ok {
			return
		}
		v, err := parseSize(s)
		if err != nil {
			hint := "write it like 65536, 64KiB or 1MiB"
			if strings.HasSuffix(strings.ToUpper(s), "B") {
				hint += "; the units are B, KiB, MiB and GiB, exactly so"
			}
			d.fault(idBadValue, n, fmt.Sprintf("%q is not a size", s), hint)
			return
		}
		if v < low || v > high {
			d.fault(idBadValue, n, fmt.Sprintf("%s is not between %d and %d bytes", s, low, high), "")
			return
		}
		o.put(v, n)
	}
}

func parseSize(s string) (int64, error) {
	factor := int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = rest, u.factor
			break
		}
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < 0 || v > math.MaxInt64/factor || s[0] == '+' {
		return 0, fmt.Errorf("not a size: %q", s)
	}
	return v * factor, nil
}

// words reads a list of strings, each with its place; with one set, a single string stands
// for a list of one.
func (d *decoder) words(o *opt[[]word], what string, one bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if one && n.Kind == yaml.ScalarNode {
			if s, ok := d.scalar(n, "a string or a list of strings", "!!str"); ok {
				o.put([]word{{s, n}}, n)
			}
			return
		}
		o.put(nil, n)
		d.list(what, func(entry *yaml.Node) {
			s, ok := d.scalar(entry, "a string", "!!str")
			if ok && s == "" {
				d.fault(idBadValue, entry, "must not be empty", "")
				return
			}
			if ok {
				o.v = append(o.v, word{s, entry})
			}
		})(n)
	}
}

// kindOf names what a node is, in the words of people who write YAML.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the truth value " + n.Value
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!str":
		return fmt.Sprintf("the string %q", clip(n.Value, 60))
	}
	return "a value tagged " + n.ShortTag()
}

// meant returns a hint with the known word nearest to the one that was written, or "".
func meant(wrote string, known []string) string {
	best, at := 3, ""
	for _, k := range known {
		if strings.EqualFold(k, wrote) || strings.EqualFold(k, strings.NewReplacer("-", "_", " ", "_").Replace(wrote)) {
			return fmt.Sprintf("did you mean %q?", k)
		}
		if dist := distance(wrote, k); dist < best && dist < len(k) {
			best, at = dist, k
		}
	}
	if at == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", at)
}

// distance is the number of single-letter edits (insert, drop, replace) between two words.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return math.MaxInt
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// clip cuts s to at most n bytes without splitting a UTF-8 sequence.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
