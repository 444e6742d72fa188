package sidecar

import (
	"net/http"

	"github.com/scopegate/scopegate/gateway/fastlane"
	"github.com/scopegate/scopegate/gateway/proxy"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// bothLanes is a service as each lane reaches it. Each takes its own out of [gate.Service].
type bothLanes struct {
	standard *proxy.Upstream
	fast     *fastlane.Upstream
}

// newBothLanes makes the ways to a service. HTTP/2's requests go over the fast lane's connections
// too, unless net/http is asked to read all and so to write all.
func newBothLanes(cfg upstream.Config, onlyStandard bool) (*bothLanes, error) {
	fast, err := fastlane.NewUpstream(cfg)
	if err != nil {
		return nil, err
	}
	var over http.RoundTripper = fast
	if onlyStandard {
		over = nil
	}
	standard, err := proxy.NewUpstream(cfg, over)
	if err != nil {
		return nil, err
	}
	return &bothLanes{standard, fast}, nil
}

// Standard is the way of the lane on net/http.
func (b *bothLanes) Standard() *proxy.Upstream { return b.standard }

// Fast is the way of the fast lane.
func (b *bothLanes) Fast() *fastlane.Upstream { return b.fast }

// Close drops the idle connections of both.
func (b *bothLanes) Close() {
	b.standard.Close()
	b.fast.Close()
}
