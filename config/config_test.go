// Package config_test holds the shipped files, the schemas and the loaders to one another.
// The folder itself is data: what operators edit, and what their editors judge it by.
package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/authserver/server"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// verdict is what a loader says of a file: its faults and its warnings, one text each.
// A warning begins with its id.
type verdict struct{ faults, warnings []string }

// kinds are the formats: how a file of each is loaded, and what schema judges it.
var kinds = map[string]func(t *testing.T, file string) verdict{
	"policy": func(t *testing.T, file string) verdict {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		loaded, findings := policy.Load(file, src)
		if (loaded == nil) != findings.HasErrors() {
			t.Errorf("a policy is %t, errors are %t", loaded != nil, findings.HasErrors())
		}
		return divide(findings)
	},
	"tests": func(t *testing.T, file string) verdict {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		suite, findings := policy.ReadSuite(file, src)
		if suite != nil {
			_, findings = suite.Bind(shop(t))
		}
		return divide(findings)
	},
	"gateway": func(t *testing.T, file string) verdict {
		loaded, findings := sidecar.LoadConfig(sidecar.Source{File: file})
		if faulty := len(findings.Errors()) > candidateFaults(loaded); (loaded == nil) != faulty {
			t.Errorf("a configuration is %t, errors are %t", loaded != nil, faulty)
		}
		return divide(findings)
	},
	"authserver": func(t *testing.T, file string) verdict {
		_, err := server.Load(file, func(string) (string, bool) { return "", false }, nil)
		var faulty *server.ConfigError
		if errors.As(err, &faulty) {
			return verdict{faults: faulty.Faults}
		}
		if err != nil {
			t.Errorf("an error that is no *server.ConfigError: %v", err)
		}
		return verdict{}
	},
}

// candidateFaults counts the errors that keep no configuration from being served.
func candidateFaults(c *sidecar.Config) (n int) {
	if c == nil {
		return 0
	}
	for _, s := range c.Services {
		n += len(s.Candidate.Faults)
	}
	return n
}

func divide(findings policy.Findings) (v verdict) {
	for _, f := range findings {
		if f.Severity == policy.SeverityError {
			v.faults = append(v.faults, f.String())
		} else {
			v.warnings = append(v.warnings, f.ID+" "+f.Message)
		}
	}
	return v
}

func schema(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiled, err := compiler.Compile(filepath.Join("schema", kind+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// judge asks a schema about the first document of a YAML file, as an editor does.
func judge(t *testing.T, s *jsonschema.Schema, file string) error {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(src, &node); err != nil {
		return err
	}
	value, err := plain(&node)
	if err != nil {
		return err
	}
	return s.Validate(value)
}

// plain turns a YAML tree into what JSON would have given: yaml's own decoder refuses
// repeated keys, which a schema cannot see and an editor reports by other means.
func plain(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		return plain(n.Content[0])
	case yaml.AliasNode:
		return plain(n.Alias)
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			value, err := plain(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			out[n.Content[i].Value] = value
		}
		return out, nil
	case yaml.SequenceNode:
		out := []any{}
		for _, item := range n.Content {
			value, err := plain(item)
			if err != nil {
				return nil, err
			}
			out = append(out, value)
		}
		return out, nil
	}
	var value any
	if err := n.Decode(&value); err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// TestLoadersAndSchemasJudgeAlike reads testdata/KIND/VERDICT/one-claim.yaml. Good files pass
// both judges, bad ones neither; the faults of loader-only are beyond a schema: what two
// places say of each other, other files, bounds of durations and sizes, repeated keys.
func TestLoadersAndSchemasJudgeAlike(t *testing.T) {
	for kind, load := range kinds {
		judged := schema(t, kind)
		for _, folder := range []struct {
			name                 string
			loadGood, schemaGood bool
		}{{"good", true, true}, {"bad", false, false}, {"loader-only", false, true}} {
			files, err := filepath.Glob(filepath.Join("testdata", kind, folder.name, "*.yaml"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no files of kind %s in %s: %v", kind, folder.name, err)
			}
			for _, file := range files {
				claim := strings.TrimSuffix(strings.TrimPrefix(file, "testdata"+string(filepath.Separator)), ".yaml")
				t.Run(claim, func(t *testing.T) {
					v := load(t, file)
					if good := len(v.faults) == 0; good != folder.loadGood {
						t.Errorf("the loader finds %q", v.faults)
					}
					for _, fault := range v.faults {
						if !regexp.MustCompile(`\.(yaml|pem):\d+:\d+|nowhere`).MatchString(fault) {
							t.Errorf("a fault without its place: %s", fault)
						}
					}
					if err := judge(t, judged, file); (err == nil) != folder.schemaGood {
						t.Errorf("the schema says: %v", err)
					}
					if folder.loadGood && kind == "gateway" {
						sameWarnings(t, file, v.warnings)
					}
				})
			}
		}
	}
}

// sameWarnings compares warnings with those that a file declares in its first line.
func sameWarnings(t *testing.T, file string, got []string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want, ids []string
	if m := regexp.MustCompile(`^# warns: (.*)\n`).FindSubmatch(src); m != nil {
		want = strings.Fields(string(m[1]))
	}
	for _, warning := range got {
		id, _, _ := strings.Cut(warning, " ")
		ids = append(ids, id)
	}
	if !slices.Equal(want, ids) {
		t.Errorf("warnings %q, declared %q", got, want)
	}
}

// TestShippedFilesAreFine: what a newcomer starts from loads, passes its schema, and warns
// of nothing but what is said here.
func TestShippedFilesAreFine(t *testing.T) {
	for _, shipped := range []struct {
		kind, file string
		warnings   []string // the beginning of each
	}{
		{"gateway", "gateway.yaml", shippedRemarks},
		{"policy", "policies/billing.yaml", shippedRemarks},
		{"authserver", "authserver.yaml", nil},
		{"gateway", "../deploy/compose/gateway.yaml", append(slices.Clone(shippedRemarks), "SG304")},
	} {
		t.Run(shipped.file, func(t *testing.T) {
			v := kinds[shipped.kind](t, shipped.file)
			if len(v.faults) > 0 {
				t.Errorf("faults: %q", v.faults)
			}
			if len(v.warnings) != len(shipped.warnings) {
				t.Fatalf("warnings %q, want %q", v.warnings, shipped.warnings)
			}
			for i, warning := range v.warnings {
				if !strings.HasPrefix(warning, shipped.warnings[i]) {
					t.Errorf("warning %q, want %q", warning, shipped.warnings[i])
				}
			}
			if err := judge(t, schema(t, shipped.kind), shipped.file); err != nil {
				t.Errorf("the schema says: %v", err)
			}
			names(t, shipped.file, shipped.kind)
		})
	}
}

// shippedRemarks are what validate says of the shipped policy: /billing/whoami is for
// anybody with a valid token, which is its purpose.
var shippedRemarks = []string{"SG105 GET /billing/whoami"}

// names checks the line by which editors find the schema.
func names(t *testing.T, file, kind string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`^# yaml-language-server: \$schema=(\S+)\n`).FindSubmatch(src)
	if m == nil {
		t.Fatal("the first line names no schema")
	}
	named, err := os.Stat(filepath.Join(filepath.Dir(file), string(m[1])))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(filepath.Join("schema", kind+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(named, want) {
		t.Errorf("the first line names %s", m[1])
	}
}

// property is one key of a schema, by its dotted path.
type property struct {
	path string
	node map[string]any
}

// properties lists the keys of a schema: those of lists' entries too, and of $defs where
// they are referred to.
func properties(t *testing.T, kind string) (out []property) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("schema", kind+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(src, &root); err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, node map[string]any)
	walk = func(prefix string, node map[string]any) {
		if ref, ok := node["$ref"].(string); ok {
			walk(prefix, root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any))
		}
		if items, ok := node["items"].(map[string]any); ok {
			walk(prefix, items)
		}
		fields, _ := node["properties"].(map[string]any)
		for name, field := range fields {
			at := property{strings.TrimPrefix(prefix+"."+name, "."), field.(map[string]any)}
			out = append(out, at)
			walk(at.path, at.node)
		}
	}
	walk("", root)
	slices.SortFunc(out, func(a, b property) int { return strings.Compare(a.path, b.path) })
	return out
}

// TestEveryKeyIsDocumented: each key of gateway.yaml and authserver.yaml has a description in
// the schema for editors, and a line in README.md with the same default.
func TestEveryKeyIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"gateway", "authserver"} {
		_, section, found := strings.Cut(string(readme), "\n## "+kind+".yaml\n")
		if !found {
			t.Fatalf("README.md has no section %s.yaml", kind)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, p := range properties(t, kind) {
			if p.node["properties"] != nil || p.path == "issuers" || p.path == "services" || p.path == "issuers.jwks" {
				continue // its keys are listed
			}
			line := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(p.path) + "` \\|.*$").FindString(section)
			if line == "" {
				t.Errorf("%s.yaml: README.md has no line for `%s`", kind, p.path)
				continue
			}
			if def, ok := p.node["default"]; ok && !strings.Contains(line, "`"+text(def)+"`") {
				t.Errorf("%s.yaml: the line for `%s` does not give the default `%s`: %s", kind, p.path, text(def), line)
			}
			if p.node["description"] == nil && p.node["$ref"] == nil {
				t.Errorf("%s: the schema does not describe %s", kind, p.path)
			}
		}
	}
}

// text is a default as README.md writes it.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return fmt.Sprintf("%.0f", v)
	case []any:
		words := make([]string, len(v))
		for i, word := range v {
			words[i] = text(word)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case map[string]any:
		return "{}"
	}
	return fmt.Sprint(value)
}

// TestDefaultsOfTheSchemaAreTheLoaders loads a file that says nothing and one that writes out
// every default of the schema. Both must come to the same configuration.
func TestDefaultsOfTheSchemaAreTheLoaders(t *testing.T) {
	gateway := func(name string, written map[string]any) *sidecar.Config {
		source := map[string]any{
			"version":  1,
			"issuers":  []any{map[string]any{"issuer": "https://issuer.example", "audience": "none"}},
			"services": []any{map[string]any{"policy": tokensPolicy(t), "upstream": "http://127.0.0.1:8002", "cors": map[string]any{"origins": []any{"*"}}}},
		}
		for path, value := range written {
			put(source, strings.Split(path, "."), value)
		}
		loaded, findings := sidecar.LoadConfig(sidecar.Source{File: writeYAML(t, name, source)})
		if loaded == nil {
			t.Fatal(findings)
		}
		return loaded
	}
	defaults := defaultsOf(t, "gateway")
	delete(defaults, "limits.connections") // depends on the process's open files
	delete(defaults, "issuers.types")      // filled in by the verifier, which has a test of it
	same(t, gateway("silent.yaml", nil), gateway("written.yaml", defaults))

	auth := func(name string, written map[string]any) server.Config {
		source := map[string]any{"version": 1}
		for path, value := range written {
			put(source, strings.Split(path, "."), value)
		}
		loaded, err := server.Load(writeYAML(t, name, source), func(string) (string, bool) { return "", false }, nil)
		if err != nil {
			t.Fatal(err)
		}
		return loaded
	}
	if diff := cmp.Diff(auth("silent-auth.yaml", nil), auth("written-auth.yaml", defaultsOf(t, "authserver"))); diff != "" {
		t.Error("-nothing written +defaults written\n" + diff)
	}
}

// same compares configurations, but for where they were read from.
func same(t *testing.T, a, b *sidecar.Config) {
	t.Helper()
	places := cmp.Options{
		cmpopts.IgnoreUnexported(sidecar.Config{}),
		cmpopts.IgnoreFields(sidecar.Config{}, "Source"),
		cmpopts.IgnoreFields(sidecar.Service{}, "Policy", "Candidate"),
		cmpopts.EquateEmpty(),
		cmpopts.EquateComparable(netip.Prefix{}),
	}
	if diff := cmp.Diff(a, b, places); diff != "" {
		t.Error("-nothing written +defaults written\n" + diff)
	}
}

// defaultsOf are the defaults of a schema by their dotted paths.
func defaultsOf(t *testing.T, kind string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, p := range properties(t, kind) {
		if value, ok := p.node["default"]; ok {
			out[p.path] = value
		}
	}
	if len(out) < 5 {
		t.Fatalf("the schema has %d defaults", len(out))
	}
	return out
}

// put sets a dotted path; the path of a list is that of its first entry.
func put(in map[string]any, path []string, value any) {
	if len(path) == 1 {
		in[path[0]] = value
		return
	}
	if list, ok := in[path[0]].([]any); ok {
		put(list[0].(map[string]any), path[1:], value)
		return
	}
	inner, ok := in[path[0]].(map[string]any)
	if !ok {
		inner = map[string]any{}
		in[path[0]] = inner
	}
	put(inner, path[1:], value)
}

func tokensPolicy(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "gateway", "policies", "tokens.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func writeYAML(t *testing.T, name string, value any) string {
	t.Helper()
	src, err := json.Marshal(value) // JSON is YAML, and writes 16384 as it is
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, src, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
