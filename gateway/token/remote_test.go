package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loadOnce loads an issuer's keys over real sockets.
func loadOnce(t *testing.T, config IssuerConfig, transport http.RoundTripper) (*document, error) {
	t.Helper()
	config = config.withDefaults()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return loaderOf(&config, transport)(ctx)
}

func wantRefusal(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Fatalf("got %v, want a refusal with %q", err, part)
	}
}

func serveKeys(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(published("ec256")) }

func TestKeysAreFetchedOverLoopbackHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(serveKeys))
	defer server.Close()
	doc, err := loadOnce(t, IssuerConfig{JWKSURI: server.URL}, nil)
	if err != nil || len(doc.set.keys) != 1 {
		t.Fatalf("%v, %v", doc, err)
	}
}

// The proxy of the environment sees, and can change, what decides over every token.
func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	if newTransport().Proxy != nil {
		t.Error("the transport of key fetches has a proxy")
	}
}

// What a name resolves to is judged, not how it is written.
func TestLoopbackIsCheckedOnTheDialledAddress(t *testing.T) {
	for _, c := range []struct {
		scheme, address string
		insecure, ok    bool
	}{
		{"http", "127.0.0.1", false, true},
		{"http", "127.9.9.9", false, true},
		{"http", "::1", false, true},
		{"http", "::ffff:127.0.0.1", false, true},
		{"http", "10.0.0.1", false, false},
		{"http", "169.254.169.254", false, false},
		{"http", "0.0.0.0", false, false},
		{"http", "::", false, false},
		{"http", "8.8.8.8", false, false},
		{"http", "10.0.0.1", true, true},
		{"http", "8.8.8.8", true, true},
		{"https", "8.8.8.8", false, true},
		{"https", "10.0.0.1", false, true},
	} {
		h := &hops{scheme: c.scheme, insecure: c.insecure}
		if err := h.judge(netip.MustParseAddr(c.address)); (err == nil) != c.ok {
			t.Errorf("%s to %s, insecure %v: %v", c.scheme, c.address, c.insecure, err)
		}
	}
}

func TestRedirectsNeverLeadFromPublicToPrivate(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"8.8.8.8", "1.1.1.1", true},
		{"8.8.8.8", "10.0.0.1", false},
		{"8.8.8.8", "172.16.0.1", false},
		{"8.8.8.8", "192.168.0.1", false},
		{"8.8.8.8", "100.64.0.1", false},
		{"8.8.8.8", "127.0.0.1", false},
		{"8.8.8.8", "169.254.169.254", false},
		{"8.8.8.8", "0.0.0.0", false},
		{"8.8.8.8", "::ffff:10.0.0.1", false},
		{"2001:4860:4860::8888", "fd00::1", false},
		{"2001:4860:4860::8888", "fe80::1", false},
		{"2001:4860:4860::8888", "::1", false},
		{"10.0.0.1", "10.0.0.2", true},
		{"10.0.0.1", "8.8.8.8", true},
	} {
		h := &hops{scheme: "https"}
		if err := h.judge(netip.MustParseAddr(c.from)); err != nil {
			t.Fatal(err)
		}
		h.count++
		if err := h.judge(netip.MustParseAddr(c.to)); (err == nil) != c.ok {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

// allow_insecure is the operator's word on jwks_uri, not on wherever that redirects.
func TestRedirectOverHTTPStaysOnLoopbackEvenWhenInsecure(t *testing.T) {
	h := &hops{scheme: "http", insecure: true, count: 1}
	if h.judge(netip.MustParseAddr("10.0.0.1")) == nil {
		t.Error("followed a redirect over plain http to a private address")
	}
}

func TestDialOutsideAFetchIsRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(serveKeys))
	defer server.Close()
	if _, err := (&http.Client{Transport: newTransport()}).Get(server.URL); err == nil {
		t.Error("the transport dialled without a judge")
	}
}

func TestRedirects(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", serveKeys)
	for i := 1; i <= 4; i++ {
		next := fmt.Sprintf("/hop%d", i-1)
		if i == 1 {
			next = "/keys"
		}
		mux.Handle(fmt.Sprintf("/hop%d", i), http.RedirectHandler(next, http.StatusFound))
	}
	mux.Handle("/user", http.RedirectHandler("http://u:p@127.0.0.1/keys", http.StatusFound))
	plain := httptest.NewServer(mux)
	defer plain.Close()
	mux.Handle("/private", http.RedirectHandler("http://10.0.0.1/keys", http.StatusFound))
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/keys", http.StatusFound))
	defer secure.Close()

	if _, err := loadOnce(t, IssuerConfig{JWKSURI: plain.URL + "/hop3"}, nil); err != nil {
		t.Errorf("three redirects: %v", err)
	}
	_, err := loadOnce(t, IssuerConfig{JWKSURI: plain.URL + "/hop4"}, nil)
	wantRefusal(t, err, "more than 3 redirects")
	_, err = loadOnce(t, IssuerConfig{JWKSURI: plain.URL + "/user"}, nil)
	wantRefusal(t, err, "user")
	_, err = loadOnce(t, IssuerConfig{JWKSURI: plain.URL + "/private"}, nil)
	wantRefusal(t, err, "not loopback")

	transport := newTransport()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	_, err = loadOnce(t, IssuerConfig{JWKSURI: secure.URL}, transport)
	wantRefusal(t, err, "from https to http")
}

func TestUntrustedCertificateIsRefused(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(serveKeys))
	defer server.Close()
	server.Config.ErrorLog = nil
	_, err := loadOnce(t, IssuerConfig{JWKSURI: server.URL}, nil)
	wantRefusal(t, err, "certificate")
}

// discovery serves metadata at both well-known places of an issuer with a path.
func discovery(t *testing.T, oauth, openid func(issuer string) string) (issuer string, asked *[]string) {
	t.Helper()
	asked = new([]string)
	server := httptest.NewServer(nil)
	issuer = server.URL + "/tenant"
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path)
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server/tenant":
			_, _ = fmt.Fprint(w, oauth(issuer))
		case "/tenant/.well-known/openid-configuration":
			_, _ = fmt.Fprint(w, openid(issuer))
		case "/tenant/keys":
			serveKeys(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	t.Cleanup(server.Close)
	return issuer, asked
}

func TestDiscovery(t *testing.T) {
	good := func(issuer string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%s/keys"}`, issuer, issuer) }
	says := func(text string) func(string) string { return func(string) string { return text } }
	keysAt := func(uri string) func(string) string {
		return func(issuer string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, uri) }
	}
	cases := []struct {
		name          string
		oauth, openid func(string) string
		refusal       string
	}{
		{"RFC 8414", good, says("{}"), ""},
		{"OpenID where RFC 8414 is not served", says("not found"), good, ""},
		{"another issuer", func(i string) string { return good(i + "/") }, says("{}"), "its issuer is"},
		{"no issuer", says(`{"jwks_uri":"https://x.example/"}`), says("{}"), "its issuer is"},
		{"issuer twice", func(i string) string { return fmt.Sprintf(`{"issuer":"x","issuer":%q,"jwks_uri":"%s/keys"}`, i, i) }, says("{}"), "twice"},
		{"keys in a file", keysAt("file:///etc/passwd"), says("{}"), "jwks_uri"},
		{"keys over plain http elsewhere", keysAt("http://10.0.0.1/keys"), says("{}"), "loopback"},
		{"keys without scheme", keysAt("/keys"), says("{}"), "jwks_uri"},
		{"no keys", keysAt(""), says("{}"), "jwks_uri"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			issuer, _ := discovery(t, c.oauth, c.openid)
			doc, err := loadOnce(t, IssuerConfig{Issuer: issuer, AllowInsecure: true}, nil)
			if c.refusal != "" {
				wantRefusal(t, err, c.refusal)
				return
			}
			if err != nil || doc.uri != issuer+"/keys" {
				t.Fatalf("%+v, %v", doc, err)
			}
		})
	}
}

func TestDiscoveryIsNotRepeatedForEveryFetch(t *testing.T) {
	issuer, asked := discovery(t, func(i string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%s/keys"}`, i, i) }, nil)
	config := IssuerConfig{Issuer: issuer}.withDefaults()
	load := loaderOf(&config, nil)
	for range 3 {
		if _, err := load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(*asked, " "); got != "/.well-known/oauth-authorization-server/tenant /tenant/keys /tenant/keys /tenant/keys" {
		t.Error(got)
	}
}

func TestMetadataAddresses(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://a.example":        "[https://a.example/.well-known/oauth-authorization-server https://a.example/.well-known/openid-configuration]",
		"https://a.example/":       "[https://a.example/.well-known/oauth-authorization-server https://a.example/.well-known/openid-configuration]",
		"https://a.example/t/1":    "[https://a.example/.well-known/oauth-authorization-server/t/1 https://a.example/t/1/.well-known/openid-configuration]",
		"https://a.example/t%2F1/": "[https://a.example/.well-known/oauth-authorization-server/t%2F1 https://a.example/t%2F1/.well-known/openid-configuration]",
	} {
		if got := fmt.Sprint(metadataAddresses(issuer)); got != want {
			t.Errorf("%s: %s", issuer, got)
		}
	}
}

func TestKeyFileMustBeARegularFile(t *testing.T) {
	folder := t.TempDir()
	_, err := loadOnce(t, IssuerConfig{JWKSURI: "file://" + folder}, nil)
	wantRefusal(t, err, "regular")
	path := filepath.Join(folder, "keys.json")
	if err := os.WriteFile(path, []byte(strings.Repeat(" ", 2<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = loadOnce(t, IssuerConfig{JWKSURI: "file://" + path}, nil)
	wantRefusal(t, err, "longer than")
}

func TestConfigFaultsAreAllReported(t *testing.T) {
	none := Audience{Mode: AudienceNone}
	_, err := New(Config{Issuers: []IssuerConfig{
		{Issuer: "", JWKSURI: keysURI, Audience: none},
		{Issuer: "https://a.example", JWKSURI: keysURI},
		{Issuer: "https://b.example", JWKSURI: keysURI, Audience: none, Algorithms: []string{"RS256", "HS256", "none"}},
		{Issuer: "https://b.example", JWKSURI: "http://10.0.0.1/keys", Audience: none},
		{Issuer: "https://c.example", JWKSURI: "ftp://x/", Audience: Audience{Mode: AudienceNames}},
		{Issuer: "not a URL", Audience: none},
		{Issuer: "https://d.example", Inline: []byte(`{"keys":[]}`), Audience: none},
		{Issuer: "https://e.example", Inline: published("ec256"), JWKSURI: keysURI, Audience: none},
		{Issuer: "https://f.example", JWKSURI: keysURI, Audience: none, Scopes: []string{"a.*", "*", ".*", "a.*.b"}},
		{Issuer: "https://g.example", JWKSURI: keysURI, Audience: none, AllowClaims: []string{"cnf"}, Skew: time.Hour},
		{Issuer: "https://h.example", JWKSURI: keysURI, Audience: none, JWKS: JWKSConfig{MinRefresh: time.Hour, File: "/x"}},
		{Issuer: "https://i.example", JWKSURI: keysURI, Audience: none, JWKS: JWKSConfig{File: "/x"}},
	}}, nil)
	for _, part := range []string{
		"name is empty", "must be written", `"HS256" is not one of`, `"none" is not one of`, "configured twice", "loopback only",
		"scheme is not http", "list of names", "discovery is not possible", "no usable key", "exclude one another",
		`scopes: "*"`, `scopes: ".*"`, `scopes: "a.*.b"`, `"cnf" is not one of`, "skew", "min_refresh", "also that of issuer",
	} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("no fault with %q in %v", part, err)
		}
	}
}
