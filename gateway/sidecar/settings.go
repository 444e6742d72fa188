package sidecar

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Setting is one scalar of gateway.yaml that a flag or an environment variable may set.
type Setting struct {
	Path string // as in the file, dotted: limits.connections
}

// Flag is the long name of the setting's flag, without dashes: limits-connections.
func (s Setting) Flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.Path)
}

// Variable is the name of the setting's environment variable.
func (s Setting) Variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(s.Path, ".", "_"))
}

const variablePrefix = "SCOPEGATE_GATEWAY_"

// Settings lists every scalar that can be set from outside the file. Lists (issuers,
// services, trusted proxies) come from the file only.
func Settings() []Setting {
	return []Setting{
		{"listen"},
		{"admin"},
		{"limits.connections"},
		{"limits.per_address"},
		{"tls.cert"},
		{"tls.key"},
		{"tls.client_ca"},
		{"token_cache"},
		{"drain_delay"},
		{"drain_timeout"},
		{"ready"},
		{"log.format"},
		{"log.sample_allowed"},
		{"hide_routes"},
		{"identity_max"},
		{"pprof"},
		{"explain_key"},
		{"reload.widening"},
	}
}

// override is one value from outside the file.
type override struct {
	path, value, from string
}

// overrides collects what flags and environment set, flags last because they win. Faults are
// noted in d under the name of the flag or variable.
func overrides(d *decoder, flags map[string]string, environ []string) []override {
	var out []override
	env := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, variablePrefix) {
			env[name] = value
		}
	}
	known := []string{variablePrefix + "CONFIG"}
	for _, s := range Settings() {
		name := s.Variable()
		known = append(known, name, name+"_FILE")
		if value, ok := d.variable(env, name); ok && value != "" { // empty means not set, as compose files expect
			out = append(out, override{s.Path, value, "environment variable " + name})
		}
	}
	for name := range env {
		if !slices.Contains(known, name) && !serviceLink(name) {
			d.addFrom("environment variable "+name, idUnknownVariable, "is not a setting of the gateway", meant(name, known))
		}
	}
	for _, s := range Settings() {
		if value, ok := flags[s.Path]; ok {
			out = append(out, override{s.Path, value, "flag --" + s.Flag()})
		}
	}
	return out
}

// variable reads a setting from NAME, or from the file that NAME_FILE points to.
func (d *decoder) variable(env map[string]string, name string) (string, bool) {
	value, direct := env[name]
	path, byFile := env[name+"_FILE"]
	if !byFile {
		return value, direct
	}
	from := "environment variable " + name + "_FILE"
	if direct {
		d.faultFrom(from, idOverride, "stands beside "+name, "set one of them")
		return "", false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		d.faultFrom(from, idUnreadable, err.Error(), "")
		return "", false
	}
	return strings.TrimRight(string(text), "\r\n"), true
}

// serviceLink tells the variables that Kubernetes sets in every pod for a Service that is
// called scopegate-gateway; they are nobody's mistake.
func serviceLink(name string) bool {
	rest := strings.TrimPrefix(name, variablePrefix)
	return rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_")
}

// override puts the values from outside into the tree, as if the file had said them.
func (d *decoder) override(root *yaml.Node, over []override) {
	for _, o := range over {
		at := root
		parts := strings.Split(o.path, ".")
		for _, name := range parts[:len(parts)-1] {
			next := child(at, name)
			if next == nil {
				next = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
				d.origin[next] = o.from
				at.Content = append(at.Content, d.synthetic(name, "!!str", o.from), next)
			}
			if next.Kind != yaml.MappingNode {
				at = nil // the walk reports the wrong type in the file
				break
			}
			at = next
		}
		if at == nil {
			continue
		}
		last := parts[len(parts)-1]
		// An empty tag lets YAML resolve the text as it would in the file: 5 is a number.
		value := d.synthetic(o.value, "", o.from)
		if old := index(at, last); old >= 0 {
			at.Content[old+1] = value
			continue
		}
		at.Content = append(at.Content, d.synthetic(last, "!!str", o.from), value)
	}
}

func (d *decoder) synthetic(value, tag, from string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: value, Tag: tag}
	d.origin[n] = from
	return n
}

func index(mapping *yaml.Node, name string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return i
		}
	}
	return -1
}

func child(mapping *yaml.Node, name string) *yaml.Node {
	if i := index(mapping, name); i >= 0 {
		return mapping.Content[i+1]
	}
	return nil
}

func (d *decoder) faultFrom(from, id, message, hint string) {
	n := d.synthetic("", "", from)
	d.fault(id, n, message, hint)
}

func (d *decoder) addFrom(from, id, message, hint string) {
	n := d.synthetic("", "", from)
	d.warn(id, n, fmt.Sprintf("%s %s", from, message), hint)
}
