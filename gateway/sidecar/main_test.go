package sidecar_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets more tests wait for their drains at once than there are cores, and holds the
// package to "no goroutine without an owner that waits for it".
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "12") // a flag of the command line is read later, and wins
	// The clients' idle connections belong to http.DefaultTransport.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}
