// Package ledger is the example service: a small billing API that answers everybody who
// reaches it.
//
// It owns the answers of /billing/, /billing/whoami and /healthz, its own health and
// metrics, and its draining. It knows nothing of tokens, scopes or policies; the gateway
// in front of it decides who may reach it, which is why it listens on loopback only.
//
// The process is a value: New wires it, DataHandler and AdminHandler serve tests, and
// Serve runs it on two listeners that the caller opened.
package ledger
