package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/deploy/parts"
)

// pagesRoutes are what the pages ask for.
const pagesRoutes = `  /open: { GET: public }
  /broken: { GET: public }
  /any: { ANY: public }
  /items: { GET: shop.use, POST: shop.use, PUT: shop.use }
  /kept: { GET: shop.keep }
`

// visit is one page in one browser window, and what it told.
type visit struct {
	name, script, url string
	results           []struct{ Claim, Error string }
}

// TestChromium shows pages of two origins to a browser. Both ask the gateway for the same
// things, by the scripts in testdata; one of them is in cors.origins.
func TestChromium(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		parts.Missing(t, "chromium", err.Error())
	}
	tour := &tour{t: t, ended: make(chan struct{})}
	listed, unlisted := httptest.NewServer(tour), httptest.NewServer(tour)
	t.Cleanup(listed.Close)
	t.Cleanup(unlisted.Close)
	service := &openService{asked: map[string]int{}}
	upstream := httptest.NewServer(service)
	t.Cleanup(upstream.Close)
	for name, secure := range map[string]bool{"TLS": true, "cleartext": false} {
		g := startGateway(t, secure, upstream.URL, pagesRoutes,
			fmt.Sprintf("cors: { origins: [%q], expose: [X-Total-Count], credentials: true }", listed.URL))
		query := "?" + url.Values{"gateway": {g.url("")}, "token": {token(t, "shop.use")}}.Encode()
		tour.visits = append(tour.visits,
			&visit{name: name + ", a listed page", script: "listed.mjs", url: listed.URL + "/listed" + query},
			&visit{name: name + ", another page", script: "unlisted.mjs", url: unlisted.URL + "/unlisted" + query})
	}
	screen := browse(t, tour.visits[0].url, tour.ended)
	for _, v := range tour.visits {
		t.Run(v.name, func(t *testing.T) {
			var held []string
			for _, r := range v.results {
				if r.Error != "" {
					t.Errorf("%s: %s", r.Claim, r.Error)
				}
				held = append(held, r.Claim)
			}
			if claimed := claimsOf(t, v.script); len(held) != claimed {
				t.Errorf("made %d claims of %d: %q", len(held), claimed, held)
			}
		})
	}
	if t.Failed() {
		t.Logf("the browser said:\n%s", lastLines(screen.String(), 30))
	}
	service.check(t, len(tour.visits)/2)
}

// claimsOf counts the claims of a script; one in a loop over two methods is two.
func claimsOf(t *testing.T, script string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	return len(regexp.MustCompile(`(?m)^await claim\('`).FindAll(text, -1)) +
		2*len(regexp.MustCompile("(?m)^  await claim\\(`").FindAll(text, -1))
}

// tour is the site of both origins: it serves the pages, takes what they tell, and sends the
// browser on to the next.
type tour struct {
	t      *testing.T
	ended  chan struct{}
	mu     sync.Mutex // guards at and the visits' results
	at     int
	visits []*visit
}

func (s *tour) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch name := strings.TrimPrefix(r.URL.Path, "/"); name {
	case "listed", "unlisted":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>%s</title><script type="module" src="/%[1]s.mjs"></script>`, name)
	case "listed.mjs", "unlisted.mjs", "claims.mjs":
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		http.ServeFile(w, r, filepath.Join("testdata", name))
	case "results":
		s.next(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *tour) next(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == len(s.visits) {
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&s.visits[s.at].results); err != nil {
		s.t.Error(err)
	}
	if s.at++; s.at == len(s.visits) {
		close(s.ended)
		return
	}
	fmt.Fprint(w, s.visits[s.at].url)
}

// browse shows url to a fresh browser until the tour has ended, and returns what the browser
// printed.
func browse(t *testing.T, url string, ended <-chan struct{}) *screen {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	home := t.TempDir()
	browser := exec.CommandContext(ctx, "chromium",
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--ignore-certificate-errors", "--user-data-dir="+filepath.Join(home, "profile"), url)
	browser.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	out := &screen{}
	browser.Stdout, browser.Stderr = out, out
	browser.Cancel = func() error { return browser.Process.Signal(syscall.SIGTERM) }
	browser.WaitDelay = 20 * time.Second
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	died := make(chan struct{})
	go func() { _ = browser.Wait(); close(died) }()
	select {
	case <-ended:
	case <-died:
	}
	stop()
	<-died // it writes into its profile until then
	select {
	case <-ended:
	default:
		t.Errorf("the browser ended before the tour did:\n%s", lastLines(out.String(), 30))
	}
	return out
}

// openService lets every page do everything, and counts what it answered.
type openService struct {
	mu    sync.Mutex // guards asked
	asked map[string]int
}

func (s *openService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", "X-Secret")
	h.Set("X-Total-Count", "7")
	h.Set("X-Secret", "the service's own")
	if r.URL.Path == "/broken" {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	s.asked[r.Method+" "+r.URL.Path]++
	s.mu.Unlock()
	fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	if who := r.Header.Get("X-Auth-Subject"); who != "" {
		fmt.Fprintf(w, " by %s", who)
	}
}

// check: what a browser must not send has not come, and no preflight has. One page of each
// origin asked in each of the rounds.
func (s *openService) check(t *testing.T, rounds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[string]int{"GET /open": 6, "GET /items": 1, "POST /items": 1, "PUT /items": 1, "REPORT /any": 1}
	for line := range want {
		want[line] *= rounds
	}
	if d := cmp.Diff(want, s.asked); d != "" {
		t.Errorf("-what a browser may send +what came\n%s", d)
	}
}
