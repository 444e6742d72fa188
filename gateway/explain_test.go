package main

import (
	"testing"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

// The statuses of explain against the gate's own table.
func TestExplainKnowsTheStatusesOfTheDataPort(t *testing.T) {
	for r := policy.ReasonAmbiguousRequest; r <= policy.ReasonStepUpRequired; r++ {
		if r == policy.ReasonMethodNotAllowed {
			continue // the gate's answer to it needs a route for its Allow
		}
		var x gate.Exchange
		gate.New(&gate.Snapshot{}, nil).Begin(&x, &gate.Request{Header: noHeader{}})
		answer := x.Refuse(t.Context(), &gate.Refusal{Reason: gate.Reason(r.String())})
		if got := statusOf(r); got != answer.Status {
			t.Errorf("%s: explain says %d, the gate answers %d", r, got, answer.Status)
		}
	}
}

// noHeader is the header of a request without fields.
type noHeader struct{}

func (noHeader) Values(string) []string { return nil }
