package sidecar_test

import (
	"net/http"
	"strings"
	"testing"
)

// preflight asks whether a page may send a GET with a token.
func (w *world) preflight(path, origin string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodOptions, w.data+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", "GET")
	r.Header.Set("Access-Control-Request-Headers", "authorization")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	return answer{res.StatusCode, res.Header, ""}
}

// configFor is the world's gateway.yaml with a cors: for one page.
func (w *world) configFor(origin string) string {
	upstream := "    upstream: " + w.service.URL + "\n"
	return strings.Replace(w.config(""), upstream, upstream+"    cors: { origins: ["+origin+"] }\n", 1)
}

func TestOriginsAreReloaded(t *testing.T) {
	const one, two = "https://one.example", "https://two.example"
	w := newWorld(t)
	w.ready()
	if a := w.preflight("/billing/", one); a.status != 405 {
		t.Fatalf("without cors: %d", a.status)
	}
	for _, origin := range []string{one, two} {
		w.write("gateway.yaml", w.configFor(origin))
		if !w.reloaded() {
			t.Fatalf("refused:\n%s", w.log)
		}
		for _, asks := range []string{one, two} {
			a := w.preflight("/billing/", asks)
			if allowed := a.header.Get("Access-Control-Allow-Origin"); a.status != 204 || (allowed == asks) != (asks == origin) {
				t.Errorf("of %s asks %s: %d, %q", origin, asks, a.status, allowed)
			}
		}
	}
	w.write("gateway.yaml", w.configFor(`"*"], credentials: true, headers: [x`))
	if w.reloaded() {
		t.Fatal("any page with credentials was taken")
	}
	w.logged("SG232")
	if a := w.preflight("/billing/", two); a.header.Get("Access-Control-Allow-Origin") != two {
		t.Errorf("the good configuration was lost: %v", a.header)
	}
}

// Operators see what browsers ask, and why pages get no further.
func TestPreflightsAreRecorded(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", w.configFor("https://app.example"))
	w.ready()
	w.preflight("/billing/acme/invoices", "https://app.example")
	w.preflight("/billing/", "https://other.example")
	w.preflight("/any", "https://app.example")
	w.preflight("/nowhere", "https://app.example")
	w.eventually("four lines", func() bool { return len(w.log.lines(t)) == 4 })
	for i, want := range []map[string]any{
		{"method": "OPTIONS", "route": "/billing/{org}/invoices", "status": 204.0, "decision": "allow", "reason": "preflight", "anonymous": true, "bytes_out": 0.0},
		{"method": "OPTIONS", "route": "/billing/", "status": 204.0, "decision": "deny", "reason": "preflight_refused"},
		{"method": "OPTIONS", "route": "/any", "status": 204.0, "decision": "allow", "reason": "preflight"},
		{"method": "OPTIONS", "route": "unmatched", "status": 404.0, "decision": "deny", "reason": "no_route"},
	} {
		for key, value := range want {
			if got := w.log.lines(t)[i][key]; got != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, got, value)
			}
		}
	}
	w.logged(`the origin \"https://other.example\" is not one of cors.origins`)
	if n := w.sample(`requests_total{code="204",method="OPTIONS",reason="preflight",route="/billing/{org}/invoices",service="example_service"}`); n != "1" {
		t.Errorf("counted %q", n)
	}
	if n := w.served.Load(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
}
