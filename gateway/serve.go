package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// serveCmd serves until a signal ends it. The flags below Config are the scalars of gateway.yaml,
// by their path in it; sidecar.Settings is their list, and a test holds the two together. They
// are text here, since the loader judges them like the file's own values.
type serveCmd struct {
	Config string `help:"The gateway.yaml; config/gateway.yaml if that is there." env:"SCOPEGATE_GATEWAY_CONFIG" placeholder:"FILE"`
	Strict bool   `help:"Do not start on a warning."`
	// Not a setting: the one of this name says where, and stands in the file only.
	Takeover bool `help:"Take over from the gateway that runs with the same takeover: socket; without one, start as usual."`

	Listen            string `help:"Address of the data port." placeholder:"HOST:PORT" group:"Settings of gateway.yaml:"`
	Admin             string `help:"Address of the admin port." placeholder:"HOST:PORT" group:"Settings of gateway.yaml:"`
	LimitsConnections string `help:"Connections that the data port holds at once." placeholder:"N" group:"Settings of gateway.yaml:"`
	LimitsPerAddress  string `help:"Connections that one client address may hold." placeholder:"N" group:"Settings of gateway.yaml:"`
	TLSCert           string `name:"tls-cert" help:"File with the certificate chain of the data port." placeholder:"FILE" group:"Settings of gateway.yaml:"`
	TLSKey            string `name:"tls-key" help:"File with the certificate's private key." placeholder:"FILE" group:"Settings of gateway.yaml:"`
	TLSClientCA       string `name:"tls-client-ca" help:"File with the authorities of client certificates." placeholder:"FILE" group:"Settings of gateway.yaml:"`
	TokenCache        string `help:"Verified tokens that are remembered." placeholder:"N" group:"Settings of gateway.yaml:"`
	DrainDelay        string `help:"How long the data port stays open after SIGTERM." placeholder:"5s" group:"Settings of gateway.yaml:"`
	DrainTimeout      string `help:"How long work in flight may take after that." placeholder:"20s" group:"Settings of gateway.yaml:"`
	Ready             string `help:"Ready when all issuers have had keys, or any." placeholder:"all|any" group:"Settings of gateway.yaml:"`
	HideRoutes        string `help:"Ask for the token before answering 404 or 405." placeholder:"true|false" group:"Settings of gateway.yaml:"`
	IdentityMax       string `help:"Bytes that the identity headers may take together." placeholder:"16KiB" group:"Settings of gateway.yaml:"`
	LogFormat         string `help:"How log lines are written." placeholder:"auto|json|text" group:"Settings of gateway.yaml:"`
	LogSampleAllowed  string `help:"Write every n-th line of allowed requests." placeholder:"N" group:"Settings of gateway.yaml:"`
	ReloadWidening    string `help:"What a reload does with a policy that lets somebody do more: log it, or hold it back until SIGHUP." placeholder:"log|hold" group:"Settings of gateway.yaml:"`
	Pprof             string `help:"Serve /debug/pprof on the admin port to local peers." placeholder:"true|false" group:"Settings of gateway.yaml:"`
	ExplainKey        string `help:"File of the key that seals explanations." placeholder:"FILE" group:"Settings of gateway.yaml:"`
}

// Run loads, listens and serves. SIGTERM and SIGINT drain, a second one ends the process at
// once, SIGHUP reloads.
func (c *serveCmd) Run(a *app) error {
	cfg, err := c.load(a)
	if err != nil {
		return err
	}
	if c.Takeover && cfg.Takeover == "" {
		return fail(exitUsage, "--takeover has nobody to ask", "takeover: in "+cfg.Source.File+" names the socket where the running gateway answers")
	}
	gateway, err := sidecar.New(cfg, a.stderr)
	if err != nil {
		return fail(exitFailed, err.Error(), "")
	}
	ctx, release := signal.NotifyContext(a.ctx, syscall.SIGTERM, os.Interrupt)
	defer release()
	context.AfterFunc(ctx, release) // from now on a second signal has its usual effect
	defer reloadOnHangup(gateway)()
	if c.Takeover {
		err = gateway.TakeOver(ctx)
	}
	if !c.Takeover || errors.Is(err, sidecar.ErrNobody) {
		err = serve(ctx, gateway, cfg)
	}
	var failed *failure
	if err != nil && !errors.As(err, &failed) {
		err = fail(exitFailed, err.Error(), "")
	}
	return err
}

// serve opens both ports and serves on them.
func serve(ctx context.Context, gateway *sidecar.Sidecar, cfg *sidecar.Config) error {
	data, err := listen(cfg.Listen)
	if err != nil {
		return fail(exitFailed, "open the data port: "+err.Error(), "another process may hold it; --listen names another address")
	}
	defer data.Close()
	admin, err := listen(cfg.Admin)
	if err != nil {
		return fail(exitFailed, "open the admin port: "+err.Error(), "another process may hold it; --admin names another address")
	}
	defer admin.Close()
	return gateway.Serve(ctx, data, admin)
}

// reloadOnHangup reloads on every SIGHUP until the function that it returns is called. It goes on
// through a drain: without it a late SIGHUP would end the process.
func reloadOnHangup(gateway *sidecar.Sidecar) (stop func()) {
	hangups, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case <-hangups:
				gateway.Reload()
			case <-ended:
				return
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		close(ended)
		listening.Wait()
	}
}

// load reads the configuration; all its faults go to standard error at once.
func (c *serveCmd) load(a *app) (*sidecar.Config, error) {
	file := c.Config
	if file == "" {
		file = sidecar.DefaultFile()
	}
	if file == "" {
		return nil, fail(exitUsage, "there is no configuration", "name one with --config FILE, or start where config/gateway.yaml is")
	}
	flags := map[string]string{}
	for _, s := range sidecar.Settings() {
		if value, ok := a.given[s.Flag()]; ok {
			flags[s.Path] = value
		}
	}
	cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file, Flags: flags, Environ: a.environ, Strict: c.Strict})
	if cfg == nil {
		writeFindings(a.stderr, findings)
		return nil, fail(exitUsage, "the configuration "+file+" cannot be used", "")
	}
	return cfg, nil
}

// listen opens a TCP address, or unix:PATH. A socket that a dead process left behind is
// removed; one that somebody answers on is not.
func listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if conn, err := net.Dial("unix", path); err == nil {
			return nil, errors.Join(fmt.Errorf("%s is in use", path), conn.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}
