package conformance

import (
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"github.com/scopegate/scopegate/deploy/parts"
)

// tool builds a program that deploy/tools/go.mod pins, and returns its path. What can be
// missing is a module that is not in the cache where there is no proxy.
func tool(t *testing.T, program string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), path.Base(program))
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile="+filepath.Join("deploy", "tools", "go.mod"), "-o", to, program)
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		parts.Missing(t, "tools", "go build "+program+": "+lastLines(string(out), 5))
	}
	return to
}
