package gate_test

import (
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// A login counts as fresh only if it has taken place: auth_time far ahead is no
// login a moment ago.
func TestALoginInTheFutureIsNotFresh(t *testing.T) {
	for name, c := range map[string]struct {
		login  time.Duration // relative to now
		reason gate.Reason
	}{
		"a minute ago":     {-time.Minute, gate.ReasonAllowed},
		"an hour ago":      {-time.Hour, gate.ReasonStepUpRequired},
		"an hour from now": {time.Hour, gate.ReasonStepUpRequired},
	} {
		known := verifier{"t": theMint.issued(map[string]any{"scope": "example_service.billing.write", "acr": "gold", "org_id": "acme",
			"auth_time": time.Now().Add(c.login).Unix()})}
		s, err := gate.NewSnapshot([]*gate.Service{{Policy: loadPolicy(t, billing)}}, known, nil)
		if err != nil {
			t.Fatal(err)
		}
		var x gate.Exchange
		gate.New(s, &recorder{}).Begin(&x, request("POST /billing/acme/close", "Authorization: Bearer t"))
		if err := x.Admit(t.Context()); err != nil {
			x.Refuse(t.Context(), err)
		}
		if x.Reason() != c.reason {
			t.Errorf("logged in %s: %s, want %s", name, x.Reason(), c.reason)
		}
	}
}
