package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/billing/ledger"
)

func TestExitCodes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct {
		claim string
		args  []string
		code  int
		says  string
	}{
		{"version is one line", []string{"version"}, 0, "billing "},
		{"help is no error", []string{"--help"}, 0, "Usage: billing"},
		{"an unknown verb is wrong usage", []string{"enforce"}, 2, "enforce"},
		{"an unknown flag is wrong usage", []string{"serve", "--scopes=a"}, 2, "--scopes"},
		{"a negative drain is wrong usage", []string{"--drain-delay=-1s", "--listen=127.0.0.1:0"}, 2, "negative"},
		{"a public address is refused by name", []string{"--listen=0.0.0.0:0", "--admin=127.0.0.1:0"}, 2, "beyond loopback"},
		{"a taken port is a failed run", []string{"serve", "--listen=" + taken.Addr().String()}, 1, "address already in use"},
		{"a taken admin port is a failed run", []string{"--listen=127.0.0.1:0", "--admin=" + taken.Addr().String()}, 1, "address already in use"},
		{"a drained run is fine", []string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0"}, 0, "billing drains"},
		{"no verb means serve", []string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0"}, 0, "billing serves"},
		{"nobody there is unhealthy", []string{"health", "--admin=" + closed.Addr().String()}, 1, "billing:"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.args[0] != "health" {
				cancel() // whatever would serve drains at once
			}
			var out bytes.Buffer
			if code := run(ctx, c.args, &out, &out); code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, &out)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("%q is not said in %q", c.says, &out)
			}
		})
	}
}

func TestHealthOfARunningService(t *testing.T) {
	data, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := ledger.New(ledger.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, data, admin) }()
	if code := run(t.Context(), []string{"health", "--admin", admin.Addr().String()}, io.Discard, io.Discard); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
