package server

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const maxConfig = 1 << 20

// Load reads a configuration: defaults, then the file, then the environment,
// then flags. file may be empty. env looks a variable up by its full name;
// flags are keyed by the path of a setting. The error is a *ConfigError with
// every fault, those of the file as file:line:column.
func Load(file string, env func(string) (string, bool), flags map[string]string) (Config, error) {
	cfg := Defaults()
	var faults []string
	if file != "" {
		src, err := readConfig(file)
		if err != nil {
			return cfg, &ConfigError{[]string{err.Error()}}
		}
		faults = parseConfig(&cfg, file, src)
	}
	for _, path := range slices.Sorted(maps.Keys(settings)) {
		if value, ok := env(Variable(path)); ok {
			if err := settings[path](&cfg, value); err != nil {
				faults = append(faults, Variable(path)+": "+err.Error())
			}
		}
		if value, ok := flags[path]; ok {
			if err := settings[path](&cfg, value); err != nil {
				faults = append(faults, Flag(path)+": "+err.Error())
			}
		}
	}
	if len(faults) > 0 {
		return cfg, &ConfigError{faults}
	}
	return cfg, nil
}

// Variable is the environment variable of a setting's path.
func Variable(path string) string {
	return "SCOPEGATE_AUTHSERVER_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// Flag is the flag of a setting's path.
func Flag(path string) string {
	return "--" + strings.NewReplacer(".", "-", "_", "-").Replace(path)
}

func readConfig(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", file, err)
	}
	if len(src) > maxConfig {
		return nil, fmt.Errorf("read config %s: larger than 1 MiB", file)
	}
	return src, nil
}

// reading walks a YAML tree with positions at hand. The walk is by hand
// because the decoder knows neither columns nor all faults at once.
type reading struct {
	cfg    *Config
	file   string
	faults []string
}

func parseConfig(cfg *Config, file string, src []byte) []string {
	r := &reading{cfg: cfg, file: file}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return []string{file + ":1:1: the file is empty; it must say version: 1"}
	case err != nil:
		return []string{file + ": " + err.Error()}
	}
	if err := dec.Decode(&more); err == nil {
		r.fault(&more, "a second document; one file is one configuration")
	} else if !errors.Is(err, io.EOF) {
		return []string{file + ": " + err.Error()}
	}
	root := doc.Content[0]
	r.mapping(root, "")
	if !has(root, "version") {
		r.fault(root, "version is missing; it must be 1")
	}
	return r.faults
}

func has(node *yaml.Node, key string) bool {
	for i := 0; node.Kind == yaml.MappingNode && i < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return true
		}
	}
	return false
}

func (r *reading) fault(at *yaml.Node, format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf("%s:%d:%d: %s", r.file, at.Line, at.Column, fmt.Sprintf(format, args...)))
}

func (r *reading) mapping(node *yaml.Node, prefix string) {
	if node.Kind != yaml.MappingNode {
		r.fault(node, "%s must be a mapping of keys to values", cmp.Or(strings.TrimSuffix(prefix, "."), "the file"))
		return
	}
	seen := map[string]int{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if line, twice := seen[key.Value]; twice {
			r.fault(key, "%s is here a second time; the first is in line %d", prefix+key.Value, line)
			continue
		}
		seen[key.Value] = key.Line
		r.entry(key, value, prefix)
	}
}

func (r *reading) entry(key, value *yaml.Node, prefix string) {
	path := prefix + key.Value
	switch {
	case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
		r.fault(key, "a key must be a word")
	case value.Kind == yaml.AliasNode:
		r.fault(value, "%s: aliases are not used here; write the value", path)
	case path == "version":
		if value.Kind != yaml.ScalarNode || value.Tag != "!!int" || value.Value != "1" {
			r.fault(value, "version must be 1")
		}
	case settings[path] != nil:
		r.scalar(value, path, settings[path])
	case lists[path] != nil:
		r.list(value, path)
	case isGroup(path):
		r.mapping(value, path+".")
	default:
		r.fault(key, "%s is not a key%s", path, meant(path))
	}
}

func (r *reading) scalar(value *yaml.Node, path string, set func(*Config, string) error) {
	if value.Kind != yaml.ScalarNode || value.Tag != "!!str" {
		r.fault(value, "%s must be text", path)
		return
	}
	if err := set(r.cfg, value.Value); err != nil {
		r.fault(value, "%s %s", path, err)
	}
}

func (r *reading) list(value *yaml.Node, path string) {
	if value.Kind != yaml.SequenceNode {
		r.fault(value, "%s must be a list", path)
		return
	}
	for _, item := range value.Content {
		r.scalar(item, path, lists[path])
	}
}

// paths are all keys that have a value, sorted.
func paths() []string {
	all := append([]string{"version"}, slices.Collect(maps.Keys(settings))...)
	all = slices.AppendSeq(all, maps.Keys(lists))
	slices.Sort(all)
	return all
}

func isGroup(path string) bool {
	return slices.ContainsFunc(paths(), func(p string) bool { return strings.HasPrefix(p, path+".") })
}

// meant guesses which key a misspelt one stands for: the nearest, if at most
// a third of it differs.
func meant(path string) string {
	best, least := "", len(path)/3+1
	for _, p := range paths() {
		if d := distance(path, p); d <= least {
			best, least = p, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the Levenshtein distance of two keys, which are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
