// Package conformance holds what both lanes and every protocol have to show in
// the same way. It is made of tests only: a claim stands once, and runs over
// HTTP/1.1 as the fast lane reads it, over HTTP/1.1 as net/http reads it (in
// clear text, over TLS and over a unix socket), over h2, h2c and gRPC, and in
// front of services that are reached by http, unix, h2c and https.
//
// A difference between the lanes is data beside the claim, with the section of
// the RFC that allows it; what is not written there is a failure. Package
// sidecar's TestLanesRecordTheSame does this for the decision log and the metrics.
package conformance
