package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/buildinfo"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed gateway.yaml.tmpl
var gatewayYAML string

//go:embed nginx.conf.tmpl
var nginxConf string

//go:embed haproxy.cfg.tmpl
var haproxyConf string

// fewRoutes is what an ordinary policy has.
const fewRoutes = 10

//go:embed Caddyfile.tmpl
var caddyfile string

// start starts a proxy by its name in the table and waits until it serves.
func (r *rig) start(ctx context.Context, name string, front front) (*proxy, error) {
	switch name {
	case nginx:
		return r.onFreePort(ctx, name, front, "nginx.conf", nginxConf, func(config string) []string {
			return append(untrimmed, installed(nginx), "-p", r.folder, "-e", "stderr", "-c", config)
		})
	case haproxy, haproxyJWT:
		return r.onFreePort(ctx, name, front, name+".cfg", haproxyConf, func(config string) []string {
			return append(untrimmed, installed(haproxy), "-db", "-f", config)
		})
	case caddy:
		return r.onFreePort(ctx, name, front, "Caddyfile", caddyfile, func(config string) []string {
			// It saves the configuration that it was given, and looks for certificates.
			folders := []string{"env", "XDG_CONFIG_HOME=" + r.folder, "XDG_DATA_HOME=" + r.folder}
			return append(folders, installed(caddy), "run", "--adapter", "caddyfile", "--config", config)
		})
	case scopegateLog:
		return r.startGateway(ctx, name, front, fewRoutes, 1)
	case scopegateRoutes:
		return r.startGateway(ctx, name, front, r.routes, 1000)
	}
	return r.startGateway(ctx, name, front, fewRoutes, 1000)
}

// untrimmed starts a program written in C with a heap that keeps what it has. With glibc's
// default some processes, by the chance of how their heap is laid out, give its end back to
// the system and take it again for every request, which doubles their time.
var untrimmed = []string{"env", "GLIBC_TUNABLES=glibc.malloc.trim_threshold=1073741824"}

// versionNumber is what tells one release from another in what a program says of itself.
var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+[-+~.\w]*`)

// installed finds a baseline's program, also where a user's PATH does not reach.
func installed(program string) string {
	for _, name := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// available tells whether a proxy can be started here, and remembers its version.
func (r *rig) available(ctx context.Context, name string) bool {
	program, _, _ := strings.Cut(name, "-")
	if program == scopegate {
		return true
	}
	path := installed(program)
	if path == "" {
		return false
	}
	argument := "-v"
	if program == caddy {
		argument = "version"
	}
	out, err := exec.CommandContext(ctx, path, argument).CombinedOutput()
	r.versions[program] = versionNumber.FindString(string(out))
	if build, err := buildinfo.ReadFile(path); err == nil {
		r.versions[program] += " with " + build.GoVersion
	}
	return err == nil
}

// startGateway starts a gateway with so many routes, of whose allowed requests every
// sample-th is logged.
func (r *rig) startGateway(ctx context.Context, name string, front front, routes, sample int) (*proxy, error) {
	var policy strings.Builder
	policy.WriteString("version: 1\nservice: bench\nscopes: { bench.read: Read, bench.write: Write, bench.list: List, bench.share: Share }\nroutes:\n")
	for n := range routes {
		fmt.Fprintf(&policy, "  /r/%d/items/{id}: { GET: bench.read, POST: bench.write }\n", n)
	}
	if front == grpcFront {
		policy.WriteString("  " + grpcPath + ": { POST: bench.read }\n")
	}
	// The watch is on folders: each gateway has its own, in which nothing changes.
	folder, err := os.MkdirTemp(r.folder, name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "policy.yaml")
	if err := os.WriteFile(file, []byte(policy.String()), 0o600); err != nil {
		return nil, err
	}
	config, err := render(folder, "gateway.yaml", gatewayYAML, r.values(name, front, map[string]any{
		"Policy": file, "Sample": sample, "Profile": r.profile != "",
	}))
	if err != nil {
		return nil, err
	}
	p, log, err := r.launch(ctx, name, front, r.file("gateway"), "serve", "--config", config)
	if err != nil {
		return nil, err
	}
	p.routes = routes
	if p.address, p.admin, err = r.serving(log); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := r.ready(ctx, p); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// serving reads a gateway's log until it names its addresses, and drops what follows, as fast
// as it comes: the gateway has a reader like one in a container.
func (r *rig) serving(log io.ReadCloser) (data, admin string, err error) {
	lines := bufio.NewReaderSize(log, 64<<10)
	var said strings.Builder
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			log.Close()
			return "", "", errors.New("it ended and said: " + said.String())
		}
		said.Write(line)
		var entry struct{ Msg, Listen, Admin string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "serving" {
			r.running.Go(func() {
				io.Copy(io.Discard, lines)
				log.Close()
			})
			return entry.Listen, entry.Admin, nil
		}
	}
}

// onFreePort starts a proxy that cannot choose its port itself, on one that was free a
// moment ago, and tries others should somebody else have been faster.
func (r *rig) onFreePort(ctx context.Context, name string, front front, file, text string, argv func(config string) []string) (*proxy, error) {
	var failures error
	for range 3 {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		free.Close()
		config, err := render(r.folder, file, text, r.values(name, front, map[string]any{"Port": free.Addr().(*net.TCPAddr).Port}))
		if err != nil {
			return nil, err
		}
		p, said, err := r.launch(ctx, name, front, argv(config)...)
		if err != nil {
			return nil, err
		}
		p.address = free.Addr().String()
		words := r.listen(said)
		if err = r.ready(ctx, p); err == nil {
			return p, nil
		}
		p.stop()
		failures = errors.Join(failures, fmt.Errorf("start: %w; it said: %s", err, <-words))
	}
	return nil, failures
}

// values are what every template may ask for, and more.
func (r *rig) values(name string, front front, more map[string]any) map[string]any {
	all := map[string]any{
		"Service": r.service, "Folder": r.folder, "Issuer": r.issuer.url, "Key": r.file("key.pem"),
		"Verify": name == haproxyJWT, "TLS": front == overTLS, "GRPC": front == grpcFront,
	}
	maps.Copy(all, more)
	return all
}

// listen reads all that a process says, and gives its beginning when the process has ended.
func (r *rig) listen(said io.ReadCloser) <-chan string {
	words := make(chan string, 1)
	r.running.Go(func() {
		beginning, _ := io.ReadAll(io.LimitReader(said, 4<<10))
		io.Copy(io.Discard, said)
		said.Close()
		words <- string(beginning)
	})
	return words
}

// render writes a configuration into a folder and returns its path.
func render(folder, name, text string, values map[string]any) (string, error) {
	parsed, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return "", err
	}
	path := filepath.Join(folder, name)
	return path, os.WriteFile(path, out.Bytes(), 0o600)
}
