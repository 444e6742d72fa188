package probe

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// judged is the policy of these tests: some paths and wider ones around them.
const judged = `version: 1
service: shop
scopes: { shop.read: Read, shop.admin: Administer }
routes:
  /admin/users: { GET: shop.admin, POST: shop.read }
  /admin/orders/: { GET: shop.admin }
  /{folder}/{page}: { GET: shop.read }
  /{page}: { GET: public }
`

func load(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, findings := policy.Load("policy.yaml", []byte(text))
	if p == nil {
		t.Fatal(findings)
	}
	return p
}

// serve answers the paths of judged, read by read from the raw target.
func serve(t *testing.T, read func(target string, r *http.Request) (path, method string)) *Service {
	t.Helper()
	known := map[string]string{"/admin/users": "ann, bob", "/admin/orders/": "none"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, method := read(r.RequestURI, r)
		text := known[p]
		switch {
		case strings.HasPrefix(p, "redirect:"):
			w.Header().Set("Location", strings.TrimPrefix(p, "redirect:"))
			w.WriteHeader(http.StatusMovedPermanently)
		case text == "":
			w.WriteHeader(http.StatusNotFound)
			json.NewEncoder(w).Encode(map[string]any{"no": p, "asked": r.RequestURI})
		case method != "GET":
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			fmt.Fprintf(w, "<p>%s at %s</p>", text, r.RequestURI)
		}
	}))
	t.Cleanup(server.Close)
	s, err := NewService(server.URL, nil, nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReadings: for each way to read a path, what is found.
func TestReadings(t *testing.T) {
	unescape := func(s string) string {
		if out, err := url.PathUnescape(s); err == nil {
			return out
		}
		return s
	}
	for _, c := range []struct {
		name  string
		read  func(target string) string
		folds []Family
		open  []string // twins that are bypasses
	}{
		{name: "byte for byte", read: func(s string) string { return s }},
		{name: "without case", read: strings.ToLower, folds: []Family{Case},
			open: []string{"/ADMIN/USERS", "/Admin/users"}},
		{name: "a slash more or less", read: func(s string) string {
			if s == "/admin/orders" {
				return s + "/"
			}
			return s
		}, folds: []Family{TrailingSlash}, open: []string{"/admin/orders"}},
		{name: "path.Clean", read: func(s string) string {
			if strings.HasSuffix(s, "/") {
				return path.Clean(s) + "/"
			}
			return path.Clean(s)
		}, folds: []Family{EmptySegment, DotSegment}},
		{name: "decoded once, and then cleaned", read: func(s string) string { return path.Clean(unescape(s)) },
			folds: []Family{EmptySegment, DotSegment, EncodedSlash, TrailingSlash}},
		{name: "decoded twice", read: func(s string) string { return unescape(unescape(s)) },
			folds: []Family{EncodedSlash, DoubleEncoding}},
		{name: "parameters dropped", read: func(s string) string { before, _, _ := strings.Cut(s, ";"); return before },
			folds: []Family{Semicolon}},
		{name: "backslashes turned", read: func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
			folds: []Family{EncodedBackslash}},
		{name: "cut at NUL", read: func(s string) string { before, _, _ := strings.Cut(s, "%00"); return before },
			folds: []Family{EncodedControl}},
		{name: "cut at a fragment", read: func(s string) string { before, _, _ := strings.Cut(s, "#"); return before },
			folds: []Family{Fragment}},
		{name: "spaces trimmed", read: func(s string) string { return strings.TrimSpace(unescape(s)) },
			folds: []Family{EncodedSlash, EncodedControl, Trailing}, open: []string{"/admin/users%20", "/admin/users%C2%A0"}},
		{name: "endings dropped", read: func(s string) string { return strings.TrimSuffix(s, ".json") },
			folds: []Family{Suffix}, open: []string{"/admin/users.json"}},
		{name: "redirected to the clean path", read: func(s string) string {
			if clean := strings.ToLower(s); clean != s {
				return "redirect:" + clean
			}
			return s
		}, folds: []Family{Case}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(target string, r *http.Request) (string, string) { return c.read(target), r.Method })
			report, err := Run(t.Context(), load(t, judged), s, Options{Jobs: 2})
			if err != nil {
				t.Fatal(err)
			}
			var open []string
			for _, route := range report.Routes {
				for _, f := range route.Folds {
					if f.Open() && f.Reading == Same {
						open = append(open, f.Target)
					}
				}
			}
			slices.Sort(open)
			for _, f := range c.folds {
				if !slices.Contains(report.Families(), f) {
					t.Errorf("%s was not found, only %v", f, report.Families())
				}
			}
			for _, f := range report.Families() {
				if !slices.Contains(c.folds, f) {
					t.Errorf("%s was found: %+v", f, report.ByFamily()[f])
				}
			}
			if !slices.Equal(open, c.open) {
				t.Errorf("open by %q, want %q", open, c.open)
			}
		})
	}
}

// TestMarkers: the path or the method from elsewhere than the request line.
func TestMarkers(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(target string, r *http.Request) (string, string)
		want Family
		open bool
	}{
		{"X-Original-URL", func(target string, r *http.Request) (string, string) {
			if to := r.Header.Get("X-Original-URL"); to != "" {
				target = to
			}
			return target, r.Method
		}, RewriteHeader, false},
		{"a method header", func(target string, r *http.Request) (string, string) {
			if m := r.Header.Get("X-HTTP-Method-Override"); m != "" {
				return target, m
			}
			return target, r.Method
		}, OverrideHeader, false},
		{"a form's method", func(target string, r *http.Request) (string, string) {
			if m := r.PostFormValue("_method"); m != "" {
				return target, m
			}
			return target, r.Method
		}, FormMethod, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := Run(t.Context(), load(t, judged), serve(t, c.read), Options{Post: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := report.Families(); !slices.Equal(got, []Family{c.want}) {
				t.Errorf("found %v", got)
			}
			if open := report.Open() > 0; open != c.open { // POST asks for less than GET on /admin/users alone
				t.Errorf("open: %v", open)
			}
		})
	}
}

// TestUntold: where nothing can be told, nothing is said.
func TestUntold(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"one answer for all":   func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) },
		"never the same twice": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, rand.Uint64()) },
		"a login before all":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"no answer":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			s, err := NewService(server.URL, nil, nil, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			report, err := Run(t.Context(), load(t, judged), s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range report.Routes {
				if r.Untold == "" || len(r.Folds) > 0 {
					t.Errorf("%s: %+v", r.Route.Template(), r)
				}
			}
		})
	}
}

// TestNewService: what is no address of a service, or no header.
func TestNewService(t *testing.T) {
	for _, bad := range []string{"", "localhost:80", "ftp://x", "http://", "http://x/path", "http://x?q", "http://u@x", "http://x#f"} {
		if _, err := NewService(bad, nil, nil, time.Second); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"X", ": v", "X : v", "X: a\r\nY: b"} {
		if _, err := NewService("http://x", []string{bad}, nil, time.Second); err == nil {
			t.Errorf("the header %q is taken", bad)
		}
	}
}
