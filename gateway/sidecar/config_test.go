package sidecar_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/sidecar"
	"github.com/scopegate/scopegate/gateway/token"
)

// want is one line "# want: ID line:column text | hint" of a corpus file.
type want struct{ id, place, text, hint string }

func wants(t *testing.T, file string) []want {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []want
	for line := range strings.Lines(string(src)) {
		rest, ok := strings.CutPrefix(line, "# want: ")
		if !ok {
			continue
		}
		var w want
		rest, w.hint, _ = strings.Cut(strings.TrimSpace(rest), " | ")
		w.id, rest, _ = strings.Cut(rest, " ")
		w.place, w.text, _ = strings.Cut(rest, " ")
		out = append(out, w)
	}
	return out
}

func (w want) matches(f policy.Finding) bool {
	place := fmt.Sprintf("%d:%d", f.Line, f.Column)
	return f.ID == w.id && (w.place == "" || w.place == place) &&
		strings.Contains(f.Message, w.text) && strings.Contains(f.Hint, w.hint)
}

func corpus(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	return files
}

// One mistake per file, the mistake in the name: it is reported with its place, and nothing
// else is.
func TestBadConfigurations(t *testing.T) {
	for _, file := range corpus(t, "bad") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file})
			if cfg != nil {
				t.Fatal("was accepted")
			}
			expected := wants(t, file)
			if len(expected) != 1 {
				t.Fatalf("%d want lines", len(expected))
			}
			errs := findings.Errors()
			if len(errs) == 0 || !slices.ContainsFunc(errs, expected[0].matches) {
				t.Fatalf("want %+v, got\n%v", expected[0], findings)
			}
			for _, f := range errs {
				if f.ID != expected[0].id {
					t.Errorf("also reports %v", f)
				}
			}
		})
	}
}

// Good files load, with exactly the warnings that they announce.
func TestGoodConfigurations(t *testing.T) {
	for _, file := range corpus(t, "good") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file})
			if cfg == nil {
				t.Fatalf("was refused:\n%v", findings)
			}
			for _, w := range wants(t, file) {
				at := slices.IndexFunc(findings, w.matches)
				if at < 0 {
					t.Errorf("want %+v", w)
					continue
				}
				findings = slices.Delete(slices.Clone(findings), at, at+1)
			}
			for _, f := range findings {
				if strings.HasPrefix(f.ID, "SG3") {
					t.Errorf("unannounced: %v", f)
				}
			}
		})
	}
}

func TestStrictTurnsWarningsIntoErrors(t *testing.T) {
	cfg, findings := sidecar.LoadConfig(sidecar.Source{File: "testdata/good/every key.yaml", Strict: true})
	if cfg != nil || len(findings.Errors()) < 4 {
		t.Fatalf("config %v, findings %v", cfg != nil, findings)
	}
}

func TestDefaultsAndValues(t *testing.T) {
	cfg := mustLoad(t, sidecar.Source{File: "testdata/good/shipped.yaml"})
	s := cfg.Services[0]
	got := []any{cfg.Listen, cfg.Admin, cfg.TokenCache, cfg.DrainDelay, cfg.DrainTimeout, cfg.ReadyAny, cfg.Log, cfg.Limits.PerAddress, cfg.Standard,
		s.IdentityMax, s.UpstreamHost, s.ForwardToken, s.Explain, s.HideRoutes, s.Limits, s.Timeouts}
	expected := []any{"127.0.0.1:8001", "127.0.0.1:9001", 100_000, 5 * time.Second, 20 * time.Second, false, sidecar.Log{Format: "auto", SampleAllowed: 1}, 1024, false,
		int64(16 << 10), "", false, gate.ExplainScopes, false,
		sidecar.ServiceLimits{Head: 64 << 10, Body: 1 << 30, Connections: 4096, InFlight: 10_000},
		sidecar.Timeouts{Head: 10 * time.Second, BodyIdle: 30 * time.Second, Upstream: time.Minute, Idle: 75 * time.Second,
			WriteIdle: 30 * time.Second, TunnelIdle: 5 * time.Minute, TunnelMax: time.Hour}}
	if d := cmp.Diff(expected, got); d != "" {
		t.Error(d)
	}

	cfg = mustLoad(t, sidecar.Source{File: "testdata/good/every key.yaml"})
	first, second := cfg.Services[0], cfg.Services[1]
	if d := cmp.Diff([]string{"api.example", "*.example", "[2001:db8::1]", "192.0.2.7"}, first.Hosts); d != "" {
		t.Error(d)
	}
	if first.UpstreamHost != "billing.internal:8002" || first.IdentityMax != 8<<10 || first.HideRoutes || !second.HideRoutes || second.IdentityMax != 4<<10 {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if d := cmp.Diff(&token.Audience{Mode: token.AudienceNames, Names: []string{"billing"}}, first.Audience); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]gate.ClaimHeader{{Header: "X-Tenant", Claim: "org_id"}, {Header: "X-Email", Claim: "profile.email"}}, first.ClaimHeaders); d != "" {
		t.Error(d)
	}
	if second.Upstream != (sidecar.Upstream{Scheme: "unix", Address: "/run/billing.sock", Host: "localhost"}) {
		t.Errorf("upstream %+v", second.Upstream)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")}
	if !slices.Equal(cfg.TrustedProxies, proxies) || cfg.TokenCache != 0 || !cfg.ReadyAny || cfg.DrainDelay != 0 {
		t.Errorf("config %+v", cfg)
	}
	if !cfg.Standard || cfg.Takeover != filepath.Join("testdata", "run", "takeover.sock") {
		t.Errorf("lane: standard is %t, takeover %q", cfg.Standard, cfg.Takeover)
	}
	if i := cfg.Issuers[0]; i.Skew != 0 || !i.AllowInsecure || i.JWKS.MaxBytes != 2<<20 || i.JWKS.File != filepath.Join("testdata", "good", "keys.json") {
		t.Errorf("issuer %+v", i)
	}
}

func mustLoad(t testing.TB, src sidecar.Source) *sidecar.Config {
	t.Helper()
	cfg, findings := sidecar.LoadConfig(src)
	if cfg == nil {
		t.Fatalf("configuration refused:\n%v", findings)
	}
	return cfg
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	src := sidecar.Source{
		File:    "testdata/good/shipped.yaml",
		Environ: []string{"SCOPEGATE_GATEWAY_LISTEN=127.0.0.1:1", "SCOPEGATE_GATEWAY_ADMIN=127.0.0.1:2", "SCOPEGATE_GATEWAY_LIMITS_PER_ADDRESS=3", "SCOPEGATE_GATEWAY_READY="},
		Flags:   map[string]string{"listen": "127.0.0.1:4", "log.sample_allowed": "5"},
	}
	cfg := mustLoad(t, src)
	if cfg.Listen != "127.0.0.1:4" || cfg.Admin != "127.0.0.1:2" || cfg.Limits.PerAddress != 3 || cfg.Log.SampleAllowed != 5 || cfg.ReadyAny {
		t.Errorf("config %+v", cfg)
	}
}

func TestASettingFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "listen")
	if err := os.WriteFile(file, []byte("127.0.0.1:7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := mustLoad(t, sidecar.Source{File: "testdata/good/shipped.yaml", Environ: []string{"SCOPEGATE_GATEWAY_LISTEN_FILE=" + file}})
	if cfg.Listen != "127.0.0.1:7" {
		t.Errorf("listen %s", cfg.Listen)
	}
}

// What comes from outside the file is judged like the file, and the finding names the flag or
// the variable, since the file has no such line.
func TestFaultsOfFlagsAndVariables(t *testing.T) {
	for name, c := range map[string]struct {
		src  sidecar.Source
		file string
		id   string
	}{
		"a flag of the wrong type":       {sidecar.Source{Flags: map[string]string{"token_cache": "lots"}}, "flag --token-cache", "SG205"},
		"a variable out of range":        {sidecar.Source{Environ: []string{"SCOPEGATE_GATEWAY_DRAIN_DELAY=2h"}}, "environment variable SCOPEGATE_GATEWAY_DRAIN_DELAY", "SG206"},
		"a variable beside its own file": {sidecar.Source{Environ: []string{"SCOPEGATE_GATEWAY_LISTEN=a:1", "SCOPEGATE_GATEWAY_LISTEN_FILE=x"}}, "environment variable SCOPEGATE_GATEWAY_LISTEN_FILE", "SG210"},
		"a variable's file is missing":   {sidecar.Source{Environ: []string{"SCOPEGATE_GATEWAY_LISTEN_FILE=/nowhere"}}, "environment variable SCOPEGATE_GATEWAY_LISTEN_FILE", "SG200"},
	} {
		t.Run(name, func(t *testing.T) {
			c.src.File = "testdata/good/shipped.yaml"
			cfg, findings := sidecar.LoadConfig(c.src)
			if cfg != nil {
				t.Fatal("was accepted")
			}
			if !slices.ContainsFunc(findings, func(f policy.Finding) bool { return f.File == c.file && f.ID == c.id && f.Line == 0 }) {
				t.Errorf("findings:\n%v", findings)
			}
		})
	}
}

// A Service called scopegate-gateway makes Kubernetes set variables with our prefix.
func TestUnknownVariablesWarnAndServiceLinksDoNot(t *testing.T) {
	_, findings := sidecar.LoadConfig(sidecar.Source{File: "testdata/good/shipped.yaml", Environ: []string{
		"SCOPEGATE_GATEWAY_SERVICE_HOST=10.0.0.1", "SCOPEGATE_GATEWAY_PORT=tcp://10.0.0.1:8001", "SCOPEGATE_GATEWAY_PORT_8001_TCP_ADDR=10.0.0.1",
		"SCOPEGATE_GATEWAY_CONFIG=x", "SCOPEGATE_GATEWAY_LISTENS=x",
	}})
	var got []string
	for _, f := range findings {
		if f.ID == "SG303" {
			got = append(got, f.File+" "+f.Hint)
		}
	}
	if len(got) != 1 || !strings.Contains(got[0], "LISTENS") || !strings.Contains(got[0], `"SCOPEGATE_GATEWAY_LISTEN"`) {
		t.Errorf("warnings %q", got)
	}
}

// All faults of a file come in one run.
func TestEveryFaultAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	src := "version: 3\nlisten: 1\nlisn: 2\nissuers:\n  - issuer: x\n    algorithms: [none, HS256]\nservices:\n  - policy: nowhere.yaml\n    upstream: ftp://x\n    candidate: x\n    keep_headers: [Host]\n"
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	_, findings := sidecar.LoadConfig(sidecar.Source{File: file})
	var got []string
	for _, f := range findings {
		got = append(got, fmt.Sprintf("%s %d:%d", f.ID, f.Line, f.Column))
	}
	expected := []string{"SG206 1:10", "SG205 2:9", "SG203 3:1", "SG207 5:5", "SG206 5:13", "SG225 6:18", "SG225 6:24",
		"SG200 8:13", "SG227 9:15", "SG224 11:20"}
	if d := cmp.Diff(expected, got); d != "" {
		t.Error(d)
	}
}
