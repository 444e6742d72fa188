package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestConformance runs every claim over every protocol that a client may speak
// and every way of reaching a service.
func TestConformance(t *testing.T) { inBothLanes(t, checkConformance) }

func checkConformance(t *testing.T, l lane) {
	for _, scheme := range []string{"http", "unix", "h2c", "https"} {
		r := newRig(t, l, rigConfig{upstream: service(t, scheme, conformanceService())})
		for _, c := range r.clients() {
			for _, claim := range claims {
				if claim.major == 0 || claim.major == c.major {
					t.Run(fmt.Sprintf("%s to %s/%s", c.name, scheme, claim.name), func(t *testing.T) { claim.check(t, c) })
				}
			}
		}
	}
}

// conformanceService echoes, but for a few paths.
func conformanceService() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", echo())
	mux.HandleFunc("/open/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		io.WriteString(w, "body")
		w.Header().Set("X-Announced", "one")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "two")
	})
	mux.HandleFunc("/open/hop", func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{"Keep-Alive": "timeout=9", "Proxy-Connection": "x", "Server": "its own", "X-Auth-Note": "the service's own"} {
			w.Header().Set(name, value)
		}
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "X-Secret")
			w.Header().Set("X-Secret", "hop")
		}
	})
	mux.HandleFunc("/open/early", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("/open/break", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "length" {
			w.Header().Set("Content-Length", "1000000")
		}
		io.WriteString(w, strings.Repeat("x", 100_000))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/open/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/open/answers-first", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		io.Copy(flushed{w}, r.Body)
	})
	return mux
}

// flushed sends what is written at once.
type flushed struct{ http.ResponseWriter }

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	return n, errors.Join(err, http.NewResponseController(f.ResponseWriter).Flush())
}

var claims = []struct {
	major int // the protocol that the claim is about; 0: all
	name  string
	check func(*testing.T, client)
}{
	{0, "the canonical path and the query arrive byte for byte", func(t *testing.T, c client) {
		for sent, want := range map[string]string{
			"/open/%7euser?a=%zz&b;c&d=%2F&=": "/open/~user?a=%zz&b;c&d=%2F&=",
			"/open/a%20b?":                    "/open/a%20b?",
			"/open/(1):@,!":                   "/open/(1):@,!",
			"/open/%c3%a4":                    "/open/%C3%A4",
			"/items/a%2Fb?x=1":                "/items/a%2Fb?x=1",
			"/items/a;v=1":                    "/items/a;v=1",
		} {
			s := c.see(t, "GET", sent, nil, "Authorization: Bearer reader")
			if s.Target != want {
				t.Errorf("%s arrived as %s, want %s", sent, s.Target, want)
			}
		}
	}},
	{0, "a second reading is refused", func(t *testing.T, c client) {
		for _, target := range []string{"/open/../items/1", "/open/%2e%2e/items/1", "/open//x", "/open/a%2fb", "/open/a%5cb", "/open/%00", "/open/a;b", "/open/%252e"} {
			if res, text := c.ask(t, "GET", target, nil); res.StatusCode != 400 {
				t.Errorf("%s: %s %s", target, res.Status, text)
			}
		}
	}},
	{0, "identity comes from the token alone: CVE-2025-64484, CVE-2026-29054, CVE-2026-54763 and the dot form", func(t *testing.T, c client) {
		s := c.see(t, "GET", "/items/1", nil, "Authorization: Bearer reader",
			"X-Auth-Subject: admin", "X-Auth-Scopes: all", "X-Auth-Anything: x", "X_Auth_Subject: admin", "X~Auth~Subject: admin", "X.Auth.Subject: admin",
			"x-AUTH-issuer: evil", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil", "X-Forwarded-User: admin", "X_Forwarded_User: admin", "X-Real-Ip: 6.6.6.6",
			"Forwarded: for=6.6.6.6", "X-Original-Url: /admin", "X-Rewrite-Url: /admin", "X-Envoy-Original-Path: /a", "Remote-User: admin", "Proxy: evil")
		text := fmt.Sprint(s.Header)
		for _, evil := range []string{"admin", "evil", "6.6.6.6", "Bearer"} {
			if strings.Contains(text, evil) {
				t.Errorf("%q reached the service: %s", evil, text)
			}
		}
		if got := s.Header.Get("X-Auth-Subject") + " " + s.Header.Get("X-Auth-Scopes"); got != "alice shop.items.read" {
			t.Errorf("identity is %q", got)
		}
		if s.Host != "shop.test" || s.Header.Get("X-Forwarded-For") != c.peer || s.Header.Get("X-Request-Id") == "" {
			t.Errorf("host %q, fields %s", s.Host, text)
		}
	}},
	{0, "refusals are the table's", func(t *testing.T, c client) {
		for _, x := range []struct {
			method, target, token string
			status                int
			detail                string
		}{
			{"GET", "/items/1", "", 401, "Not authenticated"},
			{"GET", "/items/1", "forged", 401, "Invalid token"},
			{"POST", "/items/1", "reader", 403, "Not enough permissions"},
			{"DELETE", "/items/1", "reader", 405, "Method Not Allowed"},
			{"GET", "/nowhere", "reader", 404, "Not Found"},
			{"TRACE", "/items/1", "reader", 501, "Not Implemented"},
		} {
			var fields []string
			if x.token != "" {
				fields = append(fields, "Authorization: Bearer "+x.token)
			}
			res, text := c.ask(t, x.method, x.target, strings.NewReader("a small form"), fields...)
			if res.StatusCode != x.status || text != `{"detail":"`+x.detail+`"}` || res.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s %s: %s %s", x.method, x.target, res.Status, text)
			}
		}
	}},
	{0, "bodies arrive whole, with and without a length", func(t *testing.T, c client) {
		text := strings.Repeat("0123456789", 50_000)
		for _, body := range []io.Reader{strings.NewReader(text), io.MultiReader(strings.NewReader(text))} {
			if s := c.see(t, "POST", "/items/1", body, "Authorization: Bearer writer"); s.Body != text {
				t.Errorf("%d bytes arrived", len(s.Body))
			}
		}
		if s := c.see(t, "POST", "/items/1", nil, "Authorization: Bearer writer"); s.Body != "" || s.Header["Transfer-Encoding"] != nil {
			t.Errorf("an empty POST arrived as %+v", s)
		}
	}},
	{0, "the service may answer before the body has ended", func(t *testing.T, c client) {
		in, out := io.Pipe()
		defer out.Close()
		res, err := c.Do(c.request(t, "POST", "/open/answers-first", in))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		go io.WriteString(out, "ping")
		buf := make([]byte, 4)
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != "ping" {
			t.Fatalf("%q %v", buf, err)
		}
		out.Close()
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) != 0 {
			t.Fatalf("%q %v", rest, err)
		}
	}},
	{0, "request trailers are dropped", func(t *testing.T, c client) {
		req := c.request(t, "POST", "/open/x", io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"X-Auth-Subject": {"admin"}, "X-Note": {"t"}}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		if strings.Contains(string(text), "admin") || strings.Contains(string(text), "X-Note") || !strings.Contains(string(text), `"Body":"body"`) {
			t.Errorf("%s", text)
		}
	}},
	{0, "response trailers arrive", func(t *testing.T, c client) {
		res, text := c.ask(t, "GET", "/open/trailers", nil)
		if text != "body" || res.Trailer.Get("X-Announced") != "one" || res.Trailer.Get("X-Unannounced") != "two" {
			t.Errorf("%q %v", text, res.Trailer)
		}
	}},
	{0, "hop-by-hop fields of the answer end here, others do not", func(t *testing.T, c client) {
		res, _ := c.ask(t, "GET", "/open/hop", nil)
		for _, name := range []string{"Keep-Alive", "Proxy-Connection", "X-Secret"} {
			if res.Header.Get(name) != "" {
				t.Errorf("%s: %s", name, res.Header.Get(name))
			}
		}
		if res.Header.Get("Server") != "its own" || res.Header.Get("X-Auth-Note") == "" {
			t.Errorf("%v", res.Header)
		}
	}},
	{0, "interim answers are passed on", func(t *testing.T, c client) {
		hints := make(chan string, 1)
		req := c.request(t, "GET", "/open/early", nil)
		res, err := c.Do(req.WithContext(traceHints(req.Context(), hints)))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		select {
		case link := <-hints:
			if link != "</a.css>" || res.StatusCode != 200 {
				t.Errorf("%q, then %s", link, res.Status)
			}
		default:
			t.Error("no 103 arrived")
		}
	}},
	{0, "an answer that breaks off is never complete", func(t *testing.T, c client) {
		for _, target := range []string{"/open/break", "/open/break?length"} {
			res, err := c.Do(c.request(t, "GET", target, nil))
			if err != nil {
				continue // broken even before its head
			}
			if text, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("%s: %d bytes passed for the whole", target, len(text))
			}
			res.Body.Close()
		}
	}},
	{0, "events arrive while the stream goes on", func(t *testing.T, c client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		res, err := c.Do(c.request(t, "GET", "/open/events", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		event := make([]byte, 9)
		if _, err := io.ReadFull(res.Body, event); err != nil || string(event) != "data: 1\n\n" {
			t.Errorf("%q %v", event, err)
		}
	}},
	{0, "HEAD is judged as GET and has no body", func(t *testing.T, c client) {
		res, text := c.ask(t, "HEAD", "/items/1", nil, "Authorization: Bearer reader")
		if res.StatusCode != 200 || text != "" {
			t.Errorf("%s %q", res.Status, text)
		}
		if res, _ := c.ask(t, "HEAD", "/items/1", nil); res.StatusCode != 401 {
			t.Errorf("without a token: %s", res.Status)
		}
	}},
	{0, "Expect: 100-continue is answered here and not sent on", func(t *testing.T, c client) {
		s := c.see(t, "POST", "/open/x", strings.NewReader("body"), "Expect: 100-continue")
		if s.Body != "body" || s.Header.Get("Expect") != "" {
			t.Errorf("%+v", s)
		}
		if res, _ := c.ask(t, "POST", "/open/x", strings.NewReader("body"), "Expect: 200-ok"); res.StatusCode != 417 {
			t.Errorf("another expectation: %s", res.Status)
		}
	}},
	{1, "an upgrade that the route does not have is an ordinary request: h2c smuggling", func(t *testing.T, c client) {
		for _, protocol := range []string{"h2c", "websocket", "TLS/1.3"} {
			s := c.see(t, "GET", "/open/x", nil, "Connection: Upgrade, HTTP2-Settings, X-Auth-Subject", "Upgrade: "+protocol, "Http2-Settings: AAMAAABkAAQAAP__")
			if s.Header.Get("Upgrade")+s.Header.Get("Connection")+s.Header.Get("Http2-Settings") != "" {
				t.Errorf("%v", s.Header)
			}
		}
	}},
	{1, "Connection removes nothing that the gateway adds or keeps: CVE-2024-45410", func(t *testing.T, c client) {
		s := c.see(t, "GET", "/items/1", nil, "Authorization: Bearer reader", "Connection: X-Auth-Subject, x-request-id, cookie, close", "Cookie: a=b")
		if s.Header.Get("X-Auth-Subject") != "alice" || s.Header.Get("X-Request-Id") == "" || s.Header.Get("Cookie") != "a=b" {
			t.Errorf("%v", s.Header)
		}
	}},
}

// waitFor polls what has no event to wait for.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(15 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("gave up waiting for " + what)
		}
	}
}
