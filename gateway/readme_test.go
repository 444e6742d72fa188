package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// What COMMANDS.md shows of a command is what a script has seen it print.
func TestCommandsShowWhatScriptsSaw(t *testing.T) {
	readme, err := os.ReadFile("COMMANDS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []struct{ script, golden string }{
		{"diff.txtar", "review.txt"},
		{"replay.txtar", "candidate.txt"},
		{"learn.txtar", "draft.txt"},
		{"test_mutate.txtar", "survivors.txt"},
		{"openapi_readme.txtar", "imported.yaml"},
		{"openapi_readme.txtar", "imported.txt"},
		{"openapi_readme.txtar", "drift.txt"},
	} {
		script, err := txtar.ParseFile("testdata/script/" + shown.script)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range script.Files {
			if f.Name != shown.golden {
				continue
			}
			found = true
			text := strings.ReplaceAll("    "+strings.TrimRight(string(f.Data), "\n"), "\n", "\n    ")
			text = strings.ReplaceAll(text, "\n    \n", "\n\n")
			if !strings.Contains(string(readme), text) {
				t.Errorf("COMMANDS.md does not show %s of %s:\n%s", shown.golden, shown.script, text)
			}
		}
		if !found {
			t.Errorf("%s has no file %s", shown.script, shown.golden)
		}
	}
}
