package attacks

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// load reads one kind of attack: testdata/KIND.yaml, and testdata/KIND-*.yaml for whoever adds
// files of their own. Unknown keys are errors, and so is an attack without a source.
func load[A interface{ about() (name, source string) }](t *testing.T, kind string) []A {
	t.Helper()
	more, err := filepath.Glob("testdata/" + kind + "-*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []A
	for _, file := range append([]string{"testdata/" + kind + ".yaml"}, more...) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var attacks []A
		dec := yaml.NewDecoder(bytes.NewReader(src))
		dec.KnownFields(true)
		if err := dec.Decode(&attacks); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i, a := range attacks {
			if name, source := a.about(); name == "" || source == "" {
				t.Fatalf("%s: attack %d has no name or no source", file, i+1)
			}
		}
		all = append(all, attacks...)
	}
	if len(all) == 0 {
		t.Fatalf("no attacks of the kind %s", kind)
	}
	return all
}

// attack is what all kinds have in common.
type attack struct {
	Name   string `yaml:"name"`
	Source string `yaml:"source"`
	Never  string `yaml:"never"` // what must not happen, for whoever reads
}

func (a attack) about() (name, source string) { return a.Name, a.Source }

// octets undoes the escapes of a Go string: \r \n \t \x00 \\ and the like.
func octets(t *testing.T, text string) string {
	t.Helper()
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("the escapes of %s: %v", text, err)
	}
	return out
}
