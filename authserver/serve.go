package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/scopegate/scopegate/authserver/server"
)

type serveCommand struct{}

// Run listens first, so that the default issuer can name the port that the
// system chose, then opens everything, then serves.
func (serveCommand) Run(p *program) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	public, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	admin, err := net.Listen("tcp", cfg.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for admin: %w", err), public.Close())
	}
	cfg.Listen = actual(cfg.Listen, public.Addr())
	srv, err := server.New(cfg)
	if err != nil {
		return &usageError{errors.Join(err, public.Close(), admin.Close())}
	}
	return srv.Serve(p.ctx, public, admin)
}

// actual keeps the host as it was written and takes the port that was bound.
func actual(listen string, bound net.Addr) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	_, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return listen
	}
	return net.JoinHostPort(host, port)
}

type healthCommand struct{}

// Run is for container health checks: 0 if the server is ready, 1 if not.
func (healthCommand) Run(p *program) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(cfg.Admin)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	fmt.Fprintln(p.stdout, "ready")
	return nil
}

// dialable turns a listen address for every interface into one to connect to.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

type versionCommand struct{}

// Run prints what the Go toolchain recorded at build time.
func (versionCommand) Run(p *program) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		fmt.Fprintln(p.stdout, "authserver (unknown version)")
		return nil
	}
	revision := ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = " " + s.Value
		}
	}
	fmt.Fprintf(p.stdout, "authserver %s%s %s\n", info.Main.Version, revision, info.GoVersion)
	return nil
}
