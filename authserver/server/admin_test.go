package server_test

import (
	"net/http"
	"strings"
	"testing"
)

// ask sends a GET, or another method, to the admin port.
func (s *site) ask(method, path string, headers ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.admin+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	return send(s.t, req)
}

func scrape(t *testing.T, s *site) string {
	t.Helper()
	r := s.ask("GET", "/metrics", "Accept: application/openmetrics-text; version=1.0.0")
	if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "application/openmetrics-text") {
		t.Fatalf("%d %v", r.status, r.header)
	}
	return r.body
}

func TestAdminPort(t *testing.T) {
	s := open(t)
	for path, status := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/": 404, "/policy": 404, "/debug/pprof/": 404, "/user/login": 404} {
		if r := s.ask("GET", path); r.status != status {
			t.Errorf("GET %s: %d", path, r.status)
		}
		if r := s.ask("POST", path); r.status != 405 || r.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, r.status)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		want(t, "public "+path, s.call("GET", path, ""), 404, "Not Found")
	}
}

// TestReasonsAreForLocalCallers: a web page that rebinds its name to 127.0.0.1
// sends that name.
func TestReasonsAreForLocalCallers(t *testing.T) {
	s := open(t)
	for host, shown := range map[string]bool{"localhost:9000": true, "127.0.0.1": true, "[::1]:9000": true, "[::1]": true, "evil.example": false} {
		r := s.ask("GET", "/readyz?verbose", "Host: "+host)
		if got := strings.Contains(r.body, "checks"); got != shown || r.status != 200 {
			t.Errorf("%s: %d %s", host, r.status, r.body)
		}
	}
}

func TestMetricsTellWhatHappened(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	auth := s.login("test_user")
	s.tryLogin("test_user", "wrong")
	s.call("GET", "/user/me/", "", auth)
	s.call("GET", "/no/such/path", "")
	s.call("PROPFIND", "/role/", "")
	got := scrape(t, s)
	for _, line := range []string{
		`scopegate_authserver_logins_total{result="ok"} 1.0`,
		`scopegate_authserver_logins_total{result="refused"} 1.0`,
		`scopegate_authserver_tokens_issued_total{profile="login"} 1.0`,
		`scopegate_authserver_requests_total{code="200",method="GET",route="/user/me"} 1.0`,
		`scopegate_authserver_requests_total{code="404",method="GET",route="unmatched"} 1.0`,
		`scopegate_authserver_requests_total{code="405",method="other",route="/role/"} 1.0`,
		`scopegate_authserver_keys{state="signing"} 1.0`,
		`scopegate_authserver_keys{state="unopened"} 0.0`,
		`scopegate_authserver_hash_queue_depth 0.0`,
		`scopegate_authserver_hash_wait_seconds_count{queue="signup"} 1`,
		`scopegate_authserver_store_duration_seconds_count{op="update"} 1`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(got, "/no/such/path") || strings.Contains(got, "PROPFIND") {
		t.Error("a client made a label")
	}
}
