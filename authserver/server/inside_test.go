package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsPassTheLinter(t *testing.T) {
	cfg := Defaults()
	cfg.Data = t.TempDir()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.metrics.requests.WithLabelValues("/role/", "GET", "200").Inc()
	s.metrics.hashWait.WithLabelValues("login").Observe(1)
	problems, err := testutil.GatherAndLint(s.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestEveryRefusalHasARow reads the sentinels of the packages below out of
// their source: one without a row in the table would be a 500.
func TestEveryRefusalHasARow(t *testing.T) {
	elsewhere := map[string]string{
		"account.ErrInvalid":       "a 422, see ruleFaults",
		"account.ErrKeyGeneration": "the key ring's own",
		"account.ErrKeyNotFound":   "the command line's",
		"account.ErrKeyExists":     "the key ring's own",
		"token.ErrRaced":           "the key ring's own",
		"token.ErrWrongMaster":     "start-up's",
		"token.ErrMasterKeyFormat": "start-up's",
		"token.ErrMalformed":       "errBadToken",
		"token.ErrSignature":       "errBadToken",
		"token.ErrExpired":         "errBadToken",
		"token.ErrClaims":          "errBadToken",
	}
	table, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, pkg := range []string{"account", "token"} {
		for _, name := range sentinels(t, "../"+pkg) {
			found++
			full := pkg + "." + name
			if elsewhere[full] == "" && !strings.Contains(string(table), "{"+full+", ") {
				t.Errorf("%s has no row in verdicts", full)
			}
		}
	}
	if found < 30 {
		t.Errorf("%d sentinels found; the test looks in the wrong place", found)
	}
}

// sentinels lists the exported variables of a package that begin with Err.
func sentinels(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Err") {
				names = append(names, spec.Names[0].Name)
			}
			return true
		})
	}
	return names
}
