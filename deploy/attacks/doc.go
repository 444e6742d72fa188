// Package attacks holds published attacks on gateways, run against a gateway process over
// real sockets, with a service behind it that records every byte that it was sent.
//
// The attacks are data: testdata/README.md says how to add one without reading any Go. Each
// names where it comes from and what must not happen. What the service received is judged here,
// by a reader of its own that knows nothing of the gateway's packages: every reading that some
// server is known to give a path is held against the policy, and every way in which some server is
// known to split a connection into requests against what the gateway judged.
//
// The package owns no behaviour. A fault that it finds gets its narrow test in the package that
// is at fault.
package attacks
