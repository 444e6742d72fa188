package gate

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Snapshot is everything that decides: services, their policies and the
// issuers' verifier. It is immutable and published whole.
type Snapshot struct {
	verifier Verifier
	services []*Service
	exact    map[string]*Service
	wildcard map[string]*Service // by what follows "*."
	any      *Service
	explain  Explain // the most that any service tells; for requests that reach none
	proxies  []netip.Prefix
	claims   map[string]bool // folded claim header names of all services
}

// NewSnapshot indexes services by host. It fails when two services claim the
// same host, or more than one claims any host, or when a service's CORS cannot
// be.
func NewSnapshot(services []*Service, v Verifier, trustedProxies []netip.Prefix) (*Snapshot, error) {
	n := &Snapshot{
		verifier: v,
		services: services,
		exact:    map[string]*Service{},
		wildcard: map[string]*Service{},
		proxies:  trustedProxies,
		claims:   map[string]bool{},
	}
	if len(services) > 0 {
		n.explain = ExplainNone
	}
	for _, s := range services {
		if err := n.index(s); err != nil {
			return nil, err
		}
		var err error
		if s.pages, err = s.CORS.compile(); err != nil {
			return nil, fmt.Errorf("service %q: cors: %w", s.Name(), err)
		}
		if s.document, err = s.Metadata.compile(s.Policy); err != nil {
			return nil, fmt.Errorf("service %q: resource_metadata: %w", s.Name(), err)
		}
		s.keep = foldAll(s.KeepHeaders)
		s.claims = topLevel(s.ClaimNames())
		for _, c := range s.ClaimHeaders {
			n.claims[Fold(c.Header)] = true
		}
		n.explain = min(n.explain, s.Explain)
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
