package server_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/server"
)

func noEnv(string) (string, bool) { return "", false }

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authserver.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFlagsBeatEnvironmentBeatsFile(t *testing.T) {
	file := write(t, `version: 1
listen: 127.0.0.1:1
admin: 127.0.0.1:2
issuer: https://auth.example
signup: invite
services:
  claim: operator
  reserved: [core, ops]
trusted_proxies: [10.0.0.0/8, 192.0.2.7]
token:
  ttl: 5m
drain_delay: 0s
log:
  format: json
`)
	env := func(name string) (string, bool) {
		v, ok := map[string]string{
			"SCOPEGATE_AUTHSERVER_ADMIN": "127.0.0.1:3", "SCOPEGATE_AUTHSERVER_TOKEN_TTL": "7m",
			"SCOPEGATE_AUTHSERVER_SERVICES_CLAIM": "first_come",
		}[name]
		return v, ok
	}
	got, err := server.Load(file, env, map[string]string{"token.ttl": "9m", "data": "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	want := server.Config{
		Listen: "127.0.0.1:1", Admin: "127.0.0.1:3", Data: "elsewhere", Issuer: "https://auth.example",
		Signup: account.SignupInvite, Claim: account.ClaimFirstCome, Reserved: []string{"core", "ops"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")},
		TokenTTL:       9 * time.Minute, LogFormat: "json",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// TestEveryFaultOfAFileIsTold, each with its place.
func TestEveryFaultOfAFileIsTold(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty": {"", "f:1:1: the file is empty; it must say version: 1"},
		"many": {"version: 2\nlissen: a:1\nlisten: nonsense\nsignup: yes\ntoken: 5m\nservices:\n  claims: x\n  reserved: a\n",
			"f:1:10: version must be 1\n" +
				"f:2:1: lissen is not a key; did you mean listen?\n" +
				"f:3:9: listen must be host:port, or :port for every address\n" +
				"f:4:9: signup must be open or invite\n" +
				"f:5:8: token must be a mapping of keys to values\n" +
				"f:7:3: services.claims is not a key; did you mean services.claim?\n" +
				"f:8:13: services.reserved must be a list"},
		"twice":        {"version: 1\nlisten: a:1\nlisten: b:1\n", "f:3:1: listen is here a second time; the first is in line 2"},
		"no version":   {"listen: a:1\n", "f:1:1: version is missing; it must be 1"},
		"two files":    {"version: 1\n---\nversion: 1\n", "f:2:1: a second document; one file is one configuration"},
		"a list":       {"- a\n", "f:1:1: the file must be a mapping of keys to values\nf:1:1: version is missing; it must be 1"},
		"alias":        {"version: 1\ndata: &a x\nissuer: *a\n", "f:3:9: issuer: aliases are not used here; write the value"},
		"null":         {"version: 1\ndata:\n", "f:2:6: data must be text"},
		"number":       {"version: 1\ndrain_delay: 5\n", "f:2:14: drain_delay must be text"},
		"ttl":          {"version: 1\ntoken: {ttl: 2h}\n", "f:2:14: token.ttl must be between 1s and 1h0m0s"},
		"proxy":        {"version: 1\ntrusted_proxies: [all]\n", "f:2:19: trusted_proxies must be an address or a network such as 10.0.0.0/8"},
		"issuer slash": {"version: 1\nissuer: http://a/\n", "f:2:9: issuer must not end in a slash: verifiers compare it byte for byte"},
		"issuer query": {"version: 1\nissuer: http://a?b\n", "f:2:9: issuer must have no user, query or fragment"},
		"secret":       {"version: 1\nmaster_key: x\n", "f:2:1: master_key is not a key"},
	} {
		file := write(t, c.text)
		_, err := server.Load(file, noEnv, nil)
		var config *server.ConfigError
		if !errors.As(err, &config) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, strings.ReplaceAll(err.Error(), file, "f")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	_, err := server.Load("", func(name string) (string, bool) { return "x", name == "SCOPEGATE_AUTHSERVER_SIGNUP" }, map[string]string{"listen": "y"})
	if err == nil || err.Error() != "--listen: must be host:port, or :port for every address\nSCOPEGATE_AUTHSERVER_SIGNUP: must be open or invite" {
		t.Errorf("environment and flags: %v", err)
	}
	if _, err := server.Load("/does/not/exist.yaml", noEnv, nil); err == nil {
		t.Error("a file that is named and absent is no error")
	}
}

// TestOpenDefaultsAreForLoopbackOnly: on a network a stranger could sign up
// and take a service's name before its owner does.
func TestOpenDefaultsAreForLoopbackOnly(t *testing.T) {
	for name, c := range map[string]struct {
		listen, issuer, signup, claim string
		faults                        string
	}{
		"loopback":            {"127.0.0.1:8000", "http://localhost:8000", "", "", ""},
		"IPv6 loopback":       {"[::1]:8000", "http://[::1]:8000", "", "", ""},
		"every address":       {"0.0.0.0:8000", "http://localhost:8000", "", "", "signup services.claim"},
		"every address, bare": {":8000", "http://localhost:8000", "", "", "signup services.claim"},
		"public issuer":       {"127.0.0.1:8000", "https://auth.example", "", "", "signup services.claim"},
		"looks like loopback": {"127.0.0.1:8000", "https://localhost.evil.example", "", "", "signup services.claim"},
		"one is written":      {":8000", "https://auth.example", "open", "", "services.claim"},
		"both are written":    {":8000", "https://auth.example", "open", "first_come", ""},
	} {
		cfg := server.Defaults()
		cfg.Data = t.TempDir()
		cfg.Listen, cfg.Issuer = c.listen, c.issuer
		cfg.Signup, cfg.Claim = account.SignupMode(c.signup), account.ClaimMode(c.claim)
		srv, err := server.New(cfg)
		if srv != nil {
			srv.Close()
		}
		var config *server.ConfigError
		if (c.faults == "") != (err == nil) || err != nil && !errors.As(err, &config) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var keys []string
		if config != nil {
			for _, fault := range config.Faults {
				key, _, _ := strings.Cut(fault, ":")
				keys = append(keys, key)
			}
		}
		if got := strings.Join(keys, " "); got != c.faults {
			t.Errorf("%s: faults in %q, want %q", name, got, c.faults)
		}
	}
}

func TestClosedModes(t *testing.T) {
	s := open(t, func(c *server.Config) { c.Signup = account.SignupInvite })
	want(t, "signup", s.call("POST", "/user/signup", signupBody("test_user")), 403, "Signup is closed; invitations are not available yet")
	want(t, "a bad body", s.call("POST", "/user/signup", "{"), 403, "Signup is closed; invitations are not available yet")
	s = open(t, func(c *server.Config) { c.Claim = account.ClaimOperator; c.Reserved = []string{"core"} })
	s.signup("test_user")
	auth := s.login("test_user")
	want(t, "claim", s.permission(auth, "example_service", "billing", "read"), 403, "Service 'example_service' must be registered by the operator first")
	want(t, "reserved by configuration", s.permission(auth, "core", "billing", "read"), 403, "Service name 'core' is reserved")
}

// TestMasterKeyIsMadeOnlyForAnEmptyStore: a lost key is a fault to look at,
// never a reason for a new one.
func TestMasterKeyIsMadeOnlyForAnEmptyStore(t *testing.T) {
	cfg := server.Defaults()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	again := func() error {
		srv, err := server.New(cfg)
		if err != nil {
			return err
		}
		return srv.Close()
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(cfg.Data, "master.key")
	for path, mode := range map[string]os.FileMode{key: 0o600, server.DatabasePath(cfg): 0o600, cfg.Data: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %o", path, info, err, mode)
		}
	}
	if err := again(); err != nil {
		t.Errorf("second start: %v", err)
	}
	if err := os.Rename(key, key+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := again(); err == nil || !strings.Contains(err.Error(), "master.key is missing") {
		t.Errorf("without its key: %v", err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a new key was made")
	}
	if err := os.WriteFile(key, []byte(strings.Repeat("00", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again(); err == nil || !strings.Contains(err.Error(), "opens under this master key") {
		t.Errorf("with a wrong key: %v", err)
	}
}
