// Command authserver issues the access tokens that a gateway checks:
// organizations, users, roles and permissions become scopes.
//
// Exit codes: 0 done or cleanly drained, 1 the run failed, 2 bad usage, an
// invalid configuration, or a store or key that does not open.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/scopegate/scopegate/authserver/server"
)

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// The first signal drains; after it the default is back, so that a second
	// one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// program is what commands are given beside their own flags.
type program struct {
	ctx    context.Context // of one command line; a command has no other way to it
	env    func(string) (string, bool)
	stdout io.Writer
	stderr io.Writer
	flags  *settings
}

// usageError is a failure that needs a person, not a retry.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// run is the whole program without the process around it.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	var line commandLine
	exited, code := false, exitDone
	parser, err := kong.New(&line,
		kong.Name("authserver"),
		kong.Description("Issues the access tokens that a gateway checks."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { exited, code = true, c }),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(stderr, "authserver:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if exited { // --help
		return code
	}
	if err != nil {
		fmt.Fprintln(stderr, "authserver:", err)
		return exitUsage
	}
	err = parsed.Run(&program{ctx: ctx, env: env, stdout: stdout, stderr: stderr, flags: &line.settings})
	return exitCode(err, stderr)
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(stderr, "authserver:", err)
	var usage *usageError
	var config *server.ConfigError
	if errors.As(err, &usage) || errors.As(err, &config) {
		return exitUsage
	}
	return exitFailed
}
