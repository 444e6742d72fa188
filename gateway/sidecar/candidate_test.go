package sidecar_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// nextPolicy is worldPolicy with a door opened, one closed, one moved, and one that is new.
const nextPolicy = `version: 1
service: example_service
scopes:
  example_service.billing.read: Read billing
  example_service.billing.export: Export billing
routes:
  /billing/:
    GET: example_service.billing.export
    POST: public
  /billing/{org}/invoices:
    GET:
      any: [example_service.billing.read]
      claims: { org_id: "{org}", tier: gold }
  /healthz:
    GET: example_service.billing.read
  /any:
    ANY: public
  /new/{thing}:
    GET: public
`

// candidate names the candidate in gateway.yaml and writes it; "" writes none.
func (w *world) candidate(text string) {
	w.t.Helper()
	if text != "" {
		w.write("policies/next.yaml", text)
	}
	w.write("gateway.yaml", w.withCandidate())
}

func (w *world) withCandidate() string {
	return strings.Replace(w.config(""), "policies/billing.yaml\n", "policies/billing.yaml\n    candidate: policies/next.yaml\n", 1)
}

func (w *world) counted(route, active, candidate string) string {
	return w.sample(fmt.Sprintf("candidate_decisions_total{active=%q,candidate=%q,route=%q,service=\"example_service\"}", active, candidate, route))
}

// What a candidate would decide otherwise is counted by route and logged, and done by nobody.
func TestACandidateIsComparedAndNotObeyed(t *testing.T) {
	w := newWorld(t)
	w.candidate(nextPolicy)
	w.ready()
	reader := w.issuer.token(t, "example_service.billing.read", map[string]any{"org_id": "acme", "tier": "silver"})
	exporter := w.issuer.token(t, "example_service.billing.read example_service.billing.export", nil)
	for i, x := range []struct {
		method, path, token string
		status              int
		route               string
		active, candidate   string
		reason, missing     string
		line                int // of the candidate's rule
		agrees              bool
	}{
		{method: "GET", path: "/billing/", token: reader, status: 200, route: "/billing/", active: "allow", candidate: "deny", reason: "insufficient_scope", missing: "example_service.billing.export", line: 8},
		{method: "GET", path: "/billing/", token: exporter, status: 200, route: "/billing/", active: "allow", candidate: "allow", agrees: true},
		{method: "POST", path: "/billing/", status: 401, route: "/billing/", active: "deny", candidate: "allow", reason: "public", line: 9},
		{method: "POST", path: "/billing/", token: reader, status: 403, route: "/billing/", active: "deny", candidate: "allow", reason: "public", line: 9},
		{method: "GET", path: "/billing/acme/invoices", token: reader, status: 200, route: "/billing/{org}/invoices", active: "allow", candidate: "deny", reason: "claim_mismatch", line: 11},
		{method: "GET", path: "/healthz", status: 200, route: "/healthz", active: "allow", candidate: "deny", reason: "token_missing", line: 15},
		{method: "GET", path: "/healthz", token: reader, status: 200, route: "/healthz", active: "allow", candidate: "undecided", line: 15},
		{method: "GET", path: "/new/shoes", status: 404, route: "/new/{thing}", active: "deny", candidate: "allow", reason: "public", line: 19},
		{method: "GET", path: "/nowhere", status: 404, route: "unmatched", active: "deny", candidate: "deny", agrees: true},
		{method: "GET", path: "/billing/", status: 401, route: "/billing/", active: "deny", candidate: "deny", agrees: true},
	} {
		served := w.served.Load()
		if got := w.do(x.method, w.data+x.path, x.token, nil); got.status != x.status || (w.served.Load() > served) != (x.status == 200) {
			t.Errorf("%s %s: %d %s", x.method, x.path, got.status, got.body)
		}
		w.eventually("its line", func() bool { return len(w.log.lines(t)) == i+1 })
		line := w.log.lines(t)[i]
		got := map[string]any{}
		for key, value := range line {
			if strings.HasPrefix(key, "candidate") {
				got[key] = value
			}
		}
		want := map[string]any{}
		if !x.agrees {
			missing := []any{}
			if x.missing != "" {
				missing = append(missing, x.missing)
			}
			want = map[string]any{"candidate": x.candidate, "candidate_reason": x.reason, "candidate_missing": missing,
				"candidate_policy": got["candidate_policy"], "candidate_rule": fmt.Sprintf("%s:%d", filepath.Join(w.dir, "policies/next.yaml"), x.line)}
			if hash := w.sample(fmt.Sprintf("candidate_info{hash=\"%v\",service=\"example_service\"}", got["candidate_policy"])); hash != "1" {
				t.Errorf("%v is not the candidate of candidate_info", got["candidate_policy"])
			}
		}
		if d := cmp.Diff(want, got); d != "" || line["decision"] != x.active {
			t.Errorf("%s %s: %v, %s", x.method, x.path, line["decision"], d)
		}
		if n := w.counted(x.route, x.active, x.candidate); n == "" || n == "0" {
			t.Errorf("%s %s is not counted as %s, %s on %s", x.method, x.path, x.active, x.candidate, x.route)
		}
	}
	if n := w.counted("/billing/", "deny", "allow"); n != "2" {
		t.Errorf("%s requests that only the candidate allows", n)
	}
	if n := w.counted("/new/{thing}", "allow", "deny"); n != "0" {
		t.Errorf("what has not happened on a route that has had requests is %q", n)
	}
	// Scopes and claims that only the candidate reads are in the log, so that lines can be replayed.
	lines := w.log.lines(t)
	if d := cmp.Diff([]any{"example_service.billing.export", "example_service.billing.read"}, lines[1]["scopes"]); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{"org_id": "acme", "tier": "silver"}, lines[4]["claims"]); d != "" {
		t.Error(d)
	}
}

// A candidate is loaded again like a policy, beside which its faults mean nothing.
func TestCandidatesAreReloaded(t *testing.T) {
	w := newWorld(t)
	w.candidate("")
	w.ready()
	reload := func(file, text string) {
		t.Helper()
		w.write(file, text)
		if !w.reloaded() {
			t.Fatalf("refused:\n%s", w.log)
		}
	}
	shows := func(when string, want ...string) {
		t.Helper()
		verbose := w.get(w.admin+"/readyz?verbose", "")
		for _, text := range want {
			if verbose.status != 200 || !strings.Contains(verbose.body, text) {
				t.Errorf("%s: %d, not %q in\n%s", when, verbose.status, text, verbose.body)
			}
		}
	}
	page := func() (c struct {
		Services []struct {
			Hash      string
			Candidate *struct {
				File, Hash string
				Errors     []string
				Routes     []any
			}
		}
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(w.get(w.admin+"/policy", "").body), &c); err != nil || c.Services[0].Candidate == nil {
			t.Fatalf("policy page %+v, %v", c, err)
		}
		return c
	}
	ok := func() string { return w.sample(`candidate_last_reload_successful{service="example_service"}`) }
	infos := func() int {
		return strings.Count(w.get(w.admin+"/metrics", "").body, "scopegate_gateway_candidate_info{")
	}

	w.logged("SG308")
	shows("not there", "[+]candidate example_service: none, "+filepath.Join(w.dir, "policies/next.yaml")+" is not there")
	if ok() != "" || infos() != 0 || page().Services[0].Candidate.Hash != "" {
		t.Error("there is a candidate")
	}

	reload("policies/next.yaml", nextPolicy)
	hash := page().Services[0].Candidate.Hash
	shows("there", "[+]candidate example_service: "+hash)
	if ok() != "1" || infos() != 1 || len(page().Services[0].Candidate.Routes) != 5 || !strings.HasPrefix(hash, "sha256:") {
		t.Errorf("%s, %d, %+v", ok(), infos(), page())
	}

	// Broken: the last good one goes on, and so does everything else, also reloads of the policy.
	reload("policies/next.yaml", strings.Replace(nextPolicy, "GET: example_service.billing.export", "GET: example_service.billing.exprot", 1))
	shows("broken", "[-]candidate example_service: "+hash+", the last good one", "SG013", "[+]last reload: success", "ready")
	w.logged("SG013")
	if p := page(); ok() != "0" || infos() != 1 || p.Services[0].Candidate.Hash != hash || len(p.Services[0].Candidate.Errors) != 1 {
		t.Errorf("%s, %+v", ok(), p)
	}
	if w.sample(`policy_last_reload_successful{service="example_service"}`) != "1" {
		t.Error("the policy is blamed for its candidate")
	}
	reload("policies/billing.yaml", openPolicy)
	if got := w.post(); got != 200 {
		t.Errorf("the policy is not reloaded beside a broken candidate: %d", got)
	}
	w.get(w.data+"/new/x", "")
	w.eventually("counted", func() bool { return w.counted("/new/{thing}", "deny", "allow") == "1" })

	// Of another service it is none; mended, it is taken; moved to the policy's place, it is gone.
	reload("policies/next.yaml", strings.Replace(nextPolicy, "service: example_service", "service: other", 1))
	shows("of another service", "SG234")
	mended := strings.Replace(nextPolicy, "/new/{thing}", "/newer/{thing}", 1)
	reload("policies/next.yaml", mended)
	if page().Services[0].Candidate.Hash == hash || ok() != "1" || infos() != 1 {
		t.Error("mended, it is not taken")
	}
	next := filepath.Join(w.dir, "policies/next.yaml")
	if err := os.Rename(next, filepath.Join(w.dir, "policies/billing.yaml")); err != nil {
		t.Fatal(err)
	}
	w.eventually("promoted", func() bool { return w.get(w.data+"/newer/x", "").status == 200 })
	w.eventually("gone", func() bool { return infos() == 0 && ok() == "" })
}

// A process starts although a candidate has faults, and says so.
func TestAFaultyCandidateKeepsNobodyFromStarting(t *testing.T) {
	for name, text := range map[string]string{"no YAML": "routes: [", "no policy": "version: 1\n", "another service's": strings.Replace(nextPolicy, "service: example_service", "service: other", 1),
		"an issuer of nobody": strings.Replace(nextPolicy, "tier: gold }", "tier: gold }\n      issuer: https://nobody.example", 1)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.candidate(text)
			w.ready()
			if got := w.post(); got != 401 {
				t.Errorf("POST without a token: %d", got)
			}
			w.logged("policies/next.yaml")
			if body := w.get(w.admin+"/readyz?verbose", "").body; !strings.Contains(body, "[-]candidate example_service: none") || !strings.HasSuffix(body, "ready\n") {
				t.Error(body)
			}
			// validate finds it, and --strict makes no more of it than of the file's other remarks.
			w.write("policies/billing.yaml", "version: 1\nservice: example_service\nroutes: { /x: { GET: public } }\n")
			for _, strict := range []bool{false, true} {
				cfg, findings := sidecar.LoadConfig(sidecar.Source{File: filepath.Join(w.dir, "gateway.yaml"), Strict: strict})
				if cfg == nil || !findings.HasErrors() {
					t.Errorf("strict %t: %v", strict, findings)
				}
			}
		})
	}
}
