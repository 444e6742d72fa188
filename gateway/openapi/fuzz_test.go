package openapi_test

import (
	"errors"
	"os"
	"testing"

	"github.com/scopegate/scopegate/gateway/openapi"
	"github.com/scopegate/scopegate/gateway/policy"
)

// FuzzImport: whatever stands in a document, it is refused in words, or it becomes a policy that
// loads and that says the same as the document.
func FuzzImport(f *testing.F) {
	billing, err := os.ReadFile("../testdata/openapi/billing.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(billing, false, "")
	for _, seed := range []string{
		"openapi: 3.0.0\npaths:\n  /a/{b}.c:\n    get: { security: [null, {}, { x: [y, ' '] }] }\n",
		"openapi: 3.1.0\nsecurity: []\nservers: [{ url: '/{v}', variables: { v: { default: a, enum: [a] } } }]\npaths: { /x: { $ref: '#/components/pathItems/x' } }\ncomponents: { pathItems: { x: { get: {} } } }\n",
		"openapi: 3.2.0\npaths: { /x: { additionalOperations: { COPY: { security: [{ x: [] }] } } } }\ncomponents: { securitySchemes: { x: { type: http, scheme: bearer } } }\n",
		"openapi: 3.0.0\npaths: { /a/{x}: { get: {} }, /a/{y}: { get: { security: [] } }, /a/{p+}: { get: {} } }\n",
		"openapi: 3.0.0\npaths: { /x: &x { get: &g { security: [] }, put: *g }, /y: *x }\n",
		`{"openapi":"3.0.0","paths":{"/x":{"get":{},"get":{}}}}`,
		"openapi: 3.0.0\npaths: { /x: { $ref: 'other.yaml' } }\n",
		"swagger: '2.0'\n", "a: &a [*a]\n", "\x00", "",
	} {
		f.Add([]byte(seed), true, "/v1")
	}
	f.Fuzz(func(t *testing.T, src []byte, widen bool, prefix string) {
		doc, err := openapi.Read("api.yaml", ".", "api.yaml", src, func(string) ([]byte, error) { return src, nil })
		if err != nil {
			if !errors.Is(err, openapi.ErrUnusable) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		options := openapi.Options{Service: "service", Widen: widen}
		if prefix != "" {
			options.Prefix = &prefix
		}
		draft, err := doc.Import(options)
		if err != nil {
			if !errors.Is(err, openapi.ErrUnusable) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		p, findings := policy.Load("policy.yaml", draft.Policy)
		if p == nil {
			t.Fatalf("the draft does not load: %v\n%s", findings.Errors(), draft.Policy)
		}
		report, err := doc.Drift(p, options)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range report.Differences {
			t.Errorf("drift: %v\n%s", d.Finding(), draft.Policy)
		}
	})
}
