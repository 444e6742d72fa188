package conformance

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/scopegate/scopegate/deploy/parts"
)

// TestSARIF holds what the commands write for code scanning against OASIS's schema of SARIF 2.1.0.
func TestSARIF(t *testing.T) {
	schema := sarifSchema(t)
	if schema.Validate(map[string]any{"version": "2.1.0"}) == nil {
		t.Fatal("the schema takes a log without runs")
	}
	gateway := gatewayProgram(t)
	for _, args := range []string{
		"validate --format sarif ../../config",
		"validate --format sarif ../../gateway/policy/testdata",
		"validate --format sarif ../../config/testdata/gateway/bad/TLS-without-a-key.yaml ../../config/testdata/policy",
		"openapi drift --format sarif ../../gateway/testdata/openapi/billing.yaml ../../config/testdata/policy/good/ANY-beside-named-methods.yaml",
	} {
		t.Run(args, func(t *testing.T) {
			out, stderr := said(t, gateway, args)
			log, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			if err := schema.Validate(log); err != nil {
				t.Errorf("%v\n%.2000s", err, out)
			}
		})
	}
}

// sarifSchema takes the schema out of go-sarif's source, where it is a constant that is not
// exported.
func sarifSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif")
	list.Dir = filepath.Join("..", "tools")
	dir, err := list.Output()
	if err != nil {
		parts.Missing(t, "tools", "go-sarif: "+err.Error())
	}
	file, err := parser.ParseFile(gotoken.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	ast.Inspect(file, func(n ast.Node) bool {
		if value, ok := n.(*ast.BasicLit); ok && value.Kind == gotoken.STRING && text == "" {
			text, err = strconv.Unquote(value.Value)
		}
		return true
	})
	if err != nil || text == "" {
		t.Fatalf("no schema in go-sarif's schema.go: %v", err)
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("sarif.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
