package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// The review that README.md shows is the one that the command prints.
func TestTheReadmeShowsADiff(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := txtar.ParseFile("testdata/script/diff.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range script.Files {
		if f.Name != "review.txt" {
			continue
		}
		shown := strings.ReplaceAll("    "+strings.TrimSuffix(string(f.Data), "\n"), "\n", "\n    ")
		if !strings.Contains(string(readme), "    $ gateway diff old.yaml new.yaml\n"+strings.ReplaceAll(shown, "\n    \n", "\n\n")) {
			t.Error("README.md shows another review than testdata/script/diff.txtar wants")
		}
	}
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
