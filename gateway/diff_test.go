package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Whoever follows a witness with explain is told by both policies what diff says.
func TestExplainAgreesWithEveryWitness(t *testing.T) {
	files, err := filepath.Glob("policy/testdata/diff/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	asked := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		folder := t.TempDir()
		for _, f := range archive.Files {
			if err := os.WriteFile(filepath.Join(folder, f.Name), f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a := &app{ctx: t.Context(), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
		old, new := filepath.Join(folder, "old.yaml"), filepath.Join(folder, "new.yaml")
		d := a.comparison(t, old, new)
		for i := range d.services[0].Changes {
			x := &d.services[0].Changes[i]
			for name, allow := range map[string]bool{old: x.Old.Allow, new: x.New.Allow} {
				words := explaining(x, name)
				if words == nil {
					continue
				}
				asked++
				if code := a.run(words[1:]); (code == exitDone) != allow || code == exitUsage {
					t.Errorf("%s: %q ends with %d, and diff says allowed: %t", file, words, code, allow)
				}
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d witnesses were asked about", asked)
	}
}

func (a *app) comparison(t *testing.T, old, new string) *difference {
	t.Helper()
	var sides [2]*side
	for i, name := range []string{old, new} {
		s, err := a.side(name)
		if err != nil {
			t.Fatal(err)
		}
		sides[i] = s
	}
	d, err := compareSides(sides[0], sides[1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Without git a revision cannot be read, and that is said as such.
func TestDiffWithoutGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out, complaint bytes.Buffer
	a := &app{ctx: t.Context(), stdout: &out, stderr: &complaint}
	if code := a.run([]string{"diff", "HEAD:policies", "testdata"}); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(complaint.String(), "git is not installed") || out.Len() > 0 {
		t.Errorf("%s%s", &out, &complaint)
	}
}
