package gate_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

func heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What the gate keeps with tokens is within the verifier's bound in bytes: counted, and not by far too much.
func TestWhatTokensMeanIsCounted(t *testing.T) {
	const n = 2000
	headers := []gate.ClaimHeader{{Claim: "tenants", Header: "X-Tenants"}, {Claim: "level", Header: "X-Level"}}
	for name, c := range map[string]struct {
		service gate.Service
		claims  func(i int) map[string]any
	}{
		"tokens of one client": {gate.Service{}, func(i int) map[string]any {
			return map[string]any{"sub": fmt.Sprintf("3f8a6c1e-user-%08d", i)}
		}},
		"terms of their own, and a candidate": {gate.Service{Candidate: loadPolicy(t, nextBilling)}, func(i int) map[string]any {
			return map[string]any{"sub": "u", "client_id": fmt.Sprintf("client-%08d", i)}
		}},
		"terms of their own": {gate.Service{}, func(i int) map[string]any {
			return map[string]any{"sub": "u", "client_id": fmt.Sprintf("client-%08d", i)}
		}},
		"claims that the service reads": {gate.Service{ClaimHeaders: headers}, func(i int) map[string]any {
			return map[string]any{"sub": fmt.Sprint(i), "level": i, "tenants": []string{"one", "two", "three"}}
		}},
		"large claims that the service reads": {gate.Service{ClaimHeaders: headers}, func(i int) map[string]any {
			return map[string]any{"sub": fmt.Sprint(i), "level": i, "tenants": strings.Fields(strings.Repeat("tenant ", 200))}
		}},
	} {
		m := newMint()
		raws := make([]string, n)
		for i := range raws {
			claims := c.claims(i)
			claims["scope"], claims["org_id"] = "example_service.billing.read", fmt.Sprint("org-", i)
			raws[i] = m.sign(claims)
		}
		c.service.Policy = loadPolicy(t, billing)
		s, err := gate.NewSnapshot([]*gate.Service{&c.service}, m.verifier, nil)
		if err != nil {
			t.Fatal(err)
		}
		g := gate.New(s, &recorder{})
		before := heap()
		for _, raw := range raws {
			var x gate.Exchange
			g.Begin(&x, request("GET /billing/", "Authorization: Bearer "+raw))
			if err := x.Admit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Test(t, func(t *testing.T) { // until it has swept
			ctx, cancel := context.WithTimeout(t.Context(), 61*time.Second)
			defer cancel()
			_ = m.verifier.Run(ctx)
		})
		held, counted := heap()-before, m.verifier.Stats().Bytes
		runtime.KeepAlive(raws)
		if held > counted || counted > 2*held || m.verifier.Stats().Entries != n {
			t.Errorf("%s: %d bytes a token on the heap, %d counted", name, held/n, counted/n)
		}
	}
}
