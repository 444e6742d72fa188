package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/scopegate/scopegate/billing/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newServer(t *testing.T, cfg ledger.Config) *ledger.Server {
	t.Helper()
	s, err := ledger.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(h http.Handler, method, target string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	h := newServer(t, ledger.Config{}).DataHandler()
	for _, c := range []struct {
		claim, method, target string
		status                int
		body, allow           string
	}{
		{"the demo's read", "GET", "/billing/", 200, `{"message":"Read billing"}`, ""},
		{"the demo's write", "POST", "/billing/", 200, `{"message":"Write billing"}`, ""},
		{"the demo's delete", "DELETE", "/billing/", 200, `{"message":"Delete billing"}`, ""},
		{"a query changes nothing", "GET", "/billing/?a=b&a=%00", 200, `{"message":"Read billing"}`, ""},
		{"health", "GET", "/healthz", 200, `{"message":"ok"}`, ""},
		{"no redirect for a missing slash", "GET", "/billing", 404, `{"detail":"Not Found"}`, ""},
		{"no cleaning of double slashes", "GET", "/billing//", 404, `{"detail":"Not Found"}`, ""},
		{"no cleaning of dots", "GET", "/x/../billing/", 404, `{"detail":"Not Found"}`, ""},
		{"case counts", "GET", "/Billing/", 404, `{"detail":"Not Found"}`, ""},
		{"nothing at the root", "GET", "/", 404, `{"detail":"Not Found"}`, ""},
		{"an unknown method names the known", "PUT", "/billing/", 405, `{"detail":"Method Not Allowed"}`, "DELETE, GET, HEAD, POST"},
		{"health is only read", "POST", "/healthz", 405, `{"detail":"Method Not Allowed"}`, "GET, HEAD"},
		{"no metrics on the data port", "GET", "/metrics", 404, `{"detail":"Not Found"}`, ""},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w := ask(h, c.method, c.target, nil)
			if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("Allow") != c.allow {
				t.Errorf("got %d %q Allow %q, want %d %q Allow %q",
					w.Code, w.Body, w.Header().Get("Allow"), c.status, c.body, c.allow)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("content type is %q", got)
			}
		})
	}
}

func TestTokensChangeNothing(t *testing.T) {
	h := newServer(t, ledger.Config{}).DataHandler()
	for _, authorization := range []string{"", "Bearer x", "Bearer ", "Basic eDp5", "\x00"} {
		w := ask(h, "POST", "/billing/", http.Header{"Authorization": {authorization}})
		if w.Code != 200 || w.Body.String() != `{"message":"Write billing"}` {
			t.Errorf("with Authorization %q: got %d %s", authorization, w.Code, w.Body)
		}
	}
}

func TestWhoamiShowsWhatItWasGiven(t *testing.T) {
	h := newServer(t, ledger.Config{}).DataHandler()
	for _, c := range []struct {
		claim string
		given http.Header
		want  ledger.Identity
	}{
		{"nothing at all", nil, ledger.Identity{Scopes: []string{}, Headers: map[string][]string{}}},
		{
			"the gateway's headers, decoded",
			http.Header{
				"X-Auth-Subject": {"J%C3%B6rg"}, "X-Auth-Issuer": {"http://localhost:8000"},
				"X-Auth-Client": {"cli%2Cent"}, "X-Auth-Scopes": {"a.b.c d.e.f"}, "X-Other": {"no"},
			},
			ledger.Identity{
				Subject: "Jörg", Issuer: "http://localhost:8000", Client: "cli,ent",
				Scopes: []string{"a.b.c", "d.e.f"},
				Headers: map[string][]string{
					"X-Auth-Subject": {"J%C3%B6rg"}, "X-Auth-Issuer": {"http://localhost:8000"},
					"X-Auth-Client": {"cli%2Cent"}, "X-Auth-Scopes": {"a.b.c d.e.f"},
				},
			},
		},
		{
			"a forged twin that CGI-like stacks would fold is shown, not believed",
			http.Header{"X~Auth~Subject": {"root"}, "X_auth_scopes": {"all"}},
			ledger.Identity{Scopes: []string{}, Headers: map[string][]string{
				"X~Auth~Subject": {"root"}, "X_auth_scopes": {"all"},
			}},
		},
		{
			"a value that is not encoded properly is shown as it came",
			http.Header{"X-Auth-Subject": {"100%"}},
			ledger.Identity{Subject: "100%", Scopes: []string{}, Headers: map[string][]string{"X-Auth-Subject": {"100%"}}},
		},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w := ask(h, "GET", "/billing/whoami", c.given)
			var got ledger.Identity
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error("-want +got\n" + diff)
			}
		})
	}
}

func TestAdminPort(t *testing.T) {
	s := newServer(t, ledger.Config{Version: "v1"})
	ask(s.DataHandler(), "GET", "/billing/", nil)
	ask(s.DataHandler(), "GET", "/secret/of/mine", nil)
	ask(s.DataHandler(), "BREW", "/billing/", nil)
	for _, c := range []struct {
		claim, method, target string
		status                int
		contains              string
	}{
		{"alive", "GET", "/livez", 200, `{"status":"ok"}`},
		{"ready", "GET", "/readyz", 200, `{"status":"ok"}`},
		{"only read", "POST", "/livez", 405, `{"detail":"Method Not Allowed"}`},
		{"nothing else", "GET", "/billing/", 404, `{"detail":"Not Found"}`},
		{"counts by method and code", "GET", "/metrics", 200, `scopegate_billing_requests_total{code="200",method="GET"} 1`},
		{"never has a path in a label", "GET", "/metrics", 200, `scopegate_billing_requests_total{code="404",method="GET"} 1`},
		{"calls an invented method other", "GET", "/metrics", 200, `scopegate_billing_requests_total{code="405",method="other"} 1`},
		{"says what runs", "GET", "/metrics", 200, `scopegate_billing_build_info{version="v1"} 1`},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w := ask(s.AdminHandler(), c.method, c.target, nil)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.contains) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, c.status, c.contains)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Error("the body shows a path that a client asked for")
			}
		})
	}
	problems, err := promlint.New(ask(s.AdminHandler(), "GET", "/metrics", nil).Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "scopegate_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestServeRefusesOthersThanLoopback(t *testing.T) {
	data, admin := listen(t, "0.0.0.0:0"), listen(t, "127.0.0.1:0")
	err := newServer(t, ledger.Config{}).Serve(t.Context(), data, admin)
	if !errors.Is(err, ledger.ErrBeyondLoopback) {
		t.Fatalf("got %v, want ErrBeyondLoopback", err)
	}
	if _, err := data.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the refused listener is still open: %v", err)
	}
	if _, err := admin.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the admin listener is still open: %v", err)
	}
}

func TestServeBeyondLoopbackWhenToldTo(t *testing.T) {
	data, admin := listen(t, "0.0.0.0:0"), listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newServer(t, ledger.Config{InsecureListenBeyondLoopback: true})
	if err := s.Serve(ctx, data, admin); err != nil {
		t.Fatal(err)
	}
}

// A request whose body is still on its way when the drain begins is answered, and says
// that the connection ends; meanwhile readiness is gone and liveness is not.
func TestDrainAnswersWhatWasAccepted(t *testing.T) {
	data, admin := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	s := newServer(t, ledger.Config{})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, data, admin) }()

	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	defer client.CloseIdleConnections()
	body, upload := io.Pipe()
	req, err := http.NewRequest("POST", "http://"+data.Addr().String()+"/billing/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	if _, err := upload.Write([]byte("half of it")); err != nil {
		t.Fatal(err)
	}
	// The client sends its body only after the 100 that the running handler causes, so by
	// now the request is in flight.
	cancel()
	waitFor(t, client, "http://"+admin.Addr().String()+"/readyz", http.StatusServiceUnavailable)
	waitFor(t, client, "http://"+admin.Addr().String()+"/livez", http.StatusOK)
	upload.Close()

	resp := <-answered
	if resp == nil {
		t.FailNow()
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); string(text) != `{"message":"Write billing"}` || !resp.Close {
		t.Errorf("got %s %s, close %v", resp.Status, text, resp.Close)
	}
	if err := <-ended; err != nil {
		t.Errorf("drain: %v", err)
	}
}

// waitFor asks until url answers with status.
func waitFor(t *testing.T, client *http.Client, url string, status int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == status {
			return
		}
	}
	t.Fatalf("%s never answered %d", url, status)
}

func TestNegativeTimesAreRefused(t *testing.T) {
	for _, cfg := range []ledger.Config{{DrainDelay: -1}, {DrainTimeout: -1}} {
		if _, err := ledger.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
