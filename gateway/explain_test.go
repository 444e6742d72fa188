package main

import (
	"encoding/base64"
	"strings"
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

// What is read of a token without keys must not be wider than what the gateway would read.
func TestReadBearerTakesTheFirstClaimWithScopes(t *testing.T) {
	for claims, want := range map[string]string{
		`{"scope":"a.b c.d","scopes":["e.f"]}`:            "a.b c.d",
		`{"scope":null,"scopes":["e.f","g h"],"scp":"i"}`: "e.f",
		`{"scp":"i.j"}`:                 "i.j",
		`{"scope":"","scopes":["e.f"]}`: "",
	} {
		p, err := readBearer("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.scopes, " "); got != want {
			t.Errorf("%s: %q, want %q", claims, got, want)
		}
	}
}

// noHeader is the header of a request without fields.
type noHeader struct{}

func (noHeader) Values(string) []string { return nil }
