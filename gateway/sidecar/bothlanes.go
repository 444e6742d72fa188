package sidecar

import (
	"github.com/scopegate/scopegate/gateway/fastlane"
	"github.com/scopegate/scopegate/gateway/proxy"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// bothLanes is a service as each lane reaches it. Each takes its own out of [gate.Service].
type bothLanes struct {
	standard *proxy.Upstream
	fast     *fastlane.Upstream
}

func newBothLanes(cfg upstream.Config) (*bothLanes, error) {
	standard, err := proxy.NewUpstream(cfg)
	if err != nil {
		return nil, err
	}
	fast, err := fastlane.NewUpstream(cfg)
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
