package sidecar_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestServesWhatThePolicyAllows(t *testing.T) {
	w := newWorld(t)
	w.ready()
	reader := w.issuer.token(t, "example_service.billing.read", nil)
	for _, c := range []struct {
		method, path, token string
		status              int
		body                string
	}{
		{"GET", "/healthz", "", 200, "service: "},
		{"GET", "/billing/", reader, 200, "service: "},
		{"POST", "/billing/", reader, 403, `{"detail":"Not enough permissions"}`},
		{"GET", "/billing/", "", 401, `{"detail":"Not authenticated"}`},
		{"GET", "/billing/", reader + "x", 401, `{"detail":"Invalid token"}`},
		{"GET", "/billing", reader, 404, `{"detail":"Not Found"}`},
		{"PUT", "/billing/", reader, 405, `{"detail":"Method Not Allowed"}`},
	} {
		got := w.do(c.method, w.data+c.path, c.token, nil)
		if got.status != c.status || strings.TrimSpace(got.body) != c.body && c.status != 200 || !strings.HasPrefix(got.body, strings.TrimSpace(c.body)) {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
	}
}

// promised are the metrics' names; a dashboard or an alert somewhere reads each of them.
var promised = []string{
	"requests_total{service,route,method,code,reason}", "request_duration_seconds{service,route}", "upstream_duration_seconds{service,route}",
	"jwks_age_seconds{issuer}", "jwks_keys{issuer}", "jwks_refreshes_total{issuer,trigger,result}", "jwks_stale{issuer}",
	"unknown_kids_total{issuer,outcome}", "token_cache_hits_total", "token_cache_misses_total", "token_cache_entries",
	"policy_info{service,hash}", "policy_reloads_total{service,result}", "policy_last_reload_successful{service}",
	"policy_last_reload_success_timestamp_seconds{service}", "connections{state}", "build_info", "log_dropped_total",
	"candidate_decisions_total{service,route,active,candidate}", "candidate_info{service,hash}", "candidate_last_reload_successful{service}",
	"policy_held{service}",
}

func TestMetricsContract(t *testing.T) {
	w := newWorld(t)
	w.candidate(nextPolicy)
	w.ready()
	reader := w.issuer.token(t, "example_service.billing.read", nil)
	for i := range 5 {
		w.get(w.data+"/billing/", reader)
		w.get(w.data+"/no/such/path/"+fmt.Sprint(i), "")
		w.do(fmt.Sprintf("BREW%c", 'A'+i), w.data+"/any", "", nil)
	}
	w.eventually("all requests counted", func() bool { return len(w.log.lines(t)) >= 15 })

	families, err := w.gateway.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
				if v := l.GetValue(); strings.Contains(v, "such") || strings.Contains(v, "BREW") {
					t.Errorf("%s: a client chose the label %s=%q", f.GetName(), l.GetName(), v)
				}
			}
			slices.Sort(labels)
			got[strings.TrimPrefix(f.GetName(), "scopegate_gateway_")] = labels
		}
	}
	for _, name := range promised {
		name, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		have, ok := got[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		want := strings.Split(labels, ",")
		slices.Sort(want)
		if labels != "" && !slices.Equal(have, want) {
			t.Errorf("%s has labels %v, want %v", name, have, want)
		}
	}
	problems, err := testutil.GatherAndLint(w.gateway.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("lint: %s: %s", p.Metric, p.Text)
	}
	if v := w.sample(`requests_total{code="404",method="GET",reason="no_route",route="unmatched",service="example_service"}`); v != "5" {
		t.Errorf("no_route counted %q", v)
	}
	if v := w.sample(`requests_total{code="200",method="other",reason="public",route="/any",service="example_service"}`); v != "5" {
		t.Errorf("methods of nobody counted %q", v)
	}
	if hits := w.sample("token_cache_hits_total"); hits != "4" {
		t.Errorf("token cache hits %s", hits)
	}
}

func TestMetricsAreOpenMetrics(t *testing.T) {
	w := newWorld(t)
	w.ready()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", w.admin+"/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/openmetrics-text") {
		t.Errorf("content type %s", ct)
	}
}

// The keys of the decision log, exactly: replay and learn read them.
func TestLogContract(t *testing.T) {
	w := newWorld(t)
	w.ready()
	token := w.issuer.token(t, "example_service.billing.read other.scope", map[string]any{
		"org_id": "acme", "secret_claim": "not for the log", "acr": "urn:mfa", "auth_time": time.Now().Add(-10 * time.Minute).Unix()})
	w.get(w.data+"/billing/acme/invoices?page=2", token)
	w.get(w.data+"/billing/umbra/invoices", token)
	w.do("POST", w.data+"/billing/", token, strings.NewReader("four"))
	w.get(w.data+"/healthz", "")
	w.get(w.data+"/nowhere", "")
	w.get(w.data+"/billing/a%2Fb/invoices", token)
	w.eventually("six lines", func() bool { return len(w.log.lines(t)) == 6 })

	keys := strings.Fields("time msg request_id service host method path route status decision reason guard accepted issuer subject client scopes missing claims " +
		"auth_age acr anonymous policy rule duration_ms upstream_ms bytes_in bytes_out sampled")
	slices.Sort(keys)
	for _, line := range w.log.lines(t) {
		if got := slices.Sorted(maps.Keys(line)); !slices.Equal(got, keys) {
			t.Errorf("keys differ: %s", cmp.Diff(keys, got))
		}
	}
	lines := w.log.lines(t)
	u, _ := url.Parse(w.data)
	check := func(line map[string]any, want map[string]any) {
		t.Helper()
		for k, v := range want {
			if d := cmp.Diff(v, line[k]); d != "" {
				t.Errorf("%s: %s", k, d)
			}
		}
	}
	check(lines[0], map[string]any{
		"service": "example_service", "host": u.Host, "method": "GET", "path": "/billing/acme/invoices", "route": "/billing/{org}/invoices",
		"status": 200.0, "decision": "allow", "reason": "allowed", "issuer": w.issuer.URL, "subject": "ann", "client": "cli",
		"scopes": []any{"example_service.billing.read", "other.scope"}, "accepted": []any{}, "missing": []any{}, "claims": map[string]any{"org_id": "acme"},
		"acr": "urn:mfa", "anonymous": false, "sampled": 1.0, "bytes_in": 0.0, "bytes_out": float64(len("service: ")),
	})
	if age, ok := lines[0]["auth_age"].(float64); !ok || age < 560 || age > 600 {
		t.Errorf("auth_age %v", lines[0]["auth_age"])
	}
	if rule, _ := lines[0]["rule"].(string); !strings.HasSuffix(rule, "billing.yaml:11") {
		t.Errorf("rule %s", rule)
	}
	if hash, _ := lines[0]["policy"].(string); hash == "" || w.sample(`policy_info{hash="`+hash+`",service="example_service"}`) != "1" {
		t.Errorf("policy %s is not the one of policy_info", hash)
	}
	check(lines[1], map[string]any{"status": 403.0, "decision": "deny", "reason": "claim_mismatch", "missing": []any{}})
	check(lines[2], map[string]any{"status": 403.0, "decision": "deny", "reason": "insufficient_scope", "missing": []any{"example_service.billing.write"}})
	check(lines[3], map[string]any{"status": 200.0, "decision": "allow", "reason": "public", "anonymous": true, "subject": "", "scopes": []any{}, "claims": map[string]any{}, "auth_age": nil})
	check(lines[4], map[string]any{"status": 404.0, "decision": "deny", "reason": "no_route", "route": "unmatched", "path": "/nowhere", "rule": "", "guard": ""})
	check(lines[5], map[string]any{"status": 400.0, "decision": "deny", "reason": "ambiguous_request", "guard": "encoded_slash"})
}

// No log line holds a credential, wherever a client puts one.
func TestTheLogHoldsNoCredential(t *testing.T) {
	w := newWorld(t)
	w.ready()
	good := w.issuer.token(t, "example_service.billing.read", nil)
	expired := w.issuer.token(t, "", map[string]any{"exp": 1})
	nearly := w.issuer.token(t, "", map[string]any{"iss": strings.Replace(w.issuer.URL, "127.0.0.1", "localhost", 1)})
	const basic, cookie = "dXNlcjpwYXNzd29yZA==", "session=0123456789abcdef"
	send := func(method, path string, header http.Header) {
		r, err := http.NewRequestWithContext(t.Context(), method, w.data+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, header)
		r.Header.Set("Cookie", cookie)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	bearer := func(t string) http.Header { return http.Header{"Authorization": {"Bearer " + t}} }
	send("GET", "/billing/", bearer(good))
	send("GET", "/billing/", bearer(expired))
	send("GET", "/billing/", bearer(nearly))
	send("GET", "/billing/", bearer(good[:len(good)-3]))
	send("GET", "/billing/", http.Header{"Authorization": {"Basic " + basic}})
	send("GET", "/billing/", http.Header{"Authorization": {"Bearer " + good, "Bearer " + expired}})
	send("GET", "/billing/?access_token="+good, nil)
	send("GET", "/billing/?access_token="+good, bearer(good))
	send("GET", "/billing//?access_token="+expired, nil)
	send("GET", "/healthz?access_token="+good, bearer(good))
	w.eventually("ten lines", func() bool { return len(w.log.lines(t)) == 10 })
	w.stop()
	<-w.ended
	for _, secret := range []string{good, expired, nearly, basic, cookie, strings.Split(good, ".")[2], strings.Split(good, ".")[1]} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log holds %.20s…", secret)
		}
	}
}

func TestValuesOfClientsAreCutInTheLog(t *testing.T) {
	w := newWorld(t)
	w.ready()
	long := strings.Repeat("x", 4000)
	w.get(w.data+"/"+long, "")
	w.get(w.data+"/billing/", w.issuer.token(t, "example_service.billing.read", map[string]any{"sub": long}))
	w.eventually("two lines", func() bool { return len(w.log.lines(t)) == 2 })
	for _, line := range w.log.lines(t) {
		for _, key := range []string{"path", "subject", "host", "request_id"} {
			if v, _ := line[key].(string); len(v) > 512 {
				t.Errorf("%s has %d bytes", key, len(v))
			}
		}
	}
}

func TestAllowedLinesAreSampled(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", strings.Replace(w.config(""), "log: { format: json }", "log: { format: json, sample_allowed: 4 }", 1))
	w.ready()
	for range 8 {
		w.get(w.data+"/healthz", "")
	}
	w.get(w.data+"/billing/", "")
	w.eventually("the refusal's line", func() bool {
		lines := w.log.lines(t)
		return len(lines) > 0 && lines[len(lines)-1]["reason"] == "token_missing"
	})
	lines := w.log.lines(t)
	for _, line := range lines[:len(lines)-1] {
		if line["sampled"] != 4.0 || line["reason"] != "public" {
			t.Errorf("%v requests stand behind a line of %v", line["sampled"], line["reason"])
		}
	}
	// Each core takes every fourth of its own, beginning with the first.
	if n := len(lines) - 1; n < 8/4 || n > 8/4+runtime.GOMAXPROCS(0) {
		t.Errorf("%d lines for 8 requests", n)
	}
	if last := lines[len(lines)-1]; last["sampled"] != 1.0 {
		t.Errorf("a refusal was sampled: %v", last["sampled"])
	}
}
