package conformance_test

import (
	"net/http"
	"testing"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/fastlane"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/proxy"
)

// lane says who reads HTTP/1. HTTP/2 is net/http's beside either.
type lane string

const (
	fast     lane = "fast"
	standard lane = "standard"
)

// inBothLanes runs a test with either reader of HTTP/1, side by side: most of a test is waiting.
func inBothLanes(t *testing.T, check func(*testing.T, lane)) {
	for _, l := range []lane{fast, standard} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			check(t, l)
		})
	}
}

// inEachLane does so one after the other, for what looks at the process itself.
func inEachLane(t *testing.T, check func(*testing.T, lane)) {
	for _, l := range []lane{fast, standard} {
		t.Run(string(l), func(t *testing.T) { check(t, l) })
	}
}

// of are the lanes of a data port: the one of HTTP/1 and the one of HTTP/2.
func (l lane) of(g *gate.Gate, c rigConfig) (http1, http2 dataport.Lane) {
	p := proxy.New(g, proxy.Config{HTTP1: l == standard, HeadTimeout: c.headTimeout, HeadMax: c.headMax, ErrorLog: c.errorLog})
	if l == standard {
		return p, p
	}
	return fastlane.New(g, fastlane.Config{HeadTimeout: c.headTimeout, HeadMax: c.headMax}), p
}

// bothWays is a service as each lane reaches it.
type bothWays struct {
	standard *proxy.Upstream
	fast     *fastlane.Upstream
}

func (b bothWays) Standard() *proxy.Upstream { return b.standard }
func (b bothWays) Fast() *fastlane.Upstream  { return b.fast }

// ways are those to the rig's service: HTTP/2's requests go as HTTP/1's do.
func (r *rig) ways() bothWays {
	r.t.Helper()
	var b bothWays
	var err error
	if b.fast, err = fastlane.NewUpstream(r.config.upstream); err != nil {
		r.t.Fatal(err)
	}
	var over http.RoundTripper = b.fast
	if r.lane == standard {
		over = nil
	}
	if b.standard, err = proxy.NewUpstream(r.config.upstream, over); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(b.standard.Close)
	r.t.Cleanup(b.fast.Close)
	return b
}
