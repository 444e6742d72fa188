package sidecar_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

func adminOf(t *testing.T, more string) http.Handler {
	t.Helper()
	w := newWorld(t)
	w.write("gateway.yaml", w.config(more))
	g, err := sidecar.New(mustLoad(t, sidecar.Source{File: w.dir + "/gateway.yaml"}), w.log)
	if err != nil {
		t.Fatal(err)
	}
	return g.AdminHandler()
}

// Who may see what on the admin port. A web page that had its name resolved to
// 127.0.0.1 comes from a local peer with a foreign Host (DNS rebinding).
func TestWhoSeesWhatOnTheAdminPort(t *testing.T) {
	h := adminOf(t, "pprof: true\n")
	const near, far = "127.0.0.1:40000", "192.0.2.1:40000"
	for _, c := range []struct {
		peer, host, path string
		status           int
	}{
		{far, "gateway.example:9001", "/livez", 200},
		{far, "gateway.example:9001", "/readyz", 503},
		{far, "gateway.example:9001", "/metrics", 200},
		{far, "gateway.example:9001", "/readyz?verbose", 403},
		{far, "127.0.0.1:9001", "/readyz?verbose", 403},
		{far, "127.0.0.1:9001", "/policy", 403},
		{far, "127.0.0.1:9001", "/policy?source=example_service", 403},
		{near, "evil.example:9001", "/policy?source=example_service", 403},
		{near, "localhost", "/policy?source=example_service", 200},
		{near, "localhost", "/policy?source=../../gateway.yaml", 404},
		{far, "localhost", "/debug/pprof/", 403},
		{near, "localhost:9001", "/readyz?verbose", 503},
		{near, "localhost:9001", "/policy", 200},
		{near, "LOCALHOST", "/policy", 200},
		{near, "[::1]:9001", "/policy", 200},
		{"[::1]:40000", "127.0.0.1", "/policy", 200},
		{"[::ffff:127.0.0.1]:40000", "127.0.0.1", "/policy", 200},
		{near, "127.0.0.1:9001", "/debug/pprof/", 200},
		{near, "127.0.0.1:9001", "/debug/pprof/heap", 200},
		{near, "127.0.0.1:9001", "/debug/pprof/cmdline", 404},
		{near, "evil.example:9001", "/policy", 403},
		{near, "localhost.evil.example", "/policy", 403},
		{near, "evil.example", "/readyz?verbose", 403},
		{near, "evil.example", "/debug/pprof/heap", 403},
		{near, "", "/policy", 403},
		{near, "localhost", "/", 404},
		{near, "localhost", "/policy/", 404},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.RemoteAddr, r.Host = c.peer, c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s asks %q for %s: %d, want %d", c.peer, c.host, c.path, w.Code, c.status)
		}
	}
}

func TestOnlyGetAndHeadOnTheAdminPort(t *testing.T) {
	h := adminOf(t, "")
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
		for _, path := range []string{"/livez", "/metrics", "/policy", "/"} {
			r := httptest.NewRequest(method, path, nil)
			r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

func TestPprofIsOffUnlessAskedFor(t *testing.T) {
	h := adminOf(t, "")
	r := httptest.NewRequest("GET", "/debug/pprof/heap", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

func TestThePolicyPageSaysWhatIsLoaded(t *testing.T) {
	w := newWorld(t)
	w.ready()
	answer := w.get(w.admin+"/policy", "")
	var page struct {
		Services []struct {
			Service, Hash string
			Routes        []struct {
				Path    string
				Methods []struct{ Method, Requirement string }
			}
		}
		Issuers []struct {
			Issuer  string
			Keys    int
			HadKeys bool     `json:"had_keys"`
			KeyIDs  []string `json:"key_ids"`
		}
	}
	if err := json.Unmarshal([]byte(answer.body), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Services) != 1 || page.Services[0].Service != "example_service" || page.Services[0].Hash == "" || len(page.Services[0].Routes) != 4 {
		t.Errorf("services %+v", page.Services)
	}
	if len(page.Issuers) != 1 || page.Issuers[0].Issuer != w.issuer.URL || page.Issuers[0].Keys != 1 || !page.Issuers[0].HadKeys {
		t.Errorf("issuers %+v", page.Issuers)
	}
	if answer.header.Get("Cache-Control") != "no-store" || answer.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("header %v", answer.header)
	}
}

// A gateway that starts before its issuer says that it is not ready, refuses with 503 and
// not 401, and recovers by itself.
func TestStartsWhileTheIssuerIsDownAndRecovers(t *testing.T) {
	w := newWorld(t)
	w.issuer.down.Store(true)
	w.start()
	w.eventually("the first attempt", func() bool { return w.issuer.fetches.Load() > 0 })
	if got := w.get(w.admin+"/readyz", ""); got.status != 503 || !strings.Contains(got.body, "waiting for keys") {
		t.Errorf("readyz %d %s", got.status, got.body)
	}
	if got := w.get(w.admin+"/livez", "").status; got != 200 {
		t.Errorf("livez %d", got)
	}
	token := w.issuer.token(t, "example_service.billing.read", nil)
	if got := w.get(w.data+"/billing/", token); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("with a token: %d %v", got.status, got.header)
	}
	if got := w.get(w.data+"/healthz", "").status; got != 200 {
		t.Errorf("public: %d", got)
	}
	w.issuer.down.Store(false)
	w.eventually("ready", func() bool { return w.get(w.admin+"/readyz", "").status == 200 })
	if got := w.get(w.data+"/billing/", token).status; got != 200 {
		t.Errorf("with a token, then: %d", got)
	}
}

func TestReadyAny(t *testing.T) {
	for mode, want := range map[string]int{"all": 503, "any": 200} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			dead := newIssuer(t)
			dead.down.Store(true)
			text := strings.Replace(w.config("ready: "+mode+"\n"), "services:\n", "  - issuer: "+dead.URL+"\n    jwks_uri: "+dead.URL+"\n    audience: none\nservices:\n", 1)
			w.write("gateway.yaml", strings.Replace(text, "    upstream:", "    issuers: ["+w.issuer.URL+"]\n    upstream:", 1))
			w.start()
			w.eventually("both asked", func() bool {
				return dead.fetches.Load() > 0 && strings.Contains(w.get(w.admin+"/readyz?verbose", "").body, "[+]issuer "+w.issuer.URL)
			})
			if got := w.get(w.admin+"/readyz", "").status; got != want {
				t.Errorf("status %d, want %d", got, want)
			}
		})
	}
}

func TestAGatewayOfPublicRoutesNeedsNoKeys(t *testing.T) {
	w := newWorld(t)
	w.write("policies/billing.yaml", "version: 1\nservice: front\nroutes:\n  /:\n    GET: public\n")
	w.issuer.down.Store(true)
	w.ready()
	if got := w.get(w.data+"/", "").status; got != 200 {
		t.Errorf("status %d", got)
	}
}
