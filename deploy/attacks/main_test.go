package attacks

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// asGateway, set in the environment, makes the test binary a gateway: it names the configuration.
const asGateway = "SCOPEGATE_ATTACKED_CONFIG"

// The gateway runs in a process of its own, so that its memory is its own too and a signal reaches
// it as an operator's does.
func TestMain(m *testing.M) {
	if file := os.Getenv(asGateway); file != "" {
		if err := serve(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(file string) error {
	cfg, findings := sidecar.LoadConfig(sidecar.Source{File: file})
	if cfg == nil {
		return fmt.Errorf("configuration: %w", findings)
	}
	gateway, err := sidecar.New(cfg, os.Stderr)
	if err != nil {
		return err
	}
	data, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", cfg.Admin)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			gateway.Reload()
		}
	}()
	return gateway.Serve(ctx, data, admin)
}
