package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// The exit codes of every command.
const (
	exitDone   = 0 // done, cleanly drained, allowed, healthy
	exitFailed = 1 // a check or the run failed, denied, unhealthy
	exitUsage  = 2 // bad usage, a file that cannot be read, an invalid config
)

// commands is the table of subcommands. Each stands in a file of its name and has one method,
// Run(*app) error. Without a verb the gateway serves.
type commands struct {
	Serve    serveCmd    `cmd:"" default:"withargs" help:"Serve the configured services; the default without a verb."`
	Validate validateCmd `cmd:"" help:"Check policies and gateway.yaml files for faults."`
	Test     testCmd     `cmd:"" help:"Ask policies what their personas expect, and show what those do not cover."`
	Explain  explainCmd  `cmd:"" help:"Show how a policy decides about one request, and why."`
	Can      canCmd      `cmd:"" help:"Show everything that a token may do."`
	Who      whoCmd      `cmd:"" help:"Show the smallest sets of scopes that may make a request."`
	Diff     diffCmd     `cmd:"" help:"Show who may do what under a new policy that they could not under an old one, and the reverse."`
	Probe    probeCmd    `cmd:"" help:"Ask a running service how it reads paths, and whether that leaves the policy open."`
	Learn    learnCmd    `cmd:"" help:"Draft a policy from recorded requests that were allowed."`
	Replay   replayCmd   `cmd:"" help:"Ask a candidate policy what it would have said to recorded requests."`
	Routes   routesCmd   `cmd:"" help:"Show a policy as a table of paths, methods and what they need."`
	OpenAPI  openapiCmd  `cmd:"" name:"openapi" help:"Draft a policy from an OpenAPI document, or show where the two disagree."`
	Fmt      fmtCmd      `cmd:"" help:"Give policies and test files their canonical layout; comments stay."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON schema of a kind of file, for editors."`
	Complete completeCmd `cmd:"" name:"completion" help:"Print a script by which bash, zsh or fish completes command lines."`
	Health   healthCmd   `cmd:"" help:"Ask a running gateway whether it is ready; for container health checks."`
	Version  versionCmd  `cmd:"" help:"Show the version."`
}

// app is what a command gets from its surroundings.
type app struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	given          map[string]string // flags that were given, by long name
}

func main() {
	a := &app{ctx: context.Background(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	os.Exit(a.run(os.Args[1:]))
}

// run runs one command line and returns its exit code.
func (a *app) run(args []string) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case helpShown:
			code = int(r)
		default:
			panic(r)
		}
	}()
	parser, err := a.parser()
	if err != nil {
		return a.report(err)
	}
	line, err := parser.Parse(args)
	if err != nil {
		return a.report(&failure{code: exitUsage, text: err.Error(), hint: "gateway --help lists the commands, gateway COMMAND --help their flags"})
	}
	a.given = map[string]string{}
	for _, flag := range line.Flags() {
		if flag.Set && flag.Target.IsValid() && flag.Target.CanInterface() {
			if value, ok := flag.Target.Interface().(string); ok {
				a.given[flag.Name] = value
			}
		}
	}
	return a.report(line.Run(a))
}

// helpShown leaves the parser after it printed help: it knows no other way than to exit.
type helpShown int

func (a *app) parser() (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("gateway"),
		kong.Description("Scopegate's gateway: lets through what a policy allows, and nothing else."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { panic(helpShown(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}

// failure is why a command ends with a code other than exitDone. An empty text means that the
// command has said everything on standard output.
type failure struct {
	code       int
	text, hint string
}

func (f *failure) Error() string { return f.text }

// fail ends a command with a text for standard error.
func fail(code int, text, hint string) error { return &failure{code, text, hint} }

// quietly ends a command that has already said everything.
func quietly(code int) error {
	if code == exitDone {
		return nil
	}
	return &failure{code: code}
}

// report writes an error where errors go and gives the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: exitFailed, text: err.Error()}
	}
	if f.text != "" {
		a.errorf("gateway: %s\n", f.text)
	}
	if f.hint != "" {
		a.errorf("hint: %s\n", f.hint)
	}
	return f.code
}
