package main

import "github.com/scopegate/scopegate/config/schema"

// schemaCmd prints the JSON schema by which editors complete and judge a kind of file.
type schemaCmd struct {
	Kind string `arg:"" enum:"policy,tests,gateway" help:"Of which files: policy, tests (*.test.yaml) or gateway (gateway.yaml)."`
}

// Run prints the schema as it stands in config/schema.
func (c *schemaCmd) Run(a *app) error {
	text := map[string][]byte{"policy": schema.Policy, "tests": schema.Tests, "gateway": schema.Gateway}[c.Kind]
	_, err := a.stdout.Write(text)
	return err
}
