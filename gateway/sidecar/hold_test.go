package sidecar_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// narrowPolicy lets nobody do more than worldPolicy, and less by one method.
var narrowPolicy = strings.Replace(worldPolicy, "    POST: example_service.billing.write\n", "", 1)

const hold = "reload: { widening: hold }\n"

type heldPage struct {
	Services []struct {
		Service, Hash string
		Held          *struct {
			Hash, See string
			Since     time.Time
			Proven    bool
			Changes   []string
			More      int
		}
	}
}

func (w *world) policyPage() (p heldPage) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.get(w.admin+"/policy", "").body), &p); err != nil || len(p.Services) == 0 {
		w.t.Fatalf("policy page %+v, %v", p, err)
	}
	return p
}

// reload writes a file and waits until it has been looked at.
func (w *world) reload(file, text string) {
	w.t.Helper()
	w.write(file, text)
	if !w.reloaded() {
		w.t.Fatalf("refused:\n%s", w.log)
	}
}

func (w *world) hangup() {
	w.t.Helper()
	w.gateway.Reload()
	if !w.reloaded() {
		w.t.Fatalf("refused:\n%s", w.log)
	}
}

// A policy that lets somebody do more is not served until a person asks for it, and gauge, log,
// readiness detail and /policy say what is held back and how to see it.
func TestAWideningIsHeldUntilHangup(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", w.config(hold))
	w.ready()
	before := w.policyPage().Services[0].Hash
	w.reload("policies/billing.yaml", openPolicy)
	if got := w.post(); got != 401 {
		t.Fatalf("POST without a token: %d", got)
	}
	page := w.policyPage().Services[0]
	if page.Hash != before || page.Held == nil || page.Held.Hash == before || !page.Held.Proven || page.Held.Since.IsZero() || len(page.Held.Changes) != 1 {
		t.Fatalf("%+v", page)
	}
	const witness = "loosened: POST /billing/ without a token, by "
	file := filepath.Join(w.dir, "policies/billing.yaml")
	if change := page.Held.Changes[0]; !strings.HasPrefix(change, witness) || !strings.HasSuffix(change, file+":9: public") {
		t.Error(change)
	}
	if !strings.HasSuffix(page.Held.See, "| gateway diff /dev/stdin '"+file+"'") || !strings.Contains(page.Held.See, "/policy?source=example_service'") {
		t.Error(page.Held.See)
	}
	if got := w.get(w.admin+"/policy?source=example_service", ""); got.status != 200 || got.body != worldPolicy {
		t.Errorf("the policy that is served: %d\n%s", got.status, got.body)
	}
	if got := w.get(w.admin+"/policy?source=other", ""); got.status != 404 {
		t.Errorf("the policy of nobody: %d", got.status)
	}
	verbose := w.get(w.admin+"/readyz?verbose", "")
	for _, text := range []string{"[-]policy example_service: " + page.Held.Hash + " is held back since ", "SIGHUP publishes it", witness, page.Held.See, "[+]last reload: success"} {
		if verbose.status != 200 || !strings.Contains(verbose.body, text) {
			t.Errorf("%d, not %q in\n%s", verbose.status, text, verbose.body)
		}
	}
	w.logged("policy held back")
	w.logged(witness)
	if w.sample(`policy_held{service="example_service"}`) != "1" || w.sample(`policy_reloads_total{result="held",service="example_service"}`) != "1" ||
		w.sample(`policy_last_reload_successful{service="example_service"}`) != "1" || w.sample(`policy_reloads_total{result="success",service="example_service"}`) != "0" {
		t.Error("the gauges say something else")
	}

	// What has nothing to do with it is taken up meanwhile; what is held, and since when, stays.
	w.reload("gateway.yaml", strings.Replace(w.config(hold), "    upstream:", "    explain: none\n    upstream:", 1))
	if again := w.policyPage().Services[0]; again.Held == nil || again.Held.Hash != page.Held.Hash || !again.Held.Since.Equal(page.Held.Since) || w.post() != 401 {
		t.Errorf("%+v", again)
	}

	w.hangup()
	if got := w.post(); got != 200 {
		t.Errorf("after SIGHUP: %d", got)
	}
	w.logged(`"access widened"`)
	if page := w.policyPage().Services[0]; page.Held != nil || w.sample(`policy_held{service="example_service"}`) != "0" {
		t.Errorf("still held: %+v", page)
	}
}

// Policies that close doors, that say the same in other words, or that are those served, wait for
// nobody.
func TestOnlyWhatWidensIsHeld(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", w.config(hold))
	w.ready()
	held := func() string { return w.sample(`policy_held{service="example_service"}`) }
	writer := w.issuer.token(t, "example_service.billing.write", nil)
	post := func() int { return w.do("POST", w.data+"/billing/", writer, nil).status }

	w.reload("policies/billing.yaml", narrowPolicy)
	if post() != 405 || held() != "0" {
		t.Errorf("a policy that closes a door: %d, held %s", post(), held())
	}
	w.reload("policies/billing.yaml", worldPolicy) // opens it again
	if post() != 405 || held() != "1" {
		t.Errorf("a policy that opens one: %d, held %s", post(), held())
	}
	w.reload("policies/billing.yaml", narrowPolicy) // as it is served
	if post() != 405 || held() != "0" {
		t.Errorf("taken back: %d, held %s", post(), held())
	}
	renamed := strings.NewReplacer("{org}", "{organization}", "Read billing", "Read it all").Replace(narrowPolicy)
	w.reload("policies/billing.yaml", renamed)
	if held() != "0" {
		t.Error("other names are held back")
	}
	// A name of its own does not hide a policy from the one that it follows.
	w.reload("policies/billing.yaml", strings.Replace(openPolicy, "service: example_service", "service: another", 1))
	if got := w.post(); got != 405 {
		t.Errorf("a policy under another name: %d", got)
	}
	if p := w.policyPage().Services[0]; p.Service != "example_service" || p.Held == nil {
		t.Errorf("%+v", p)
	}
	// A broken file changes nothing of it.
	w.write("policies/billing.yaml", "routes: [")
	if w.reloaded() {
		t.Error("a broken policy was taken")
	}
	w.gateway.Reload()
	if w.reloaded() {
		t.Error("a broken policy was taken at SIGHUP")
	}
	if got := w.post(); got != 405 || held() != "1" {
		t.Errorf("SIGHUP with a broken file: %d, held %s", got, held())
	}
}

// Each service is held for itself, and a service that is new takes no other's place.
func TestOneServiceDoesNotHoldAnother(t *testing.T) {
	w := newWorld(t)
	two := strings.Replace(w.config(hold), "drain_delay", "  - policy: policies/other.yaml\n    hosts: [other.test]\n    upstream: "+w.service.URL+"\ndrain_delay", 1)
	other := strings.Replace(worldPolicy, "service: example_service", "service: other", 1)
	w.write("policies/other.yaml", other)
	w.write("gateway.yaml", two)
	w.ready()
	w.write("policies/other.yaml", strings.Replace(other, "    POST: example_service.billing.write\n", "", 1))
	w.write("policies/billing.yaml", openPolicy)
	w.eventually("both are looked at", func() bool {
		p := w.policyPage()
		return p.Services[0].Held != nil && p.Services[1].Held == nil && !strings.Contains(w.get(w.admin+"/policy?source=other", "").body, "POST: example")
	})
	if got := w.post(); got != 401 {
		t.Errorf("%d", got)
	}
	w.write("policies/new.yaml", strings.Replace(openPolicy, "service: example_service", "service: new", 1))
	w.write("gateway.yaml", strings.Replace(two, "drain_delay", "  - policy: policies/new.yaml\n    hosts: [new.test]\n    upstream: "+w.service.URL+"\ndrain_delay", 1))
	w.logged(`"service added"`)
	w.eventually("three services", func() bool { return len(w.policyPage().Services) == 3 })
	if p := w.policyPage(); p.Services[0].Held == nil || p.Services[2].Held != nil {
		t.Errorf("%+v", p)
	}
}

// Two services may have one policy; it is held for both, and said once.
func TestAPolicyIsHeldForAllItsServices(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", strings.Replace(w.config(hold), "drain_delay", "  - policy: policies/billing.yaml\n    hosts: [other.test]\n    upstream: "+w.service.URL+"\ndrain_delay", 1))
	w.ready()
	w.reload("policies/billing.yaml", openPolicy)
	p := w.policyPage()
	if len(p.Services) != 2 || p.Services[0].Held == nil || p.Services[1].Held == nil || p.Services[0].Hash != p.Services[1].Hash || w.post() != 401 {
		t.Errorf("%+v", p)
	}
	if n := strings.Count(w.get(w.admin+"/readyz?verbose", "").body, "is held back"); n != 1 {
		t.Errorf("said %d times", n)
	}
	w.hangup()
	if p := w.policyPage(); p.Services[0].Held != nil || p.Services[1].Held != nil || w.post() != 200 {
		t.Errorf("%+v", p)
	}
	w.logged(`"access widened"`)
	if n := strings.Count(w.log.String(), `"access widened"`); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// Without hold, what widens is served and said.
func TestAWideningIsLogged(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.reload("policies/billing.yaml", openPolicy)
	if got := w.post(); got != 200 {
		t.Errorf("%d", got)
	}
	w.logged(`"access widened"`)
	w.logged("loosened: POST /billing/ without a token")
	if w.sample(`policy_held{service="example_service"}`) != "0" {
		t.Error("held")
	}
}

// At its start a process has nothing to compare with, and holds nothing.
func TestNothingIsHeldAtTheStart(t *testing.T) {
	w := newWorld(t)
	w.write("policies/billing.yaml", openPolicy)
	w.write("gateway.yaml", w.config(hold))
	w.ready()
	if got := w.post(); got != 200 || w.sample(`policy_held{service="example_service"}`) != "0" {
		t.Errorf("%d", got)
	}
}

// Policies that cannot be compared in time may widen, and are not served before somebody says so.
func TestAReloadWaitsForNoComparison(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", w.config(hold))
	w.patience = -time.Second
	w.ready()
	w.reload("policies/billing.yaml", narrowPolicy)
	if held := w.policyPage().Services[0].Held; held == nil || held.Proven || !strings.HasPrefix(held.Changes[0], "may_widen: ") {
		t.Errorf("%+v", held)
	}
	if body := w.get(w.admin+"/readyz?verbose", "").body; !strings.Contains(body, "because it may widen access") {
		t.Error(body)
	}
	w.hangup()
	w.logged(`"access may have widened"`)
	if held := w.policyPage().Services[0].Held; held != nil {
		t.Errorf("%+v", held)
	}
}

// The command that shows what is held back shows it.
func TestTheCommandShowsWhatIsHeld(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", w.config(hold))
	w.ready()
	w.reload("policies/billing.yaml", openPolicy)
	see := w.policyPage().Services[0].Held.See
	url, _, _ := strings.Cut(strings.TrimPrefix(see, "curl -s '"), "'")
	if !strings.HasPrefix(url, "http://127.0.0.1:9001/") { // of the configuration; the test listens elsewhere
		t.Fatal(see)
	}
	served := w.get(w.admin+strings.TrimPrefix(url, "http://127.0.0.1:9001"), "").body
	old, _ := policy.Load("stdin", []byte(served))
	text, err := os.ReadFile(filepath.Join(w.dir, "policies/billing.yaml"))
	if err != nil || old == nil {
		t.Fatal(err, served)
	}
	new, _ := policy.Load("billing.yaml", text)
	if c := policy.Compare(old, new); !c.NewAccess() {
		t.Errorf("%+v", c)
	}
}
