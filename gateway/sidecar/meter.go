package sidecar

import (
	"sync/atomic"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

// meter is what the recorder keeps with a service that is served ([gate.Service.Meter]), so
// that a request finds its series by the address of its route. It goes with the service when a
// reload replaces it; the series stay.
type meter struct {
	routes map[*policy.Route]*slot
	none   slot     // for requests to no route
	claims []string // that the policy or its candidate reads, sorted
}

// slot is where a route's series are, once it has had a request.
type slot struct {
	place
	counts atomic.Pointer[routeCounts]
}

func newMeter(s *gate.Service) *meter {
	m := &meter{routes: map[*policy.Route]*slot{}, claims: s.ClaimNames()}
	m.none.place = place{s.Name(), unmatched}
	slots := map[string]*slot{} // a route of both policies has one
	for _, p := range policiesOf(s) {
		for _, route := range p.Routes() {
			at := slots[route.Template()]
			if at == nil {
				at = &slot{place: place{s.Name(), route.Template()}}
				slots[route.Template()] = at
			}
			m.routes[route] = at
		}
	}
	return m
}

// policiesOf are the policy that is served and its candidate, if there is one.
func policiesOf(s *gate.Service) []*policy.Policy {
	if s.Candidate == nil {
		return []*policy.Policy{s.Policy}
	}
	return []*policy.Policy{s.Policy, s.Candidate}
}

// slotOf finds the place of an exchange; paths never become one.
func (r *recorder) slotOf(x *gate.Exchange) *slot {
	s := x.Service()
	if s == nil {
		return &r.nowhere
	}
	return s.Meter.(*meter).slot(x.Match().Route)
}

func (m *meter) slot(route *policy.Route) *slot {
	if at := m.routes[route]; at != nil {
		return at
	}
	return &m.none
}

// in returns the slot's series.
func (s *slot) in(t *traffic) *routeCounts {
	c := s.counts.Load()
	if c == nil {
		c = t.at(s.place)
		s.counts.Store(c)
	}
	return c
}

// places are those that a state serves.
func (n *state) places() map[place]bool {
	all := map[place]bool{{unmatched, unmatched}: true}
	for _, s := range n.snapshot.Services() {
		all[place{s.Name(), unmatched}] = true
		for _, p := range policiesOf(s) {
			for _, route := range p.Routes() {
				all[place{s.Name(), route.Template()}] = true
			}
		}
	}
	return all
}

// standardMethods stand for themselves under ANY.
var standardMethods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

// methodLabel is the method if the service's policy names it, also where it answers 404 or 405.
// An override that a path accepts is the method that was judged, a preflight is an OPTIONS.
// Methods of nobody are other: they are the clients' choice.
func methodLabel(x *gate.Exchange) string {
	s, m := x.Service(), x.Method()
	if s == nil {
		return other
	}
	rule := x.Match().Rule
	if rule != nil && rule.Method() == m || s.Policy.NamesMethod(m) {
		return m
	}
	if rule != nil && rule.Method() == "ANY" && standardMethods[m] || isPreflight(x) {
		return m
	}
	return other
}
