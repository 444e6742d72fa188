package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// healthCmd asks the admin port of a running gateway. It exits with 0 when the answer is 200
// and with 1 otherwise, unreachable included.
type healthCmd struct {
	output
	Config  string        `help:"The gateway.yaml that says where the admin port is." env:"SCOPEGATE_GATEWAY_CONFIG" placeholder:"FILE"`
	Admin   string        `help:"Address of the admin port: host:port or unix:/path." placeholder:"ADDRESS"`
	Live    bool          `help:"Ask whether the process lives (/livez), not whether it is ready (/readyz)."`
	Timeout time.Duration `help:"How long to wait for the answer." default:"3s"`
}

// health is what health --format json prints. Status is 0 when there was no answer.
type health struct {
	Healthy bool   `json:"healthy"`
	Admin   string `json:"admin"`
	Status  int    `json:"status"`
	Answer  string `json:"answer"`
	Error   string `json:"error,omitempty"`
}

// Run asks once.
func (c *healthCmd) Run(a *app) error {
	h := c.ask(a.ctx, c.address(a))
	if c.json() {
		if err := a.writeJSON(h); err != nil {
			return err
		}
	} else if h.Error == "" {
		a.printf("%s\n", h.Answer)
	}
	switch {
	case h.Healthy:
		return nil
	case c.json() || h.Error == "":
		return quietly(exitFailed)
	}
	return fail(exitFailed, h.Error, "is the gateway running, and is "+h.Admin+" its admin port? --admin names another")
}

// address is where the admin port is: the flag, the environment, the config, the default. A
// config that has become invalid must not make a gateway unhealthy that goes on with its last
// good one, so what is wrong with it is not said here.
func (c *healthCmd) address(a *app) string {
	if c.Admin != "" {
		return c.Admin
	}
	for _, pair := range a.environ {
		if v, ok := strings.CutPrefix(pair, "SCOPEGATE_GATEWAY_ADMIN="); ok && v != "" {
			return v
		}
	}
	file := c.Config
	if file == "" {
		file = sidecar.DefaultFile()
	}
	if file != "" {
		if cfg, _ := sidecar.LoadConfig(sidecar.Source{File: file}); cfg != nil {
			return cfg.Admin
		}
	}
	return sidecar.DefaultAdmin
}

func (c *healthCmd) ask(ctx context.Context, address string) health {
	h := health{Admin: address}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	path := "/readyz"
	if c.Live {
		path = "/livez"
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		network, where := dialAddress(address)
		return new(net.Dialer).DialContext(ctx, network, where)
	}}
	// The Host is one that the admin port answers to whatever it listens on.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		h.Error = err.Error()
		return h
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		h.Error = fmt.Sprintf("ask %s: %v", address, err)
		return h
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		h.Error = fmt.Sprintf("read the answer of %s: %v", address, err)
		return h
	}
	h.Status, h.Answer = res.StatusCode, strings.TrimSpace(string(body))
	h.Healthy = res.StatusCode == http.StatusOK
	if h.Answer == "" {
		h.Answer = res.Status
	}
	return h
}

// dialAddress turns an address to listen on into one to dial: a wildcard is reached over
// loopback.
func dialAddress(listen string) (network, address string) {
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		return "unix", path
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "tcp", listen
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "tcp", net.JoinHostPort(host, port)
}
