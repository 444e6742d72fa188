package config_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	schemas "github.com/scopegate/scopegate/config/schema"
	"github.com/scopegate/scopegate/gateway/policy"
)

// shop is the policy whose words the files of kind tests may use.
func shop(t *testing.T) *policy.Policy {
	t.Helper()
	p, findings := policy.Load("shop.yaml", []byte("version: 1\nservice: shop\nscopes: { shop.read: Read }\nroutes:\n  /: { GET: shop.read }\n"))
	if p == nil {
		t.Fatal(findings)
	}
	return p
}

// TestPersonasHaveOneSchema: what tests.schema.json says about personas is what the policy's does.
// The two are files of their own, so that each can be printed and used alone.
func TestPersonasHaveOneSchema(t *testing.T) {
	var policies, tests struct {
		Defs map[string]any `json:"$defs"`
	}
	if err := errors.Join(json.Unmarshal(schemas.Policy, &policies), json.Unmarshal(schemas.Tests, &tests)); err != nil {
		t.Fatal(err)
	}
	for name, def := range tests.Defs {
		if diff := cmp.Diff(policies.Defs[name], def); diff != "" {
			t.Errorf("%s differs (- policy, + tests):\n%s", name, diff)
		}
	}
}
