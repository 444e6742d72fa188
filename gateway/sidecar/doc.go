// Package sidecar is the gateway's process as a value: [LoadConfig] reads gateway.yaml and all
// that it names, [New] builds a [Sidecar] of it, and [Sidecar.Serve] answers on two listeners
// until it is told to stop, then drains.
//
// It owns: the configuration and its errors, reloading, certificates of the data port, the
// admin port, readiness, metrics and the log. It wires the gate, the lanes and the verifier
// together and publishes them as one snapshot.
//
// It does not own: what a policy means (package policy), which token is good (package
// token), the order of a request's questions and its answers (package gate), and how bytes
// travel (package proxy). Signals and exit codes belong to main.
package sidecar
