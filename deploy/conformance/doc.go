// Package conformance holds the gateway against clients and servers that others wrote: h2spec,
// gRPC's interop programs, curl, Node, Chromium and uvicorn. Each runs as a process of its own
// and speaks to a whole gateway over real sockets. Beside them stand documents that others wrote:
// OASIS's schema of SARIF, and public OpenAPI documents of several hundred operations.
//
// It has no code of its own. What a lane must do in detail stands in that lane's tests; here
// stands what nobody of ours may interpret.
package conformance
