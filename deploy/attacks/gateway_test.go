package attacks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// target is one gateway under attack, with the service and the issuer that it stands between.
type target struct {
	*testing.T
	folder  string
	service *service
	issuer  *issuer
	process *exec.Cmd
	data    string // host:port
	admin   string
	log     *logged
	ended   chan error
}

// site says how a target's gateway.yaml differs from the usual one. The texts are YAML, put where
// their names say.
type site struct {
	lane                 lane
	top, service, issuer string
	also, others         string            // further services, further issuers
	files                map[string]string // beside gateway.yaml, by name
}

// newTarget starts a service and an issuer, and a gateway between them; all end with the test.
func newTarget(t *testing.T, s site) *target {
	t.Helper()
	if s.lane.name == "" {
		t.Fatal("no lane is named")
	}
	g := &target{T: t, folder: t.TempDir(), service: newService(t), issuer: newIssuer(t), log: &logged{}, ended: make(chan error, 1)}
	policy, err := os.ReadFile("testdata/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("policy.yaml", string(policy))
	for name, text := range s.files {
		g.write(name, text)
	}
	g.write("gateway.yaml", g.config(s))
	g.start()
	return g
}

func (g *target) config(s site) string {
	return strings.NewReplacer("$ISSUER", g.issuer.name, "$JWKS", g.issuer.url, "$SERVICE", g.service.address, "$LANE", s.lane.name).Replace(`version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
drain_delay: 0s
log: { format: json }
` + s.top + `
issuers:
  - issuer: $ISSUER
    jwks_uri: $JWKS
    audience: none
    algorithms: [RS256]
    types: [at+jwt]
` + indent(s.issuer) + s.others + `
services:
  - policy: policy.yaml
    upstream: http://$SERVICE
    lane: $LANE
` + indent(s.service) + s.also)
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + line)
	}
	if text != "" {
		b.WriteByte('\n')
	}
	return b.String()
}

func (g *target) write(name, text string) {
	g.Helper()
	path := filepath.Join(g.folder, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		g.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		g.Fatal(err)
	}
}

func (g *target) start() {
	g.Helper()
	self, err := os.Executable()
	if err != nil {
		g.Fatal(err)
	}
	g.process = exec.Command(self)
	g.process.Env = append(os.Environ(), asGateway+"="+filepath.Join(g.folder, "gateway.yaml"))
	stderr, err := g.process.StderrPipe()
	if err != nil {
		g.Fatal(err)
	}
	if err := g.process.Start(); err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = g.process.Process.Kill(); <-g.ended })
	go func() {
		g.log.read(stderr)
		g.ended <- g.process.Wait()
		close(g.ended)
	}()
	line := g.awaitLog("serving", 1)
	g.data, _ = line["listen"].(string)
	g.admin, _ = line["admin"].(string)
	g.eventually("ready", func() bool { return g.status("http://"+g.admin+"/readyz") == 200 })
}

// signal sends the process what an operator would.
func (g *target) signal(s syscall.Signal) {
	g.Helper()
	if err := g.process.Process.Signal(s); err != nil {
		g.Fatal(err)
	}
}

func (g *target) status(url string) int {
	res, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// ask sends one request on a connection of its own.
func (g *target) ask(method, path, token string, fields ...string) (int, http.Header, string) {
	g.Helper()
	r, err := http.NewRequestWithContext(g.Context(), method, "http://"+g.data+path, nil)
	if err != nil {
		g.Fatal(err)
	}
	r.Close = true
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header[name] = append(r.Header[name], value)
		if name == "Host" {
			r.Host = value
		}
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(body)
}

// eventually waits for what other processes bring about.
func (g *target) eventually(what string, is func() bool) {
	g.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			g.Fatalf("never: %s\n%s", what, g.log)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// awaitLog waits for the n-th line with this message.
func (g *target) awaitLog(message string, n int) (line map[string]any) {
	g.Helper()
	g.eventually(fmt.Sprintf("log line %d of %q", n, message), func() bool {
		if found := g.log.all(message); len(found) >= n {
			line = found[n-1]
		}
		return line != nil
	})
	return line
}

// notAbove fails when the gateway's memory was ever larger. The race detector, with which the short
// run goes, multiplies memory, so that nothing is measured there.
func (g *target) notAbove(limit int64) {
	g.Helper()
	if testing.Short() {
		return
	}
	if _, peak := g.resident(); peak > limit {
		g.Errorf("the gateway grew to %d MiB", peak>>20)
	}
}

// resident is the gateway's memory in bytes: as it is now, and at its highest.
func (g *target) resident() (now, peak int64) {
	g.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.process.Process.Pid))
	if err != nil {
		g.Skip("memory is measured where /proc is")
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			switch f[0] {
			case "VmRSS:":
				now = n << 10
			case "VmHWM:":
				peak = n << 10
			}
		}
	}
	return now, peak
}

// logged is the gateway's log as far as it has been read.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		l.mu.Lock()
		l.lines = append(l.lines, s.Text())
		l.mu.Unlock()
	}
}

func (l *logged) all(message string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range l.lines {
		var line map[string]any
		if strings.Contains(text, message) && json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// ofRequest is the line of one request.
func (l *logged) ofRequest(id string) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range l.lines {
		var line map[string]any
		if strings.Contains(text, `"request_id":"`+id+`"`) && json.Unmarshal([]byte(text), &line) == nil && line["msg"] == "request" {
			return line
		}
	}
	return nil
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-30):], "\n")
}
