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
	"syscall"
	"testing"
	"time"
)

// binary builds the real program once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "authserver-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "authserver")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is the real program, running.
type process struct {
	cmd           *exec.Cmd
	public, admin string
	tail          chan []byte // what it wrote to its log after it began to serve
}

// start runs the program on free ports and waits for the line that names them.
func start(t *testing.T, data string, env ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--issuer", "http://localhost:8000",
		"--drain-delay", "0s", "--log-format", "json")
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = t.TempDir()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	p := &process{cmd: cmd, tail: make(chan []byte, 1)}
	dec := json.NewDecoder(stderr)
	for p.public == "" {
		var line struct{ Msg, Public, Admin string }
		if err := dec.Decode(&line); err != nil {
			t.Fatalf("the program did not start: %v", err)
		}
		p.public, p.admin = line.Public, line.Admin
	}
	go func() {
		rest, _ := io.ReadAll(io.MultiReader(dec.Buffered(), stderr))
		p.tail <- rest
	}()
	return p
}

// end sends a signal and waits for the exit code.
func (p *process) end(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	<-p.tail
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) post(t *testing.T, path, kind, body, access string) (int, map[string]any, error) {
	t.Helper()
	req, err := http.NewRequest("POST", "http://"+p.public+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if access != "" {
		req.Header.Set("Authorization", "Bearer "+access)
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var members map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&members); err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, members, nil
}

const signupBody = `{"user":{"username":%q,"password":"test1234@","primary_email":"a@example.com"},"org":{"name":"o","domain":"d"}}`

func (p *process) login(t *testing.T, user string) string {
	t.Helper()
	form := url.Values{"username": {user}, "password": {"test1234@"}}.Encode()
	status, answer, err := p.post(t, "/user/login", "application/x-www-form-urlencoded", form, "")
	if err != nil || status != 200 {
		t.Fatalf("login %s: %d %v %v", user, status, answer, err)
	}
	return answer["access_token"].(string)
}

// TestAcknowledgedWritesSurviveKill9 kills the real process in the middle of a
// stream of writes, again and again, and looks for all that was acknowledged.
func TestAcknowledgedWritesSurviveKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	data := filepath.Join(t.TempDir(), "data")
	var users, permissions []string
	kid := ""
	for round := range 6 {
		p := start(t, data)
		users, permissions = p.writeUntilKilled(t, round, users, permissions)
		p = start(t, data)
		for _, user := range users {
			p.login(t, user)
		}
		access := p.login(t, users[0])
		for _, name := range permissions {
			body := fmt.Sprintf(`{"service":"example_service","resource":%q}`, name)
			if status, _, err := p.post(t, "/permission/", "application/json", body, access); status != 409 {
				t.Errorf("permission %s is lost: %d %v", name, status, err)
			}
		}
		head := strings.SplitN(access, ".", 2)[0]
		if kid != "" && head != kid {
			t.Error("the signing key changed")
		}
		kid = head
		if code := p.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("clean stop: exit %d", code)
		}
	}
	if len(users) < 6 || len(permissions) < 6 {
		t.Errorf("only %d signups and %d permissions were acknowledged", len(users), len(permissions))
	}
}

// writeUntilKilled signs up users and makes permissions, and kills the process
// as soon as a few were acknowledged while others are still on their way.
func (p *process) writeUntilKilled(t *testing.T, round int, users, permissions []string) ([]string, []string) {
	t.Helper()
	if len(users) == 0 {
		first := "first_user"
		if status, _, err := p.post(t, "/user/signup", "application/json", fmt.Sprintf(signupBody, first), ""); status != 200 {
			t.Fatalf("signup: %d %v", status, err)
		}
		users = append(users, first)
	}
	access := p.login(t, users[0])
	var mu sync.Mutex
	var writers sync.WaitGroup
	var kill sync.Once
	enough, hadUsers, hadPermissions := 1+round%3, len(users), len(permissions)
	note := func(list *[]string, name string) {
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, name)
		if len(users)-hadUsers >= enough && len(permissions)-hadPermissions >= enough {
			kill.Do(func() { p.cmd.Process.Signal(syscall.SIGKILL) })
		}
	}
	writers.Go(func() {
		for i := 0; ; i++ {
			name := fmt.Sprintf("user_%d_%d", round, i)
			status, _, err := p.post(t, "/user/signup", "application/json", fmt.Sprintf(signupBody, name), "")
			if err != nil || status != 200 {
				return
			}
			note(&users, name)
		}
	})
	writers.Go(func() {
		for i := 0; ; i++ {
			name := fmt.Sprintf("resource_%d_%d", round, i)
			body := fmt.Sprintf(`{"service":"example_service","resource":%q}`, name)
			status, _, err := p.post(t, "/permission/", "application/json", body, access)
			if err != nil || status != 200 {
				return
			}
			note(&permissions, name)
		}
	})
	writers.Wait()
	p.end(t, syscall.SIGKILL)
	return users, permissions
}

// command runs the program in this process.
func command(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	look := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code = run(ctx, args, look, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	key := strings.Repeat("ab", 32)
	if err := os.WriteFile("bad.yaml", []byte("version: 1\nlissen: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("broken.db", []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("broken", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("broken.db", "broken/authserver.db"); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, nil, "migrate", "--data", "migrated"); code != 0 {
		t.Fatalf("migrate: exit %d %s", code, stderr)
	}
	free := []string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		code int
		says string
	}{
		"version":            {[]string{"version"}, nil, 0, "authserver"},
		"help":               {[]string{"--help"}, nil, 0, "Usage: authserver"},
		"migrate":            {[]string{"migrate", "--data", "fresh"}, nil, 0, "up to date"},
		"unknown command":    {[]string{"fly"}, nil, 2, "fly"},
		"unknown flag":       {[]string{"serve", "--lissen", "x"}, nil, 2, "lissen"},
		"secret as a flag":   {[]string{"serve", "--master-key", key}, nil, 2, "master-key"},
		"bad file":           {[]string{"serve", "--config", "bad.yaml"}, nil, 2, "bad.yaml:2:1: lissen is not a key; did you mean listen?"},
		"absent file":        {[]string{"--config", "none.yaml"}, nil, 2, "none.yaml"},
		"bad value":          {[]string{"--token-ttl", "soon"}, nil, 2, "--token-ttl: must be a duration"},
		"bad variable":       {nil, map[string]string{"SCOPEGATE_AUTHSERVER_LISTEN": "x"}, 2, "SCOPEGATE_AUTHSERVER_LISTEN: must be host:port"},
		"network, unwritten": {[]string{"--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"}, nil, 2, "signup: must be set"},
		"not a database":     {append([]string{"--data", "broken"}, free...), nil, 2, "open store"},
		"bad master key":     {free, map[string]string{"SCOPEGATE_AUTHSERVER_MASTER_KEY": "short"}, 2, "master key is 32 random bytes"},
		"two master keys": {free, map[string]string{
			"SCOPEGATE_AUTHSERVER_MASTER_KEY": key, "SCOPEGATE_AUTHSERVER_MASTER_KEY_FILE": "x"}, 2, "are both set"},
		"absent master key":     {free, map[string]string{"SCOPEGATE_AUTHSERVER_MASTER_KEY_FILE": "none"}, 2, "read master key"},
		"health, nobody there":  {[]string{"health", "--admin", "127.0.0.1:1"}, nil, 1, "health:"},
		"user who is not there": {[]string{"user", "disable", "nobody", "--data", "migrated"}, nil, 1, "user not found"},
		"keys of no database":   {[]string{"keys", "list", "--data", "typo"}, nil, 2, "no database to work on"},
	} {
		code, stdout, stderr := command(t, c.env, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", name, code, c.code, c.says, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, key) {
			t.Errorf("%s: the master key is shown", name)
		}
	}
	if _, err := os.Stat("typo"); err == nil {
		t.Error("a command made a database where there was none")
	}
}

// TestOperatorCommands act on the database of a running server.
func TestOperatorCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, data)
	if status, _, err := p.post(t, "/user/signup", "application/json", fmt.Sprintf(signupBody, "test_user"), ""); status != 200 {
		t.Fatalf("%d %v", status, err)
	}
	access := p.login(t, "test_user")
	ok := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := command(t, nil, append(args, "--data", data)...)
		if code != 0 {
			t.Errorf("%v: exit %d %s", args, code, stderr)
		}
		return stdout
	}
	if code, _, stderr := command(t, nil, "health", "--admin", p.admin); code != 0 {
		t.Errorf("health: %d %s", code, stderr)
	}
	ok("user", "disable", "test_user")
	body := `{"service":"example_service","resource":"billing"}`
	if status, _, _ := p.post(t, "/permission/", "application/json", body, access); status != 403 {
		t.Errorf("a disabled user's token: %d", status)
	}
	form := "username=test_user&password=test1234%40"
	if status, _, _ := p.post(t, "/user/login", "application/x-www-form-urlencoded", form, ""); status != 401 {
		t.Errorf("a disabled user's login: %d", status)
	}
	ok("user", "enable", "test_user")
	p.login(t, "test_user")
	ok("service", "register", "example_service", "test_user")
	if status, _, _ := p.post(t, "/permission/", "application/json", body, access); status != 200 {
		t.Errorf("permission of a registered service: %d", status)
	}
	made := ok("keys", "rotate")
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{43} signs from 20`).MatchString(made) {
		t.Errorf("rotate: %q", made)
	}
	list := ok("keys")
	if !strings.Contains(list, "signing") || !strings.Contains(list, "published") {
		t.Errorf("list: %s", list)
	}
	ok("keys", "revoke", made[:43])
	if list = ok("keys", "list"); strings.Contains(list, "published") || !strings.Contains(list, "retired") {
		t.Errorf("list after revoke: %s", list)
	}
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d", code)
	}
}
