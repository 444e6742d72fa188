// Command billing runs the example service that stands behind the gateway.
//
// It owns flags, listeners, signals and exit codes; the service itself is package ledger.
// Exit codes: 0 drained cleanly, 1 the run or the check failed, 2 wrong usage.
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
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/scopegate/scopegate/billing/ledger"
)

// commands is the command line. No verb means serve.
type commands struct {
	Serve   serveCommand   `cmd:"" default:"withargs" help:"Answer the example service's routes until SIGTERM."`
	Health  healthCommand  `cmd:"" help:"Ask a running service's admin port whether it is ready; exit 0 or 1."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

type serveCommand struct {
	Listen       string        `help:"Address of the service; loopback only." default:"127.0.0.1:8002" env:"SCOPEGATE_BILLING_LISTEN"`
	Admin        string        `help:"Address of health and metrics." default:"127.0.0.1:9002" env:"SCOPEGATE_BILLING_ADMIN"`
	DrainDelay   time.Duration `help:"How long to keep accepting after SIGTERM, with readiness gone." default:"0s" env:"SCOPEGATE_BILLING_DRAIN_DELAY"`
	DrainTimeout time.Duration `help:"How long work in flight may take after that." default:"30s" env:"SCOPEGATE_BILLING_DRAIN_TIMEOUT"`

	InsecureListenBeyondLoopback bool `help:"Let other machines reach the service past the gateway, and so write its identity headers."`
}

type healthCommand struct {
	Admin   string        `help:"Admin address of the running service." default:"127.0.0.1:9002" env:"SCOPEGATE_BILLING_ADMIN"`
	Timeout time.Duration `help:"How long to wait for the answer." default:"2s"`
}

type versionCommand struct{}

// usageError marks what the operator has to change before another try can work.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal drains; with the handler gone, a second one quits at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the process without its globals; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exited, code := false, 0
	parser, err := kong.New(&commands{}, kong.Name("billing"),
		kong.Description("The example service behind Scopegate's gateway. It knows nothing of tokens."),
		kong.Writers(stdout, stderr),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(stdout, (*io.Writer)(nil)),
		kong.Exit(func(c int) { exited, code = true, c }))
	if err != nil {
		fmt.Fprintln(stderr, "billing:", err)
		return 2
	}
	command, err := parser.Parse(args)
	if exited { // --help has printed and asked to leave
		return code
	}
	if err != nil {
		fmt.Fprintln(stderr, "billing:", err)
		return 2
	}
	err = command.Run(slog.New(slog.NewJSONHandler(stderr, nil)))
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "billing:", err)
	if errors.As(err, new(usageError)) || errors.Is(err, ledger.ErrBeyondLoopback) {
		return 2
	}
	return 1
}

// Run serves until ctx ends and the service has drained.
func (c *serveCommand) Run(ctx context.Context, log *slog.Logger) error {
	server, err := ledger.New(ledger.Config{
		Logger: log, Version: version(),
		DrainDelay: c.DrainDelay, DrainTimeout: c.DrainTimeout,
		InsecureListenBeyondLoopback: c.InsecureListenBeyondLoopback,
	})
	if err != nil {
		return usageError{err}
	}
	data, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", c.Admin)
	if err != nil {
		data.Close()
		return err
	}
	return server.Serve(ctx, data, admin)
}

// Run succeeds when the service says that it is ready.
func (c *healthCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Admin+"/readyz", nil)
	if err != nil {
		return usageError{err}
	}
	// No proxy from the environment: the question is about this very process.
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}

// Run prints one line.
func (versionCommand) Run(stdout io.Writer) error {
	_, err := fmt.Fprintln(stdout, "billing", version())
	return err
}

// version is what the go command recorded in the binary.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
