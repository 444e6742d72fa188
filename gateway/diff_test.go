package main

import (
	"bytes"
	"strings"
	"testing"
)

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
