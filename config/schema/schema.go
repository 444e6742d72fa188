// Package schema holds the JSON schemas of the files that operators edit, by which editors
// complete and judge them. It is data and nothing else, so that a binary can carry it.
package schema

import _ "embed"

// The schemas, in JSON Schema's draft 2020-12.
var (
	//go:embed policy.schema.json
	Policy []byte
	//go:embed tests.schema.json
	Tests []byte
	//go:embed gateway.schema.json
	Gateway []byte
	//go:embed authserver.schema.json
	Authserver []byte
)
