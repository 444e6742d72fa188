package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// rig is everything that runs during a benchmark. Its folder and its processes are gone
// after close.
type rig struct {
	settings
	end      context.CancelFunc // kills every process
	folder   string
	pinning  pinning
	issuer   *issuer
	service  string // address
	running  sync.WaitGroup
	proxies  map[string]*proxy // by name and front
	versions map[string]string
}

// newRig starts all but the proxies.
//
// end is what ends ctx: every process lives as long as that.
func newRig(ctx context.Context, end context.CancelFunc, s settings, chosen []workload, say func(string, ...any)) (*rig, error) {
	folder, err := os.MkdirTemp("", "scopegate-bench-")
	if err != nil {
		return nil, err
	}
	r := &rig{settings: s, end: end, folder: folder, proxies: map[string]*proxy{}, versions: map[string]string{}}
	if err := r.prepare(ctx, chosen, say); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) prepare(ctx context.Context, chosen []workload, say func(string, ...any)) (err error) {
	say("building the gateway")
	build := exec.CommandContext(ctx, "go", "build", "-o", r.file("gateway"), "github.com/scopegate/scopegate/gateway")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	if r.issuer, err = newIssuer(); err != nil {
		return fmt.Errorf("start the issuer: %w", err)
	}
	say("signing tokens")
	if err := r.issuer.prepare(r.folder, r.settings, chosen); err != nil {
		return err
	}
	if err := r.issuer.writeKey(r.file("key.pem")); err != nil {
		return err
	}
	if err := writeCertificate(r.file("cert.pem"), r.file("cert.key")); err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	r.pinning = pin() // so far all processors were welcome
	return r.startService(ctx)
}

// close ends every process, waits for it, and removes the folder.
func (r *rig) close() {
	r.end()
	r.running.Wait()
	if r.issuer != nil {
		r.issuer.close()
	}
	os.RemoveAll(r.folder)
}

func (r *rig) file(name string) string { return filepath.Join(r.folder, name) }

// startService starts the service in a copy of this program.
func (r *rig) startService(ctx context.Context) error {
	cmd, err := copyOfSelf(ctx, r.pinning.others, "service")
	if err != nil {
		return err
	}
	// It ends when this pipe is closed, also if this process is killed.
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	r.running.Go(func() { cmd.Wait() })
	if err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	r.service = strings.TrimSpace(line)
	return nil
}

// run does one job in a copy of this program.
func (r *rig) run(ctx context.Context, j job) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, r.duration+2*patience)
	defer cancel()
	cmd, err := copyOfSelf(ctx, r.pinning.others, "load")
	if err != nil {
		return sample{}, err
	}
	var s sample
	in, err := json.Marshal(j)
	if err != nil {
		return s, err
	}
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		return s, fmt.Errorf("load generator: %w", errors.Join(err, context.Cause(ctx)))
	}
	return s, json.Unmarshal(out, &s)
}

// proxy is a running process under measurement.
type proxy struct {
	name    string
	pid     int
	address string
	front   front
	admin   string // of a gateway
	routes  int    // that its policy knows
	exited  chan struct{}
	stop    func()
}

// launch starts a proxy's process and gives its standard error.
// Whoever reads that has to read to its end.
func (r *rig) launch(ctx context.Context, name string, front front, argv ...string) (*proxy, io.ReadCloser, error) {
	ctx, end := context.WithCancel(ctx)
	cmd := pinned(ctx, r.pinning.proxy, argv...)
	read, write, err := os.Pipe()
	if err != nil {
		end()
		return nil, nil, err
	}
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		end()
		return nil, nil, errors.Join(fmt.Errorf("start %s: %w", name, err), read.Close(), write.Close())
	}
	write.Close() // the process has its own end
	p := &proxy{name: name, front: front, pid: cmd.Process.Pid, routes: fewRoutes, exited: make(chan struct{})}
	r.running.Go(func() {
		cmd.Wait()
		end()
		close(p.exited)
	})
	p.stop = func() {
		end()
		<-p.exited
	}
	return p, read, nil
}

// ready waits until the proxy lets a good token through to the service.
func (r *rig) ready(ctx context.Context, p *proxy) error {
	token, err := os.ReadFile(r.file(string(oneToken)))
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask(r.to(p), strings.TrimSpace(string(token)))
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-p.exited:
			return fmt.Errorf("%s ended: %w", p.name, err)
		case <-limit.Done():
			return fmt.Errorf("%s does not become ready: %w", p.name, err)
		}
	}
}

// to is the part of a job that says how to speak to a proxy.
func (r *rig) to(p *proxy) job {
	j := job{Address: p.address, PID: p.pid, Status: 200}
	switch p.front {
	case overTLS:
		j.Streams, j.Authority = 1, r.file("cert.pem")
	case grpcFront:
		j.Streams, j.GRPC = 1, true
	}
	return j
}

// ask makes one request.
func ask(j job, token string) error {
	clients, err := j.dial(1)
	if err != nil {
		return err
	}
	defer hangUp(clients)
	clients[0].exchange(time.Now(), token, 0)
	return clients[0].fault
}
