// Package tools pins, beside the programs of its go.mod, what tests read from the sources of
// others: SARIF's schema, which go-sarif carries.
package tools

import _ "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
