package sidecar_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// jwks is what the issuer publishes, as text.
func (w *world) jwks() string { return w.get(w.issuer.URL, "").body }

// Keys in a file are part of the configuration: they are there from the first request, and a
// change of the file is a reload like any other.
func TestKeysFromAFile(t *testing.T) {
	w := newWorld(t)
	w.write("keys.json", w.jwks())
	w.write("gateway.yaml", strings.Replace(w.config(""), "jwks_uri: "+w.issuer.URL+"/jwks", "jwks_uri: file:keys.json", 1))
	w.ready()
	token := w.issuer.token(t, "example_service.billing.read", nil)
	if got := w.get(w.data+"/billing/", token); got.status != 200 {
		t.Errorf("with the key: %d %s", got.status, got.body)
	}
	w.write("keys.json", "{}")
	if w.reloaded() {
		t.Error("a file without keys was taken")
	}
	if got := w.get(w.data+"/billing/", token).status; got != 200 {
		t.Errorf("with the key, after a bad reload: %d", got)
	}
	other := []byte(w.jwks())
	inside := strings.Index(string(other), `"n":"`) + 100
	other[inside] = map[bool]byte{true: 'B', false: 'A'}[other[inside] == 'A'] // another modulus of the same length
	w.write("keys.json", string(other))
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if got := w.get(w.data+"/billing/", token).status; got != 401 {
		t.Errorf("with a key that was taken away: %d", got)
	}
}

func TestInlineKeys(t *testing.T) {
	w := newWorld(t)
	keys := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(w.jwks()), `{"keys":`), "}"))
	text := strings.Replace(w.config(""), "    jwks_uri: "+w.issuer.URL+"/jwks\n", "", 1)
	w.write("gateway.yaml", strings.Replace(text, "jwks: { min_refresh: 1s }", "jwks: { keys: "+keys+" }", 1))
	before := w.issuer.fetches.Load()
	w.ready()
	if got := w.get(w.data+"/billing/", w.issuer.token(t, "example_service.billing.read", nil)); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.issuer.fetches.Load(); got != before {
		t.Errorf("%d fetches", got-before)
	}
}

// Both ports may be unix sockets; peers of the admin socket are local by nature.
func TestUnixSockets(t *testing.T) {
	w := newWorld(t)
	g, err := sidecar.New(mustLoad(t, sidecar.Source{File: w.dir + "/gateway.yaml"}), w.log)
	if err != nil {
		t.Fatal(err)
	}
	sockets := map[string]net.Listener{}
	for _, name := range []string{"data", "admin"} {
		if sockets[name], err = net.Listen("unix", filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, sockets["data"], sockets["admin"]) }()
	t.Cleanup(func() { stop(); <-ended })
	ask := func(socket, path string) int {
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(w.dir, socket))
		}}
		defer tr.CloseIdleConnections()
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://localhost"+path, nil)
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for place, want := range map[[2]string]int{{"admin", "/policy"}: 200, {"admin", "/readyz?verbose"}: 0, {"data", "/healthz"}: 200, {"data", "/billing/"}: 401} {
		if got := ask(place[0], place[1]); got != want && want != 0 || got == 403 {
			t.Errorf("%v: %d", place, got)
		}
	}
}

// Two services of one gateway: the host chooses, and each takes its own issuers and audience.
func TestIssuerAndAudienceBelongToTheService(t *testing.T) {
	w := newWorld(t)
	second := newIssuer(t)
	w.write("gateway.yaml", fmt.Sprintf(`version: 1
issuers:
  - { issuer: %[1]s, jwks_uri: %[1]s/jwks, audience: none }
  - { issuer: %[2]s, jwks_uri: %[2]s/jwks, audience: first }
services:
  - { policy: policies/billing.yaml, upstream: %[3]s, hosts: [one.example], issuers: [%[1]s] }
  - { policy: policies/billing.yaml, upstream: %[3]s, hosts: ["*.example"], issuers: [%[2]s], audience: second }
drain_delay: 0s
`, w.issuer.URL, second.URL, w.service.URL))
	w.ready()
	const read = "example_service.billing.read"
	tokens := map[string]string{
		"first issuer":                  w.issuer.token(t, read, nil),
		"second issuer, its audience":   second.token(t, read, map[string]any{"aud": "first"}),
		"second issuer, the service's":  second.token(t, read, map[string]any{"aud": []string{"x", "second"}}),
		"second issuer, without an aud": second.token(t, read, nil),
	}
	want := map[string]map[string]int{
		"one.example":   {"first issuer": 200},
		"two.example":   {"second issuer, the service's": 200},
		"a.b.example":   {"second issuer, the service's": 200},
		"other.invalid": {},
	}
	for range 2 { // the second time from the cache of verified tokens
		for host, allowed := range want {
			for name, token := range tokens {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", w.data+"/billing/", nil)
				r.Host = host
				r.Header.Set("Authorization", "Bearer "+token)
				res, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				expected := allowed[name]
				if expected == 0 {
					expected = map[bool]int{true: 404, false: 401}[host == "other.invalid"]
				}
				if res.StatusCode != expected {
					t.Errorf("%s with %s: %d, want %d", host, name, res.StatusCode, expected)
				}
			}
		}
	}
}

// TestANearMissOfTheIssuerIsNamed: localhost and 127.0.0.1 are the same to people, and two
// issuers to the gateway; the log names both.
func TestANearMissOfTheIssuerIsNamed(t *testing.T) {
	w := newWorld(t)
	w.ready()
	nearly := strings.Replace(w.issuer.URL, "127.0.0.1", "localhost", 1)
	w.get(w.data+"/billing/", w.issuer.token(t, "", map[string]any{"iss": nearly}))
	w.logged(nearly)
	w.logged("request cause")
}
