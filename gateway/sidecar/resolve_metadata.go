package sidecar

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

// metadata resolves a service's resource_metadata (RFC 9728); nil without it.
func (r *resolver) metadata(raw *rawService, c *Config, s *Service) *gate.Metadata {
	o := &raw.metadata
	if o.at == nil {
		return nil
	}
	if !o.resource.set {
		r.missing(o.at, "resource", "write the URL at which callers know the service, such as https://api.example.com")
		return nil
	}
	m := &gate.Metadata{Resource: o.resource.v, Name: o.name.v, Issuers: s.Issuers}
	if s.Policy != nil && s.Policy.NeedsTokens() && m.Issuers == nil {
		for _, i := range c.Issuers {
			m.Issuers = append(m.Issuers, i.Issuer)
		}
	}
	path, err := m.Path()
	u, _ := url.Parse(m.Resource)
	switch {
	case err != nil:
		r.fault(idBadValue, o.resource.node, fmt.Sprintf("resource %q %s", m.Resource, err), "write it as clients compare it, like https://api.example.com/billing (RFC 9728 section 1.2)")
		return nil
	case u.Scheme != "https" && !loopbackName(u.Hostname()):
		r.fault(idBadValue, o.resource.node, fmt.Sprintf("resource %q is not https", m.Resource), "RFC 9728 wants https beyond loopback")
	}
	r.metadataAndHosts(o, s, u)
	r.metadataAndPolicy(o, s, path)
	return m
}

// metadataAndHosts warns of a document that nobody finds.
func (r *resolver) metadataAndHosts(o *rawMetadata, s *Service, u *url.URL) {
	host, ok := policy.CanonicalHost(u.Host)
	if !ok || len(s.Hosts) == 0 {
		return
	}
	n, err := gate.NewSnapshot([]*gate.Service{{Policy: s.Policy, Hosts: s.Hosts}}, nil, nil)
	if s.Policy != nil && err == nil && n.Service(host) == nil {
		r.warn(idMetadata, o.resource.node, fmt.Sprintf("clients ask for the metadata at %s, which is not one of the service's hosts", u.Host), "add it to hosts, unless a proxy in front changes Host")
	}
}

// metadataAndPolicy warns of a rule for the document's path: the gateway answers there itself.
func (r *resolver) metadataAndPolicy(o *rawMetadata, s *Service, path string) {
	if s.Policy == nil {
		return
	}
	req, err := policy.NewRequest(&policy.Received{Method: http.MethodGet, Target: path, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		return
	}
	if m := s.Policy.Match(&req); m.Route != nil && strings.HasPrefix(m.Route.Template(), "/.well-known") {
		r.warn(idMetadata, o.at, fmt.Sprintf("the rule at %s:%d sees no request for %s: the gateway answers them", m.Route.File(), m.Route.Line(), path),
			"remove the rule, or resource_metadata if the service answers there itself")
	}
}
