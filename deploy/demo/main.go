// Command demo runs all of Scopegate in one process, over real sockets, and
// tells a newcomer what to type next.
//
//	go run ./deploy/demo
//
// It owns the wiring of the three servers and the words of the walk-through,
// and nothing else: each server is the value that its own command runs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// flags are the demo's own; everything else of the three servers is at its
// default.
type flags struct {
	Auth    string `default:"127.0.0.1:8000" help:"Address of the auth server." placeholder:"HOST:PORT"`
	Gateway string `default:"127.0.0.1:8001" help:"Address of the gateway." placeholder:"HOST:PORT"`
	Billing string `default:"127.0.0.1:8002" help:"Address of billing, the service behind it." placeholder:"HOST:PORT"`

	AuthAdmin    string `default:"127.0.0.1:9000" help:"Admin address of the auth server." placeholder:"HOST:PORT"`
	GatewayAdmin string `default:"127.0.0.1:9001" help:"Admin address of the gateway." placeholder:"HOST:PORT"`
	BillingAdmin string `default:"127.0.0.1:9002" help:"Admin address of billing." placeholder:"HOST:PORT"`

	Data   string `help:"Folder that keeps users and keys; a temporary one if absent." placeholder:"FOLDER"`
	Policy string `default:"config/policies/billing.yaml" help:"The gateway's policy; a change of the file takes effect at once." placeholder:"FILE"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("demo"), kong.Description("The auth server, the gateway and a service behind it, in one process."))
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	if err := run(ctx, f, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
