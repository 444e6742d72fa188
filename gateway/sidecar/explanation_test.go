package sidecar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/seal"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// keyPair writes a pair of keys into the world and returns the half that opens.
func (w *world) keyPair(name string) *seal.Key {
	w.t.Helper()
	opening, sealing, err := seal.NewKey()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), sealing, 0o600); err != nil {
		w.t.Fatal(err)
	}
	key, err := seal.ParseKey(opening)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// sealed is the world's gateway.yaml with explain: sealed.
func (w *world) sealed() string {
	upstream := "    upstream: " + w.service.URL + "\n"
	return strings.Replace(w.config("explain_key: explain.seal\n"), upstream, upstream+"    explain: sealed\n", 1)
}

// opened is what an explanation says.
func opened(t testing.TB, sealed string, keys ...*seal.Key) map[string]any {
	t.Helper()
	text, err := seal.Open(sealed, keys...)
	if err != nil {
		t.Fatalf("%v: %q", err, sealed)
	}
	var said map[string]any
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return said
}

// A refusal's explanation says what the log says of it, under the same names, and what the log
// leaves to the policy; the answer itself says nothing.
func TestSealedExplanationsSayWhatTheLogSays(t *testing.T) {
	w := newWorld(t)
	key := w.keyPair("explain.seal")
	w.write("gateway.yaml", w.sealed())
	w.ready()
	reader := w.issuer.token(t, "example_service.billing.read", map[string]any{"org_id": "acme"})
	for target, c := range map[string]struct {
		token, reason string
		more          map[string]any
	}{
		"POST /billing/":              {reader, "insufficient_scope", map[string]any{"needs": "example_service.billing.write", "missing": []any{"example_service.billing.write"}}},
		"GET /billing/other/invoices": {reader, "claim_mismatch", map[string]any{"unmet": []any{"claim org_id = {org}"}, "claims": map[string]any{"org_id": "acme"}}},
		"GET /billing/":               {"", "token_missing", map[string]any{"needs": "example_service.billing.read", "anonymous": true}},
		"GET /billing/?x":             {"a.b.c", "token_malformed", nil},
		"GET /nowhere":                {"", "no_route", nil},
		"PUT /billing/":               {"", "method_not_allowed", map[string]any{"route": "/billing/"}},
	} {
		method, path, _ := strings.Cut(target, " ")
		a := w.do(method, w.data+path, c.token, nil)
		said := opened(t, a.header.Get("Scopegate-Explanation"), key)
		for name, want := range c.more {
			if fmt.Sprint(said[name]) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %v, want %v", target, name, said[name], want)
			}
		}
		if said["reason"] != c.reason || said["request_id"] != a.header.Get("X-Request-Id") || int(said["status"].(float64)) != a.status {
			t.Errorf("%s: %d %v", target, a.status, said)
		}
		if strings.HasPrefix(c.reason, "token_mal") && said["cause"] == nil {
			t.Errorf("%s: no cause: %v", target, said)
		}
		id := fmt.Sprint(said["request_id"])
		w.logged(id)
		lines := w.log.lines(t)
		line := lines[slices.IndexFunc(lines, func(l map[string]any) bool { return l["request_id"] == id && l["msg"] == "request" })]
		for name, value := range said {
			if logged, ok := line[name]; ok && name != "time" && fmt.Sprint(logged) != fmt.Sprint(value) {
				t.Errorf("%s: %s is %v, in the log %v", target, name, value, logged)
			}
		}
		said["time"], said["status"] = nil, nil
		for name, value := range said {
			if text, ok := value.(string); ok && len(text) > 3 && name != "request_id" && !strings.Contains(a.body, `"detail":"`+text) && strings.Contains(fmt.Sprint(a), text) &&
				name != "service" && name != "reason" { // realm="…" and error="…" are the challenge's
				t.Errorf("%s: the answer says %s %q: %v", target, name, text, a)
			}
		}
	}
	if a := w.get(w.data+"/healthz", ""); a.header.Get("Scopegate-Explanation") != "" {
		t.Error("an answer of the service carries an explanation")
	}
}

// A new key is taken up by a reload; what was sealed before is for the old one.
func TestExplainKeyIsReloaded(t *testing.T) {
	w := newWorld(t)
	old := w.keyPair("explain.seal")
	w.write("gateway.yaml", w.sealed())
	w.ready()
	first := w.get(w.data+"/billing/", "").header.Get("Scopegate-Explanation")
	key := w.keyPair("explain.seal")
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	second := w.get(w.data+"/billing/", "").header.Get("Scopegate-Explanation")
	opened(t, first, key, old)
	opened(t, second, old, key)
	for _, c := range []struct {
		sealed string
		key    *seal.Key
	}{{first, key}, {second, old}} {
		if _, err := seal.Open(c.sealed, c.key); err == nil {
			t.Error("a key opens what was sealed for the other")
		}
	}
	w.write("explain.seal", "no key at all\n")
	if w.reloaded() {
		t.Fatal("a key that is none was taken")
	}
	w.logged("SG235")
	opened(t, w.get(w.data+"/billing/", "").header.Get("Scopegate-Explanation"), key)
}

// A key file that everybody can read, and one that nothing uses, are remarked on.
func TestExplainKeyRemarks(t *testing.T) {
	w := newWorld(t)
	w.keyPair("explain.seal")
	load := func() (ids string) {
		_, findings := sidecar.LoadConfig(sidecar.Source{File: filepath.Join(w.dir, "gateway.yaml")})
		for _, f := range findings {
			if f.ID >= "SG200" { // the others are the policy's
				ids += f.ID + " "
			}
		}
		return ids
	}
	w.write("gateway.yaml", w.sealed())
	if got := load(); got != "" {
		t.Errorf("findings %s", got)
	}
	if err := os.Chmod(filepath.Join(w.dir, "explain.seal"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := load(); got != "SG309 " {
		t.Errorf("readable by all: findings %s", got)
	}
	w.write("gateway.yaml", w.config("explain_key: explain.seal\n"))
	if got := load(); got != "SG310 SG309 " {
		t.Errorf("unused: findings %s", got)
	}
}

// sealing is a gateway without sockets that seals, with issuer's keys in its configuration.
func sealing(t testing.TB) (r *recorded, w *world, key *seal.Key) {
	w = newLoneWorld(t)
	key = w.keyPair("explain.seal")
	keys := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(w.jwks()), `{"keys":`), "}"))
	text := strings.Replace(w.sealed(), "    jwks_uri: "+w.issuer.URL+"/jwks\n", "", 1)
	w.write("gateway.yaml", strings.Replace(text, "jwks: { min_refresh: 1s }", "jwks: { keys: "+keys+" }", 1))
	g, err := sidecar.New(mustLoad(t, sidecar.Source{File: w.dir + "/gateway.yaml"}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return &recorded{g, w.issuer.token(t, "example_service.billing.read", nil)}, w, key
}

// refused is the explanation that a refused exchange carries.
func (r *recorded) refused(t testing.TB, method, target, token string) string {
	t.Helper()
	in := &gate.Request{Method: method, Target: target, Hosts: []string{"billing.example"}, ProtoMajor: 1, ProtoMinor: 1, Header: header{"Authorization": {"Bearer " + token}}}
	var x gate.Exchange
	r.gateway.Gate().Begin(&x, in)
	err := x.Admit(context.Background())
	if err == nil {
		t.Fatalf("%s %s was let in", method, target)
	}
	a := x.Refuse(context.Background(), err)
	for _, f := range a.Fields {
		if f.Name == "Scopegate-Explanation" {
			return strings.Clone(f.Value)
		}
	}
	t.Fatalf("no explanation in %v", a)
	return ""
}

// Whatever a caller sends, the explanation has its one length, is whole JSON, and says so where
// something was cut.
func TestExplanationsFit(t *testing.T) {
	r, w, key := sealing(t)
	long := func(s string) string { return strings.Repeat(s, 600/len(s)) }
	for name, c := range map[string]struct {
		path   string
		claims map[string]any
		cut    bool
	}{
		"short":               {"/billing/7/invoices", nil, false},
		"a long subject":      {"/billing/7/invoices", map[string]any{"sub": long("s")}, true},
		"controls":            {"/billing/7/invoices", map[string]any{"sub": long("\x01"), "client_id": long("\x02"), "acr": long("\x1f")}, true},
		"two bytes each":      {"/billing/7/invoices", map[string]any{"sub": long("é"), "client_id": long("…")}, true},
		"a long path":         {"/billing/" + long("p") + "/invoices", nil, true},
		"a long claim":        {"/billing/7/invoices", map[string]any{"org_id": long("c")}, true},
		"many claims":         {"/billing/7/invoices", map[string]any{"org_id": slices.Repeat([]any{"abcdefgh"}, 200)}, true},
		"a long number":       {"/billing/7/invoices", map[string]any{"org_id": json.Number("1" + strings.Repeat("0", 60))}, false},
		"nested":              {"/billing/7/invoices", map[string]any{"org_id": []any{[]any{"x", map[string]any{"a": 1}}, nil, true}}, false},
		"everything together": {"/billing/" + long("p") + "/invoices", map[string]any{"sub": long("\x01"), "client_id": long(`"`), "acr": long(`\`), "org_id": slices.Repeat([]any{long("\n")}, 3)}, true},
	} {
		claims := map[string]any{"org_id": "other"}
		for k, v := range c.claims {
			claims[k] = v
		}
		sealed := r.refused(t, "GET", c.path, w.issuer.token(t, "example_service.billing.read", claims))
		said := opened(t, sealed, key)
		if len(sealed) != seal.Length || said["reason"] != "claim_mismatch" || (said["truncated"] == true) != c.cut || said["request_id"] == nil {
			t.Errorf("%s: %d characters, %v", name, len(sealed), said)
		}
	}
}

// FuzzExplanation fills everything that a caller chooses with bytes of a caller's choice.
func FuzzExplanation(f *testing.F) {
	f.Add("7", "sub", "client", "acr", "org")
	f.Add(strings.Repeat("x", 500), strings.Repeat("\x00", 300), strings.Repeat("\u2028", 200), `"\`, "\xff\xfe")
	r, w, key := sealing(f)
	f.Fuzz(func(t *testing.T, segment, subject, client, acr, org string) {
		path := "/billing/" + segment + "/invoices"
		if _, err := policy.NewRequest(&policy.Received{Method: "PATCH", Target: path, Hosts: []string{"billing.example"}, ProtoMajor: 1, ProtoMinor: 1}); err != nil {
			path = "/billing/7/invoices"
		}
		token := w.issuer.token(t, "", map[string]any{"sub": subject, "client_id": client, "acr": acr, "org_id": org})
		if len(token) > 7000 {
			t.Skip("a token that long is not read")
		}
		sealed := r.refused(t, "GET", path, token)
		if said := opened(t, sealed, key); said["reason"] == nil || len(sealed) != seal.Length {
			t.Fatalf("%v", said)
		}
	})
}

func TestSealingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool forgets at random; the plain run asks")
	}
	r, _, _ := sealing(t)
	for _, token := range []string{r.token, ""} {
		h := header{}
		if token != "" {
			h["Authorization"] = []string{"Bearer " + token}
		}
		in := &gate.Request{Method: http.MethodPost, Target: "/billing/", Hosts: []string{"billing.example"}, ProtoMajor: 1, ProtoMinor: 1, Header: h}
		x := &gate.Exchange{}
		exchange := func() {
			r.gateway.Gate().Begin(x, in)
			err := x.Admit(context.Background())
			x.Refuse(context.Background(), err)
		}
		exchange()
		// The request id and Content-Length are what any refusal takes.
		if n := testing.AllocsPerRun(200, exchange); n > 3 {
			t.Errorf("with token %t: %v allocations", token != "", n)
		}
	}
}

func BenchmarkSealedRefusal(b *testing.B) {
	r, _, _ := sealing(b)
	plain := newRecorded(b, 1, "", io.Discard)
	for name, r := range map[string]*recorded{"sealed": r, "scopes": plain} {
		b.Run(name, func(b *testing.B) {
			in := &gate.Request{Method: http.MethodPost, Target: "/billing/", Hosts: []string{"billing.example"}, ProtoMajor: 1, ProtoMinor: 1, Header: header{"Authorization": {"Bearer " + r.token}}}
			x := &gate.Exchange{}
			b.ReportAllocs()
			for b.Loop() {
				r.gateway.Gate().Begin(x, in)
				err := x.Admit(context.Background())
				x.Refuse(context.Background(), err)
			}
		})
	}
}
