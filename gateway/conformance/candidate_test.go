package conformance_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestACandidateOpensNothing: the candidate of every test here lets everybody do everything. What
// the policy refuses is refused all the same, in every protocol, and the service never hears of it.
func TestACandidateOpensNothing(t *testing.T) { inBothLanes(t, checkCandidateOpensNothing) }

func checkCandidateOpensNothing(t *testing.T, l lane) {
	var asked atomic.Int64
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1) })
	r := newRig(t, l, rigConfig{upstream: service(t, "http", counted), cors: corsRules()})
	for _, c := range r.clients() {
		for _, x := range []struct {
			method, target, fields string
			status                 int
		}{
			{"GET", "/items/1", "", 401},
			{"GET", "/items/1", "Authorization: Bearer forged", 401},
			{"POST", "/items/1", "Authorization: Bearer reader", 403},
			{"DELETE", "/items/1", "Authorization: Bearer reader", 405},
			{"GET", "/nowhere", "Authorization: Bearer reader", 404},
			{"GET", "/open//x", "", 400},
			{"GET", "/open/a%2Fb", "", 400},
			{"POST", "/open/x", "X-HTTP-Method-Override: DELETE", 400},
			{"GET", "/items/1?access_token=x", "Authorization: Bearer reader", 400},
			{"GET", "/nowhere", "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 404},
			{"GET", "/open/x", "Expect: nothing", 417},
		} {
			fields := strings.Split(x.fields, "\n")
			if x.fields == "" {
				fields = nil
			}
			if c.major == 2 && strings.Contains(x.fields, "Upgrade") {
				continue // not HTTP/2's
			}
			if res, text := c.ask(t, x.method, x.target, nil, fields...); res.StatusCode != x.status {
				t.Errorf("%s: %s %s %q: %s %s, want %d", c.name, x.method, x.target, x.fields, res.Status, text, x.status)
			}
		}
		// A preflight is told the policy's methods, and 404 where it has no route.
		res, _ := c.ask(t, "OPTIONS", "/items/1", nil, "Origin: "+page, "Access-Control-Request-Method: DELETE")
		if got := res.Header.Get("Access-Control-Allow-Methods"); res.StatusCode != 204 || got != "GET, HEAD, POST, PUT" {
			t.Errorf("%s: a preflight: %s, %q", c.name, res.Status, got)
		}
		if res, _ := c.ask(t, "OPTIONS", "/nowhere", nil, "Origin: "+page, "Access-Control-Request-Method: GET"); res.StatusCode != 404 {
			t.Errorf("%s: a preflight for no route: %s", c.name, res.Status)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
}
