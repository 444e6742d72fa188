package sidecar

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// acrossIssuers checks what only all issuers together can get wrong.
func (r *resolver) acrossIssuers(raw *rawConfig) {
	seen := map[string]*yaml.Node{}
	for i := range raw.issuers {
		o := raw.issuers[i].issuer
		if !o.set {
			continue
		}
		if first := seen[o.v]; first != nil {
			r.fault(idIssuerTwice, o.node, fmt.Sprintf("issuer %s is configured twice", o.v), fmt.Sprintf("the first is in line %d", first.Line))
			continue
		}
		seen[o.v] = o.node
	}
}

// acrossServices checks services against each other and against the issuers.
func (r *resolver) acrossServices(raw *rawConfig, c *Config) {
	r.hostsOnce(raw, c)
	r.claimHeadersKept(raw, c)
	c.Standard = r.standardLane(raw)
	for i := range raw.services {
		c.Services[i].Metadata = r.metadata(&raw.services[i], c, &c.Services[i])
	}
	var known []string
	for _, i := range c.Issuers {
		known = append(known, i.Issuer)
	}
	for i := range raw.services {
		if raw.issuersAt == nil || raw.issuersAt.Kind == yaml.SequenceNode { // else nothing is known of them
			r.issuersOf(&raw.services[i], &c.Services[i], known)
			r.candidate(&raw.services[i], &c.Services[i], known)
		}
	}
}

// hostsOnce: a request for a host must have one service, whatever the order in the file.
func (r *resolver) hostsOnce(raw *rawConfig, c *Config) {
	type place struct {
		node *yaml.Node
		in   int
	}
	seen := map[string]place{}
	claim := func(host string, at *yaml.Node, service int, text string) {
		first, taken := seen[host]
		if !taken {
			seen[host] = place{at, service}
			return
		}
		where := fmt.Sprintf("services %d and %d", first.in+1, service+1)
		if first.in == service {
			where = fmt.Sprintf("service %d twice", service+1)
		}
		r.fault(idHostTwice, at, fmt.Sprintf("%s %s", text, where), fmt.Sprintf("the first stands in line %d", first.node.Line))
	}
	for i := range raw.services {
		s := &raw.services[i]
		if len(s.hosts.v) == 0 && !r.badHosts(s) {
			claim("", s.at, i, "any host is taken by")
		}
		for _, w := range s.hosts.v {
			if h, ok := canonicalHost(w.text); ok {
				claim(h, w.node, i, "host "+h+" is taken by")
			}
		}
	}
}

// standardLane finds the one lane of all services: a connection is read before it is known
// whose request comes over it.
func (r *resolver) standardLane(raw *rawConfig) bool {
	var standard, other *rawService
	for i := range raw.services {
		s := &raw.services[i]
		if s.lane.or("auto") == "standard" {
			standard = cmp.Or(standard, s)
		} else {
			other = cmp.Or(other, s)
		}
	}
	if standard != nil && other != nil {
		r.fault(idLanes, standard.lane.node, fmt.Sprintf("lane: standard stands here and not for the service in line %d, and both are read from one port", other.at.Line),
			"write lane: standard for every service, or for none")
	}
	return standard != nil
}

// badHosts tells a service whose hosts were written and could not be read; it is not one for
// any host.
func (r *resolver) badHosts(s *rawService) bool {
	return s.hosts.set && len(s.hosts.node.Content) > 0 || !s.hosts.set && child(s.at, "hosts") != nil
}

// claimHeadersKept: a field that carries a claim to one service must never come from a client.
func (r *resolver) claimHeadersKept(raw *rawConfig, c *Config) {
	carried := map[string]string{}
	for _, s := range c.Services {
		for _, h := range s.ClaimHeaders {
			carried[gate.Fold(h.Header)] = h.Header
		}
	}
	for i := range raw.services {
		for _, w := range raw.services[i].keepHeaders.v {
			if h, ok := carried[gate.Fold(w.text)]; ok {
				r.fault(idHeader, w.node, fmt.Sprintf("header %s cannot be kept: claim_headers sends a claim as %s", w.text, h), "")
			}
		}
	}
}

// issuersOf checks the issuers that a service and its policy name.
func (r *resolver) issuersOf(raw *rawService, s *Service, known []string) {
	for _, w := range raw.issuers.v {
		if !slices.Contains(known, w.text) {
			r.fault(idIssuerUnknown, w.node, fmt.Sprintf("issuer %s is not configured", w.text), near(w.text, known))
		}
	}
	if s.Policy != nil {
		r.issuersOfPolicy(raw, s.Policy, known)
	}
}

func (r *resolver) issuersOfPolicy(raw *rawService, p *policy.Policy, known []string) {
	if len(known) > 1 && !raw.issuers.set && p.NeedsTokens() {
		r.fault(idIssuerUnnamed, raw.at, "several issuers are configured and this service does not say whose tokens count",
			"add issuers: with one or more of "+strings.Join(known, ", "))
	}
	if len(known) == 0 && p.NeedsTokens() {
		r.fault(idNoTokens, raw.at, "the policy asks for tokens and no issuer is configured", "add issuers:")
	}
	for _, use := range p.Issuers() {
		at := policy.Finding{ID: idIssuerUnknown, File: use.File, Line: use.Line, Column: use.Column}
		switch {
		case !slices.Contains(known, use.Issuer):
			r.at(at, fmt.Sprintf("issuer %s is not configured in %s", use.Issuer, r.config), near(use.Issuer, known))
		case raw.issuers.set && !slices.Contains(texts(raw.issuers.v), use.Issuer):
			r.at(at, fmt.Sprintf("issuer %s is not one of the service's issuers in %s", use.Issuer, r.config), "")
		}
	}
}

// at reports an error at a place outside of gateway.yaml.
func (r *resolver) at(f policy.Finding, message, hint string) {
	f.Severity, f.Message, f.Hint = policy.SeverityError, message, hint
	r.findings = append(r.findings, f)
}

// near names the issuer that was probably meant.
func near(issuer string, known []string) string {
	for _, k := range known {
		if token.NearlySame(k, issuer) {
			return fmt.Sprintf("did you mean %s? issuers are compared byte for byte", k)
		}
	}
	return meant(issuer, known)
}
