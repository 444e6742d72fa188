package conformance

import (
	"os/exec"
	"path"
	"path/filepath"
	"strings"
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

// gatewayProgram builds the gateway, and returns its path.
func gatewayProgram(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "gateway")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", to, "../../gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// said runs the gateway and returns what it prints; findings are exit code 1, and no failure here.
func said(t *testing.T, gateway, args string) (stdout, stderr string) {
	t.Helper()
	var errors strings.Builder
	cmd := exec.CommandContext(t.Context(), gateway, strings.Fields(args)...)
	cmd.Stderr = &errors
	out, _ := cmd.Output()
	return string(out), errors.String()
}
