package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/openapi"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// describedID is one row of the table of ids.
type describedID struct {
	ID       string          `json:"id"`
	Severity policy.Severity `json:"severity"`
	About    string          `json:"about"`
}

// describedIDs lists the ids of all findings about files, in order.
func describedIDs() (all []describedID) {
	for _, k := range slices.Concat(policy.Kinds(), sidecar.Kinds(), openapi.Kinds()) {
		all = append(all, describedID{k.ID, severityOf(k.ID), k.Doc})
	}
	return all
}

// severityOf tells an id of a warning by how it begins: SG1 about policies, SG3 about gateway.yaml,
// SG40 and SG41 about OpenAPI documents. Where a document and a policy disagree is a fault.
func severityOf(id string) policy.Severity {
	for _, warnings := range []string{"SG1", "SG3", "SG40", "SG41"} {
		if strings.HasPrefix(id, warnings) {
			return policy.SeverityWarning
		}
	}
	return policy.SeverityError
}

// listIDs prints the table.
func (c *validateCmd) listIDs(a *app) error {
	all := describedIDs()
	switch c.Format {
	case "json":
		return a.writeJSON(map[string]any{"findings": all})
	case "text":
	default:
		return fail(exitUsage, "--ids is printed as text or json, not "+c.Format, "")
	}
	var rows [][]string
	for _, one := range all {
		rows = append(rows, []string{one.ID, one.Severity.String(), one.About})
	}
	writeTable(a.stdout, "", rows)
	return nil
}

// checkIgnored refuses ids that do not exist, and those of faults: a file with one cannot be used,
// whether one looks at it or not.
func (c *validateCmd) checkIgnored() error {
	all := describedIDs()
	for _, id := range c.Ignore {
		switch at := slices.IndexFunc(all, func(one describedID) bool { return one.ID == id }); {
		case at < 0:
			return fail(exitUsage, fmt.Sprintf("there is no finding %s to ignore", id), "gateway validate --ids lists them")
		case all[at].Severity == policy.SeverityError:
			return fail(exitUsage, fmt.Sprintf("%s is a fault, and only warnings can be ignored", id), "")
		}
	}
	return nil
}
