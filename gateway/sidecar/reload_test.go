package sidecar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// open is the policy with POST made public: a change that shows at once from outside.
var openPolicy = strings.Replace(worldPolicy, "POST: example_service.billing.write", "POST: public", 1)

func (w *world) post() int { return w.do("POST", w.data+"/billing/", "", nil).status }

func TestAPolicyIsReloadedWhenItsFileChanges(t *testing.T) {
	w := newWorld(t)
	w.ready()
	if got := w.post(); got != 401 {
		t.Fatalf("before: %d", got)
	}
	misses := w.sample("token_cache_misses_total")
	w.write("policies/billing.yaml", openPolicy)
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if got := w.post(); got != 200 {
		t.Errorf("after: %d", got)
	}
	if got := w.sample(`policy_reloads_total{result="success",service="example_service"}`); got != "1" {
		t.Errorf("reloads %s", got)
	}
	if got := w.sample("token_cache_misses_total"); got != misses {
		t.Errorf("a policy's reload emptied the token cache: misses %s, then %s", misses, got)
	}
	if n := strings.Count(w.get(w.admin+"/metrics", "").body, "scopegate_gateway_policy_info{"); n != 1 {
		t.Errorf("%d policies in policy_info", n)
	}
}

// The promise: whatever is broken, the last good configuration serves on, and gauge,
// readiness detail, /policy and log say so.
func TestABadReloadLeavesTheOldPolicyServing(t *testing.T) {
	for name, broken := range map[string]struct{ file, text, finding string }{
		"a broken policy":          {"policies/billing.yaml", "version: 1\nservice: example_service\nroutes: [\n", "SG001"},
		"a policy with a fault":    {"policies/billing.yaml", strings.Replace(openPolicy, "GET: example_service.billing.read", "GET: example_service.billing.raed", 1), "SG013"},
		"an empty policy":          {"policies/billing.yaml", "", "SG003"},
		"a broken configuration":   {"gateway.yaml", "version: 1\nservices: {}\n", "SG205"},
		"a policy of another kind": {"policies/billing.yaml", "\x00\x01", "SG001"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ready()
			w.write(broken.file, broken.text)
			if w.reloaded() {
				t.Fatal("was taken")
			}
			if got := w.post(); got != 401 {
				t.Errorf("POST without a token: %d", got)
			}
			if got := w.get(w.data+"/billing/", w.issuer.token(t, "example_service.billing.read", nil)).status; got != 200 {
				t.Errorf("GET with a token: %d", got)
			}
			if got := w.sample(`policy_last_reload_successful{service="example_service"}`); got != "0" {
				t.Errorf("gauge %s", got)
			}
			if got := w.sample(`policy_reloads_total{result="failure",service="example_service"}`); got != "1" {
				t.Errorf("failures %s", got)
			}
			ready := w.get(w.admin+"/readyz?verbose", "")
			if ready.status != 200 || !strings.Contains(ready.body, "[-]last reload: failure") || !strings.Contains(ready.body, broken.finding) {
				t.Errorf("readyz %d:\n%s", ready.status, ready.body)
			}
			w.logged("reload refused")
			w.logged(broken.finding)
			// And mended, it is taken again.
			w.write("gateway.yaml", w.config(""))
			w.write("policies/billing.yaml", openPolicy)
			w.eventually("mended", func() bool { return w.post() == 200 })
			w.eventually("the gauge", func() bool { return w.sample(`policy_last_reload_successful{service="example_service"}`) == "1" })
		})
	}
}

func TestAPolicyThatIsRemovedLeavesTheOldOneServing(t *testing.T) {
	w := newWorld(t)
	w.ready()
	if err := os.Remove(filepath.Join(w.dir, "policies", "billing.yaml")); err != nil {
		t.Fatal(err)
	}
	if w.reloaded() {
		t.Fatal("was taken")
	}
	if got := w.post(); got != 401 {
		t.Errorf("POST without a token: %d", got)
	}
}

// Half of a file can be a valid policy, and a weaker one: here the second half closes what
// the first leaves open. The first reading sees the half, the second one the whole.
func TestAHalfWrittenPolicyIsNeverServed(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(w.dir, "policies", "billing.yaml")
	head := "version: 1\nservice: example_service\nscopes: { s: All }\nroutes:\n  /**:\n    ANY: public\n"
	whole := head + "  /billing/:\n    POST: s\n"
	var armed, written atomic.Bool
	w.pause = func(ctx context.Context, d time.Duration) error {
		if d == sidecar.SettleTime && armed.CompareAndSwap(true, false) {
			written.Store(true)
			if got := w.post(); got != 401 {
				t.Errorf("while the file is half written: %d", got)
			}
			if err := os.WriteFile(path, []byte(whole), 0o644); err != nil {
				t.Error(err)
			}
		}
		return ctx.Err()
	}
	w.ready()
	armed.Store(true)
	w.write("policies/billing.yaml", head)
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if !written.Load() {
		t.Error("the files were not read twice")
	}
	if got := w.post(); got != 401 {
		t.Errorf("in the end: %d", got)
	}
	if got := w.get(w.data+"/elsewhere", "").status; got != 200 {
		t.Errorf("the whole policy is not served: %d", got)
	}
}

func TestHangupReloadsUnchangedFiles(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.gateway.Reload()
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if got := w.sample(`policy_reloads_total{result="success",service="example_service"}`); got != "1" {
		t.Errorf("reloads %s", got)
	}
}

// Kubernetes replaces a ConfigMap by moving the symlink ..data; no file in the watched
// folder is written at all.
func TestAConfigMapIsReloaded(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	generation := 0
	publish := func(policy string) {
		generation++
		name := fmt.Sprintf("..2026_11_23_%d", generation)
		folder := filepath.Join(dir, name)
		check := func(err error) {
			t.Helper()
			if err != nil && !os.IsExist(err) {
				t.Fatal(err)
			}
		}
		check(os.Mkdir(folder, 0o755))
		check(os.WriteFile(filepath.Join(folder, "gateway.yaml"), []byte(strings.Replace(w.config(""), "policies/", "", 1)), 0o644))
		check(os.WriteFile(filepath.Join(folder, "billing.yaml"), []byte(policy), 0o644))
		before, _ := os.Readlink(filepath.Join(dir, "..data"))
		check(os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		check(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		for _, f := range []string{"gateway.yaml", "billing.yaml"} {
			check(os.Symlink(filepath.Join("..data", f), filepath.Join(dir, f)))
		}
		if before != "" {
			check(os.RemoveAll(filepath.Join(dir, before)))
		}
	}
	publish(worldPolicy)
	w.dir = dir
	w.ready()
	for i, policy := range []string{openPolicy, worldPolicy, openPolicy} {
		publish(policy)
		want := map[bool]int{true: 200, false: 401}[policy == openPolicy]
		w.eventually(fmt.Sprintf("swap %d: %d", i+1, want), func() bool { return w.post() == want })
	}
}

func TestWhatNeedsARestartIsSaid(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.write("gateway.yaml", w.config("listen: 127.0.0.1:1\ntoken_cache: 5\n"))
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	w.logged(`"restart needed"`)
	w.logged("listen, token_cache")
	var page struct {
		LastReload struct {
			RestartNeeded []string `json:"restart_needed"`
		} `json:"last_reload"`
	}
	if err := json.Unmarshal([]byte(w.get(w.admin+"/policy", "").body), &page); err != nil || len(page.LastReload.RestartNeeded) != 2 {
		t.Errorf("policy page %+v, %v", page, err)
	}
	if w.sample("restart_needed") != "1" {
		t.Error("no gauge")
	}
}

// A new issuer comes with a reload: its tokens are good from the first moment, because the
// new configuration is published with its keys.
func TestIssuersAreReloaded(t *testing.T) {
	w := newWorld(t)
	w.ready()
	second := newIssuer(t)
	token := second.token(t, "example_service.billing.read", nil)
	if got := w.get(w.data+"/billing/", token).status; got != 401 {
		t.Fatalf("before: %d", got)
	}
	text := strings.Replace(w.config(""), "services:\n", "  - issuer: "+second.URL+"\n    jwks_uri: "+second.URL+"\n    audience: none\nservices:\n", 1)
	w.write("gateway.yaml", strings.Replace(text, "    upstream:", "    issuers: ["+w.issuer.URL+", "+second.URL+"]\n    upstream:", 1))
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if got := w.get(w.data+"/billing/", token); got.status != 200 {
		t.Errorf("after: %d %s", got.status, got.body)
	}
	if got := w.get(w.data+"/billing/", w.issuer.token(t, "example_service.billing.read", nil)); got.status != 200 {
		t.Errorf("the first issuer, after: %d %s", got.status, got.body)
	}
	// An issuer that is taken away takes its verified tokens with it.
	w.write("gateway.yaml", w.config(""))
	if !w.reloaded() {
		t.Fatalf("refused:\n%s", w.log)
	}
	if got := w.get(w.data+"/billing/", token).status; got != 401 {
		t.Errorf("after it was removed: %d", got)
	}
}

func TestUnknownKeysOfLaterIssuesAreRefusedAtReload(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.write("gateway.yaml", strings.Replace(w.config(""), "    upstream:", "    resource_metadata: true\n    upstream:", 1))
	if w.reloaded() {
		t.Error("was taken")
	}
}
