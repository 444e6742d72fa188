package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/scopegate/scopegate/authserver/server"
	"github.com/scopegate/scopegate/billing/ledger"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// run serves until ctx ends. The listeners are all open before anything is
// served, so that nobody meets a half of the demo.
func run(ctx context.Context, f flags, out io.Writer) error {
	policy, err := filepath.Abs(f.Policy)
	if err != nil {
		return err
	}
	if _, err := os.Stat(policy); err != nil {
		return fmt.Errorf("%w: start it in the repository's folder, or name the policy with --policy", err)
	}
	data, remove, err := dataFolder(f.Data)
	if err != nil {
		return err
	}
	defer remove()
	ports, err := listen(f)
	if err != nil {
		return err
	}
	defer ports.close()
	logs, err := os.OpenFile(filepath.Join(data, "demo.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logs.Close()

	seen := newWitness(logs)
	d := &demo{ports: ports, data: data, policy: policy, named: f.Policy, kept: f.Data != ""}
	servers, err := d.servers(logs, seen)
	if err != nil {
		return err
	}
	serving, ctx := errgroup.WithContext(ctx)
	// What the gateway has accepted still needs the two behind it.
	behind, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	serving.Go(func() error {
		defer release()
		return servers.gateway(ctx)
	})
	serving.Go(func() error { return servers.auth(behind) })
	serving.Go(func() error { return servers.billing(behind) })
	serving.Go(func() error {
		if err := d.ready(ctx); err != nil {
			return err
		}
		return newGuide(d, out, seen).walk(ctx)
	})
	err = serving.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// dataFolder returns the folder to keep data in, and what removes it if it was
// made for this run only.
func dataFolder(name string) (folder string, remove func(), err error) {
	if name != "" {
		return name, func() {}, os.MkdirAll(name, 0o700)
	}
	folder, err = os.MkdirTemp("", "scopegate-demo-")
	return folder, func() { os.RemoveAll(folder) }, err
}

// ports are the demo's six listeners.
type ports struct {
	auth, authAdmin, gateway, gatewayAdmin, billing, billingAdmin net.Listener
}

func listen(f flags) (*ports, error) {
	p := &ports{}
	for _, w := range []struct {
		to            *net.Listener
		address, flag string
	}{
		{&p.auth, f.Auth, "--auth"}, {&p.authAdmin, f.AuthAdmin, "--auth-admin"},
		{&p.gateway, f.Gateway, "--gateway"}, {&p.gatewayAdmin, f.GatewayAdmin, "--gateway-admin"},
		{&p.billing, f.Billing, "--billing"}, {&p.billingAdmin, f.BillingAdmin, "--billing-admin"},
	} {
		l, err := net.Listen("tcp", w.address)
		if err != nil {
			p.close()
			return nil, fmt.Errorf("%w: %s names another address", err, w.flag)
		}
		*w.to = l
	}
	return p, nil
}

func (p *ports) close() {
	for _, l := range []net.Listener{p.auth, p.authAdmin, p.gateway, p.gatewayAdmin, p.billing, p.billingAdmin} {
		if l != nil {
			l.Close()
		}
	}
}

// local is the URL under which a newcomer finds a listener: by the name that
// the walk-through uses, which is also the issuer's.
func local(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		panic("demo: a TCP listener without a port: " + err.Error())
	}
	return "http://localhost:" + port
}

// demo is the three servers and where they are.
type demo struct {
	*ports
	data   string
	policy string // absolute
	named  string // the policy as the newcomer wrote it
	kept   bool   // the data folder outlives the demo
}

// servers serve until their contexts end, and return when they have drained.
type servers struct{ auth, gateway, billing func(context.Context) error }

// servers makes the three. One issuer string goes to both sides.
func (d *demo) servers(logs io.Writer, seen *witness) (*servers, error) {
	issuer := local(d.auth)
	authConfig := server.Defaults()
	authConfig.Listen, authConfig.Issuer = d.auth.Addr().String(), issuer
	authConfig.Data, authConfig.DrainDelay = d.data, 0
	authConfig.Log = slog.New(slog.NewJSONHandler(seen, nil))
	auth, err := server.New(authConfig)
	if err != nil {
		return nil, fmt.Errorf("auth server: %w", err)
	}
	gateway, err := d.newGateway(issuer, logs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: %w", err), auth.Close())
	}
	service, err := ledger.New(ledger.Config{Logger: slog.New(slog.NewJSONHandler(logs, nil))})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("billing: %w", err), auth.Close())
	}
	return &servers{
		auth:    func(ctx context.Context) error { return auth.Serve(ctx, d.auth, d.authAdmin) },
		gateway: func(ctx context.Context) error { return gateway.Serve(ctx, d.gateway, d.gatewayAdmin) },
		billing: func(ctx context.Context) error { return service.Serve(ctx, d.billing, d.billingAdmin) },
	}, nil
}

// newGateway writes the shipped configuration for this run's addresses into the
// data folder, so that it can be read, changed and reloaded there like any.
func (d *demo) newGateway(issuer string, logs io.Writer) (*sidecar.Sidecar, error) {
	file := filepath.Join(d.data, "gateway.yaml")
	text := fmt.Sprintf(`version: 1
listen: %s
admin: %s
drain_delay: 0s
issuers:
  - issuer: %s
    jwks_uri: %s/.well-known/jwks.json
    audience: none
    algorithms: [RS256]
    types: [at+jwt]
services:
  - policy: %q
    upstream: http://%s
log: { format: json }
`, d.gateway.Addr(), d.gatewayAdmin.Addr(), issuer, issuer, d.policy, d.billing.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file})
	if cfg == nil {
		return nil, findings
	}
	return sidecar.New(cfg, logs)
}

// readyTime is how long the demo may take to become ready.
const readyTime = 30 * time.Second

// ready waits until all three say that they are.
func (d *demo) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, admin := range []net.Listener{d.authAdmin, d.gatewayAdmin, d.billingAdmin} {
		for !isReady(ctx, admin.Addr()) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("not ready: %s: %w", admin.Addr(), ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}

func isReady(ctx context.Context, admin net.Addr) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin.String()+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// witness passes the auth server's log on, and tells the guide about steps of
// the walk-through that somebody has taken.
type witness struct {
	to    io.Writer
	steps chan string
}

const (
	signedUp = "signup"
	attached = "attach"
)

func newWitness(to io.Writer) *witness { return &witness{to, make(chan string, 64)} }

// Write takes one line of the log.
func (w *witness) Write(line []byte) (int, error) {
	for step, marks := range map[string][2]string{
		signedUp: {`"route":"/user/signup"`, `"status":200`},
		attached: {`"route":"/role/attach-permission"`, `"status":201`},
	} {
		if text := string(line); strings.Contains(text, marks[0]) && strings.Contains(text, marks[1]) {
			select {
			case w.steps <- step:
			default: // the guide is far behind, and looks at the state anyway
			}
		}
	}
	return w.to.Write(line)
}
