package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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

// start starts a proxy by its name in the table and waits until it serves.
func (r *rig) start(ctx context.Context, name string) (*proxy, error) {
	var p *proxy
	var err error
	switch name {
	case nginx:
		p, err = r.startNginx(ctx)
	case haproxy:
		p, err = r.startHAProxy(ctx, name, false)
	case haproxyJWT:
		p, err = r.startHAProxy(ctx, name, true)
	case scopegateLog:
		p, err = r.startGateway(ctx, name, fewRoutes, 1)
	case scopegateRoutes:
		p, err = r.startGateway(ctx, name, r.routes, 1000)
	default:
		p, err = r.startGateway(ctx, name, fewRoutes, 1000)
	}
	return p, err
}

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
	switch name {
	case nginx, haproxy, haproxyJWT:
		program, _, _ := strings.Cut(name, "-")
		path := installed(program)
		if !r.baselines || path == "" {
			return false
		}
		out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		r.versions[program] = strings.TrimSpace(line)
		return err == nil
	}
	return true
}

// startGateway starts a gateway with so many routes, of whose allowed requests every
// sample-th is logged.
func (r *rig) startGateway(ctx context.Context, name string, routes, sample int) (*proxy, error) {
	var policy strings.Builder
	policy.WriteString("version: 1\nservice: bench\nscopes: { bench.read: Read, bench.write: Write, bench.list: List, bench.share: Share }\nroutes:\n")
	for n := range routes {
		fmt.Fprintf(&policy, "  /r/%d/items/{id}: { GET: bench.read, POST: bench.write }\n", n)
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
	config, err := render(folder, "gateway.yaml", gatewayYAML, map[string]any{
		"Issuer": r.issuer.url, "Service": r.service, "Policy": file, "Sample": sample,
		"Profile": r.profile != "",
	})
	if err != nil {
		return nil, err
	}
	p, log, err := r.launch(ctx, name, r.file("gateway"), "serve", "--config", config)
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

func (r *rig) startNginx(ctx context.Context) (*proxy, error) {
	return r.onFreePort(ctx, nginx, "nginx.conf", nginxConf, nil, func(config string) []string {
		return []string{installed("nginx"), "-p", r.folder, "-e", "stderr", "-c", config}
	})
}

func (r *rig) startHAProxy(ctx context.Context, name string, verify bool) (*proxy, error) {
	values := map[string]any{"Verify": verify, "Issuer": r.issuer.url, "Key": r.file("key.pem")}
	return r.onFreePort(ctx, name, name+".cfg", haproxyConf, values, func(config string) []string {
		return []string{installed("haproxy"), "-db", "-f", config}
	})
}

// onFreePort starts a proxy that cannot choose its port itself, on one that was free a
// moment ago, and tries others should somebody else have been faster.
func (r *rig) onFreePort(ctx context.Context, name, file, text string, values map[string]any, argv func(config string) []string) (*proxy, error) {
	var failures error
	for range 3 {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		free.Close()
		all := map[string]any{"Port": free.Addr().(*net.TCPAddr).Port, "Service": r.service, "Folder": r.folder}
		for key, value := range values {
			all[key] = value
		}
		config, err := render(r.folder, file, text, all)
		if err != nil {
			return nil, err
		}
		p, said, err := r.launch(ctx, name, argv(config)...)
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
