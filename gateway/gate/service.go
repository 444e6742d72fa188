package gate

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Explain says how much a refusal tells the caller.
type Explain uint8

const (
	ExplainScopes Explain = iota // scope= of RFC 6750 and the members of RFC 9457
	ExplainNone                  // the bare body and challenge
)

// InFlight counts the requests of one service between admission and end.
type InFlight = atomic.Int64

// Service is one protected service: its policy and how its requests travel.
// It must not be changed once it is part of a snapshot.
type Service struct {
	Policy *policy.Policy
	// Hosts are lower-case names without port; "*.example.com" stands for one
	// or more labels before example.com. None: any host.
	Hosts        []string
	Accept       token.Acceptance
	Explain      Explain
	ForwardToken bool
	HideRoutes   bool
	// ClaimHeaders are the extra identity fields, in the order of the file.
	ClaimHeaders []ClaimHeader
	// KeepHeaders are field names that go on although the gate removes them
	// from other services' requests.
	KeepHeaders []string
	// UpstreamHost is the Host to send; "" sends the client's.
	UpstreamHost string
	// IdentityMax bounds the identity fields' names and values together, in
	// bytes; 0 means 16 KiB.
	IdentityMax int
	// InFlight counts requests between admission and end. It is shared by the
	// services that follow one another under one name through reloads.
	InFlight *InFlight
	// InFlightMax bounds InFlight; 0 means no bound.
	InFlightMax int64
	// Upstream belongs to the lanes; the gate never looks at it.
	Upstream any

	keep map[string]bool // folded KeepHeaders
}

// ClaimHeader sends a claim of the token to the service. Arrays are sent
// comma-separated, objects and null not at all.
type ClaimHeader struct {
	Claim  string // as in the policy's claims:, dots reach into objects
	Header string // field name
}

// Name is the policy's service name, as it stands in metrics and logs.
func (s *Service) Name() string { return s.Policy.Service() }

func (s *Service) identityMax() int {
	if s.IdentityMax > 0 {
		return s.IdentityMax
	}
	return 16 << 10
}

func (s *Service) enter() bool {
	if s.InFlight == nil {
		return true
	}
	if n := s.InFlight.Add(1); s.InFlightMax > 0 && n > s.InFlightMax {
		s.InFlight.Add(-1)
		return false
	}
	return true
}

func (s *Service) leave() {
	if s.InFlight != nil {
		s.InFlight.Add(-1)
	}
}

// Snapshot is everything that decides: services, their policies and the
// issuers' verifier. It is immutable and published whole.
type Snapshot struct {
	Verifier Verifier

	services []*Service
	exact    map[string]*Service
	wildcard map[string]*Service // by what follows "*."
	any      *Service
	quiet    bool // every service says explain: none; for requests that reach none
	proxies  []netip.Prefix
	claims   map[string]bool // folded claim header names of all services
}

// NewSnapshot indexes services by host. It fails when two services claim the
// same host, or more than one claims any host.
func NewSnapshot(services []*Service, v Verifier, trustedProxies []netip.Prefix) (*Snapshot, error) {
	n := &Snapshot{
		Verifier: v,
		services: services,
		exact:    map[string]*Service{},
		wildcard: map[string]*Service{},
		proxies:  trustedProxies,
		claims:   map[string]bool{},
		quiet:    len(services) > 0,
	}
	for _, s := range services {
		if err := n.index(s); err != nil {
			return nil, err
		}
		s.keep = foldAll(s.KeepHeaders)
		for _, c := range s.ClaimHeaders {
			n.claims[fold(c.Header)] = true
		}
		n.quiet = n.quiet && s.Explain == ExplainNone
	}
	return n, nil
}

func (n *Snapshot) index(s *Service) error {
	if len(s.Hosts) == 0 {
		if n.any != nil {
			return fmt.Errorf("services %q and %q both take any host", n.any.Name(), s.Name())
		}
		n.any = s
	}
	for _, host := range s.Hosts {
		table, key := n.exact, host
		if suffix, ok := strings.CutPrefix(host, "*."); ok {
			table, key = n.wildcard, suffix
		}
		if other := table[key]; other != nil {
			return fmt.Errorf("services %q and %q both take the host %q", other.Name(), s.Name(), host)
		}
		table[key] = s
	}
	return nil
}

// Services returns the services in the order in which they were given.
func (n *Snapshot) Services() []*Service { return n.services }

// Service returns the service for a canonical host: an exact entry beats the
// longest wildcard, which beats the one for any host; nil if there is none.
func (n *Snapshot) Service(host string) *Service {
	name := policy.HostName(host)
	if s := n.exact[name]; s != nil {
		return s
	}
	if len(n.wildcard) > 0 {
		for i := strings.IndexByte(name, '.'); i >= 0; {
			if s := n.wildcard[name[i+1:]]; s != nil {
				return s
			}
			next := strings.IndexByte(name[i+1:], '.')
			if next < 0 {
				break
			}
			i += 1 + next
		}
	}
	return n.any
}

// trusts reports whether a is one of the proxies whose forwarding fields are
// believed.
func (n *Snapshot) trusts(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap()
	for _, p := range n.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
