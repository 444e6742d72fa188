// Package parts says which parts of a machine a test cannot do without: an interpreter, a
// command, a folder that is not in the repository. It decides between skipping and failing,
// and looks for nothing itself.
package parts

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Environment names the variable that lists, separated by commas, the parts that must be
// here: where CI runs, nothing may be skipped in silence.
const Environment = "SCOPEGATE_REQUIRE"

// Missing ends the test because a part is missing: it fails where [Environment] names the
// part, and skips elsewhere, saying why.
func Missing(t testing.TB, part, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv(Environment), ","), part) {
		t.Fatalf("%s is required here: %s", part, why)
	}
	t.Skipf("SKIPPED, %s is missing: %s", part, why)
}
