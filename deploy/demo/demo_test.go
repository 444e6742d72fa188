package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopegate/scopegate/deploy/parts"
)

// screen is the demo's terminal.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{}
}

func newScreen() *screen { return &screen{grew: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.grew <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

// await returns the groups of the first match on the screen.
func (s *screen) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(60 * time.Second)
	for {
		s.mu.Lock()
		m := re.FindStringSubmatch(s.text.String())
		s.mu.Unlock()
		if m != nil {
			return m
		}
		select {
		case <-s.grew:
		case <-limit:
			t.Fatalf("%q is not on the screen:\n%s", pattern, s.text.String())
		}
	}
}

// place is a running demo.
type place struct {
	*screen
	auth, gateway string
}

// start runs the demo as its command does, on free ports, and ends it cleanly.
func start(t *testing.T, f flags) *place {
	t.Helper()
	for _, address := range []*string{&f.Auth, &f.AuthAdmin, &f.Gateway, &f.GatewayAdmin, &f.Billing, &f.BillingAdmin} {
		*address = "127.0.0.1:0"
	}
	f.Policy = filepath.Join("..", "..", "config", "policies", "billing.yaml")
	p := &place{screen: newScreen()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, f, p) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with: %v", err)
		}
	})
	p.auth = p.await(t, `auth server +(http://localhost:\d+)`)[1]
	p.gateway = p.await(t, `gateway +(http://localhost:\d+)`)[1]
	return p
}

// curls takes the walk-through's commands out of the user's own demo.md.
func curls(t *testing.T) []string {
	t.Helper()
	folder := os.Getenv("SCOPEGATE_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared")
	}
	text, err := os.ReadFile(filepath.Join(folder, "seed", "demo.md"))
	if err != nil {
		parts.Missing(t, "shared", err.Error())
	}
	if _, err := exec.LookPath("curl"); err != nil {
		parts.Missing(t, "curl", err.Error())
	}
	var out []string
	for _, block := range regexp.MustCompile("(?s)```bash\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if c := strings.TrimSpace(block[1]); strings.HasPrefix(c, "curl") {
			out = append(out, c)
		}
	}
	return out
}

// TestEveryCurlOfTheDemo types every command of demo.md, unchanged but for the
// ports and the placeholders that it asks the reader to fill in, and compares
// the answers with those that it prints.
func TestEveryCurlOfTheDemo(t *testing.T) {
	commands := curls(t)
	p := start(t, flags{})
	var token, role string
	filled := strings.NewReplacer("http://localhost:8000", p.auth, "http://localhost:8001", p.gateway)
	run := func(command string) string {
		t.Helper()
		command = filled.Replace(command)
		command = strings.NewReplacer("<paste access token here>", token, "<role_id>", role).Replace(command)
		command = strings.Replace(command, "curl ", "curl --silent --show-error --write-out '\\n%{http_code}' ", 1)
		out, err := exec.CommandContext(t.Context(), "bash", "-c", command).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return string(out)
	}
	find := func(mark string) string {
		t.Helper()
		for _, c := range commands {
			if strings.Contains(c, mark) {
				return c
			}
		}
		t.Fatalf("demo.md has no curl with %q", mark)
		return ""
	}
	expect := func(mark, want string) []string {
		t.Helper()
		got := run(find(mark))
		m := regexp.MustCompile(`^` + want + `$`).FindStringSubmatch(got)
		if m == nil {
			t.Fatalf("%s answers\n%s\nwant %s", mark, got, want)
		}
		return m
	}
	if len(commands) != 8 {
		t.Fatalf("demo.md has %d curl commands, want 8", len(commands))
	}

	expect("/user/signup", `\{"user_id":"[-0-9a-f]{36}","org_id":"[-0-9a-f]{36}"\}\n200`)
	token = expect("/user/login", `\{"access_token":"([^"]+)","token_type":"bearer","expires_in":\d+,"scope":"[^"]*"\}\n200`)[1]
	expect("/permission/", `\{"id":\d+,"service":"example_service","resource":"billing","action":"read","slug":"example_service.billing.read","description":"Example service read","org_id":"[-0-9a-f]{36}"\}\n200`)
	role = expect("/role/'", `\[\{"name":"owner","type":"system","id":(\d+),"org_id":"[-0-9a-f]{36}"\}.*\]\n200`)[1]
	expect("/role/attach-permission", `\n201`)
	token = expect("/user/login", `\{"access_token":"([^"]+)",.*\}\n200`)[1]
	expect("-X 'GET'", `\{"message":"Read billing"\}\n200`)
	expect("-X 'POST'", `\{"detail":"Not enough permissions"\}\n403`)

	// "In order to do so, follow the aforementioned steps to create the write permission."
	write := strings.NewReplacer(`"read"`, `"write"`, "billing.read", "billing.write", "service read", "service write")
	if got := run(write.Replace(find("/permission/"))); !strings.HasSuffix(got, "\n200") {
		t.Fatalf("creating the write permission answers %s", got)
	}
	if got := run(write.Replace(find("/role/attach-permission"))); got != "\n201" {
		t.Fatalf("attaching it answers %s", got)
	}
	token = expect("/user/login", `\{"access_token":"([^"]+)",.*\}\n200`)[1]
	expect("-X 'POST'", `\{"message":"Write billing"\}\n200`)
}

// step is one request of the same walk-through, for where demo.md is not at
// hand.
type step struct {
	name, method, path string
	onGateway          bool
	body               string
	status             int
	want               string // pattern of the whole body; its group is kept under keep
	keep               string
}

var steps = []step{
	{"sign up", "POST", "/user/signup", false, `{"user":{"username":"test_user","password":"test1234@","primary_email":"example@example.com"},"org":{"name":"test_org","domain":"example.example.come","type":"teams","mfa_enabled":false}}`, 200, `\{"user_id":"[-0-9a-f]{36}","org_id":"[-0-9a-f]{36}"\}`, ""},
	{"log in", "POST", "/user/login", false, `form`, 200, `\{"access_token":"([^"]+)".*\}`, "token"},
	{"no permission yet", "GET", "/billing/", true, "", 403, `\{"detail":"Not enough permissions"\}`, ""},
	{"who am I", "GET", "/billing/whoami", true, "", 200, `.*"issuer":"http://localhost:\d+".*`, ""},
	{"create the permission", "POST", "/permission/", false, `{"service":"example_service","resource":"billing","action":"read"}`, 200, `.*"slug":"example_service.billing.read".*`, ""},
	{"find the role", "GET", "/role/", false, "", 200, `\[\{"name":"owner","type":"system","id":(\d+).*\]`, "role"},
	{"attach", "POST", "/role/attach-permission", false, `{"role_id":ROLE,"permission_slug":"example_service.billing.read"}`, 201, ``, ""},
	{"the old token has no more than before", "GET", "/billing/", true, "", 403, `\{"detail":"Not enough permissions"\}`, ""},
	{"log in again", "POST", "/user/login", false, `form`, 200, `\{"access_token":"([^"]+)".*\}`, "token"},
	{"read", "GET", "/billing/", true, "", 200, `\{"message":"Read billing"\}`, ""},
	{"write", "POST", "/billing/", true, "", 403, `\{"detail":"Not enough permissions"\}`, ""},
	{"delete", "DELETE", "/billing/", true, "", 403, `\{"detail":"Not enough permissions"\}`, ""},
	{"no redirect", "GET", "/billing", true, "", 404, `\{"detail":"Not Found"\}`, ""},
	{"method", "PUT", "/billing/", true, "", 405, `\{"detail":"Method Not Allowed"\}`, ""},
}

// TestTheWalkThrough takes the steps, and holds the screen to what it promises:
// commands that are filled in and work.
func TestTheWalkThrough(t *testing.T) {
	p := start(t, flags{})
	kept := map[string]string{}
	for _, s := range steps {
		if got, body := p.take(t, s, kept); got != s.status || !regexp.MustCompile(`^`+s.want+`\s*$`).MatchString(body) {
			t.Fatalf("%s: %d %s, want %d %s", s.name, got, body, s.status, s.want)
		} else if s.keep != "" {
			kept[s.keep] = regexp.MustCompile(s.want).FindStringSubmatch(body)[1]
		}
	}
	if token := p.await(t, `curl -X GET '[^']+/billing/'[^']+'accept[^']+'[^']+'Authorization: Bearer ([^']+)'`)[1]; !holds(token, permission) {
		t.Error("the printed token does not hold the permission")
	}
	if role := p.await(t, `"role_id": (\d+)`)[1]; role != kept["role"] {
		t.Errorf("the screen says role %s, the server %s", role, kept["role"])
	}
	if status, body := p.ask(t, "GET", p.gateway+"/healthz", "", ""); status != 200 {
		t.Errorf("/healthz without a token: %d %s", status, body)
	}
	if status, body := p.ask(t, "GET", p.gateway+"/billing/", "", ""); status != 401 || strings.TrimSpace(body) != `{"detail":"Not authenticated"}` {
		t.Errorf("without a token: %d %s", status, body)
	}
	own := p.await(t, `/billing/whoami -H 'Authorization: Bearer ([^']+)'`)[1]
	if status, _ := p.ask(t, "GET", p.gateway+"/billing/whoami", "", own); status != 200 {
		t.Errorf("the first printed command answers %d", status)
	}
}

// TestAKeptFolderKeepsUsers ends a demo and starts another one on its data.
func TestAKeptFolderKeepsUsers(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	t.Run("first", func(t *testing.T) {
		p := start(t, flags{Data: data})
		if status, body := p.take(t, steps[0], nil); status != 200 {
			t.Fatal(status, body)
		}
		p.await(t, `3\. Create a permission`)
	})
	t.Run("again", func(t *testing.T) {
		p := start(t, flags{Data: data})
		p.await(t, `3\. Create a permission`) // filled in at once: the user is there
	})
}

func (p *place) take(t *testing.T, s step, kept map[string]string) (int, string) {
	t.Helper()
	base := p.auth
	if s.onGateway {
		base = p.gateway
	}
	body := strings.Replace(s.body, "ROLE", kept["role"], 1)
	if body == "form" {
		body = url.Values{"username": {"test_user"}, "password": {"test1234@"}, "grant_type": {"password"}, "scope": {""}}.Encode()
	}
	return p.ask(t, s.method, base+s.path, body, kept["token"])
}

func (p *place) ask(t *testing.T, method, target, body, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if json.Valid([]byte(body)) {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestAPortInUseIsNamedWithItsFlag(t *testing.T) {
	p := start(t, flags{})
	taken := strings.TrimPrefix(p.gateway, "http://localhost")
	f := flags{Auth: "127.0.0.1:0", AuthAdmin: "127.0.0.1:0", Gateway: "127.0.0.1" + taken, Policy: filepath.Join("..", "..", "config", "policies", "billing.yaml")}
	err := run(t.Context(), f, io.Discard)
	if err == nil || !strings.Contains(fmt.Sprint(err), "--gateway") {
		t.Errorf("error %v", err)
	}
}
