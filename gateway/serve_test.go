package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// process is a gateway in a process of its own, with its log.
type process struct {
	*exec.Cmd
	log         *bufio.Scanner
	data, admin string
}

// start runs `gateway ARGS…` in a folder and waits until it serves.
func start(t *testing.T, folder string, args ...string) *process {
	t.Helper()
	p := launch(t, folder, args...)
	line := p.line(t, "serving")
	p.data, _ = line["listen"].(string)
	p.admin, _ = line["admin"].(string)
	return p
}

// launch runs `gateway ARGS…` in a folder.
func launch(t *testing.T, folder string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: command(t, folder, args...)}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	p.log = bufio.NewScanner(stderr)
	return p
}

// command is `gateway ARGS…` in a folder.
func command(t *testing.T, folder string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Args[0] = "gateway" // what TestMain looks at
	c.Dir = folder
	return c
}

// run waits for `gateway ARGS…` to end, and gives what it wrote and its exit code.
func run(t *testing.T, folder string, args ...string) (text string, code int) {
	t.Helper()
	c := command(t, folder, args...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// line reads the log up to a message.
func (p *process) line(t *testing.T, message string) map[string]any {
	t.Helper()
	var seen []string
	for p.log.Scan() {
		seen = append(seen, p.log.Text())
		var line map[string]any
		if json.Unmarshal(p.log.Bytes(), &line) == nil && line["msg"] == message {
			return line
		}
	}
	t.Fatalf("the log ended before %q:\n%s", message, strings.Join(seen, "\n"))
	return nil
}

// end waits for the process and gives its exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	for p.log.Scan() { // Wait closes the pipe
	}
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// site writes a configuration whose only service is upstream, and a policy that lets
// everybody see one path.
func site(t *testing.T, upstream string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	write(t, folder, "config/gateway.yaml", fmt.Sprintf(`version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
drain_delay: 1ms
services:
  - policy: policy.yaml
    upstream: %s
`, upstream))
	write(t, folder, "config/policy.yaml", policyFor("/healthz"))
	return folder
}

func policyFor(path string) string {
	return "version: 1\nservice: shop\nscopes: {}\nroutes:\n  " + path + ":\n    GET: public\n"
}

func write(t *testing.T, folder, file, text string) {
	t.Helper()
	file = filepath.Join(folder, file)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func TestNoVerbServesConfigGatewayYAMLAndDrainsOnSIGTERM(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer service.Close()
	p := start(t, site(t, service.URL))
	if got := status(t, "http://"+p.data+"/healthz"); got != 200 {
		t.Errorf("an allowed path is %d", got)
	}
	if got := status(t, "http://"+p.data+"/other"); got != 404 {
		t.Errorf("a path without a route is %d", got)
	}
	a := &app{ctx: t.Context(), stdout: io.Discard, stderr: io.Discard}
	if code := a.run([]string{"health", "--admin", p.admin}); code != exitDone {
		t.Errorf("health of a serving gateway exits with %d", code)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(t); code != exitDone {
		t.Errorf("a clean drain exits with %d", code)
	}
	if code := a.run([]string{"health", "--admin", p.admin}); code != exitFailed {
		t.Errorf("health of a gateway that is gone exits with %d", code)
	}
}

func TestSIGHUPReloads(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer service.Close()
	folder := site(t, service.URL)
	p := start(t, folder, "serve")
	write(t, folder, "config/policy.yaml", policyFor("/other"))
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.line(t, "reloaded")
	if got := status(t, "http://"+p.data+"/other"); got != 200 {
		t.Errorf("a path that came with the reload is %d", got)
	}
}

func TestFlagsOfServeAreTheSettings(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Name("gateway"))
	if err != nil {
		t.Fatal(err)
	}
	var flags, want []string
	for _, group := range parser.Model.DefaultCmd.AllFlags(true) {
		for _, f := range group {
			if !slices.Contains([]string{"help", "config", "strict", "takeover"}, f.Name) {
				flags = append(flags, f.Name)
			}
		}
	}
	for _, s := range sidecar.Settings() {
		want = append(want, s.Flag())
	}
	slices.Sort(flags)
	slices.Sort(want)
	if !slices.Equal(flags, want) {
		t.Errorf("serve has the flags\n%q, the settings are\n%q", flags, want)
	}
}

func TestASocketOfADeadProcessIsReplacedAndOneInUseIsNot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data.sock")
	first, err := net.ListenUnix("unix", &net.UnixAddr{Name: file, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if second, err := listen("unix:" + file); err == nil {
		second.Close()
		t.Error("a socket in use was taken over")
	}
	first.SetUnlinkOnClose(false)
	first.Close()
	second, err := listen("unix:" + file)
	if err != nil {
		t.Fatalf("a socket that nobody answers on: %v", err)
	}
	second.Close()
}

func TestAListenAddressIsDialledOverLoopback(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:9001": "tcp 127.0.0.1:9001", ":9001": "tcp 127.0.0.1:9001", "0.0.0.0:9001": "tcp 127.0.0.1:9001",
		"[::]:9001": "tcp [::1]:9001", "10.0.0.7:9001": "tcp 10.0.0.7:9001", "unix:/run/admin.sock": "unix /run/admin.sock",
	} {
		if network, address := dialAddress(listen); network+" "+address != want {
			t.Errorf("%s is dialled as %s %s, want %s", listen, network, address, want)
		}
	}
}
