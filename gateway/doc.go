// Command gateway enforces scopes in front of a service.
//
// This package is the command line and nothing else: it reads arguments and files, calls the
// packages below it, and turns what they say into text or JSON and an exit code. Data goes to
// standard output, everything about a command that could not do its work to standard error.
// What a policy means is the business of package policy, and serving is that of sidecar.
package main
