package sidecar

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

func (r *resolver) service(raw *rawService) Service {
	s := Service{
		Policy:       r.policy(raw),
		Hosts:        r.hosts(raw),
		Issuers:      texts(raw.issuers.v),
		Upstream:     r.upstream(raw),
		Explain:      explainOf(raw),
		HideRoutes:   raw.hideRoutes.v,
		IdentityMax:  raw.identityMax.or(defaultIdentityMax),
		ForwardToken: raw.forwardToken.v,
		KeepHeaders:  texts(raw.keepHeaders.v),
		Limits: ServiceLimits{
			Head:        raw.limits.head.or(defaultHead),
			Body:        raw.limits.body.or(defaultBody),
			Connections: raw.limits.connections.or(defaultConnections),
			InFlight:    raw.limits.inFlight.or(defaultInFlight),
		},
		Timeouts: Timeouts{
			Head:       raw.timeouts.head.or(defaultTimeouts.Head),
			BodyIdle:   raw.timeouts.bodyIdle.or(defaultTimeouts.BodyIdle),
			Upstream:   raw.timeouts.upstream.or(defaultTimeouts.Upstream),
			Idle:       raw.timeouts.idle.or(defaultTimeouts.Idle),
			WriteIdle:  raw.timeouts.writeIdle.or(defaultTimeouts.WriteIdle),
			TunnelIdle: raw.timeouts.tunnelIdle.or(defaultTimeouts.TunnelIdle),
			TunnelMax:  raw.timeouts.tunnelMax.or(defaultTimeouts.TunnelMax),
		},
	}
	if raw.policy.set {
		s.PolicyFile = relative(r.config, raw.policy.v)
		s.PolicyText, _ = r.files.file(s.PolicyFile) // read before, by policy
	}
	if raw.audience.set {
		s.Audience = r.audience(&raw.audience)
	}
	if raw.issuers.set && len(raw.issuers.v) == 0 && raw.issuers.node.Kind == yaml.SequenceNode && len(raw.issuers.node.Content) == 0 {
		r.fault(idBadValue, raw.issuers.node, "issuers must name at least one issuer", "leave the key out where only one is configured")
	}
	s.UpstreamHost = r.upstreamHost(raw, s.Upstream)
	s.ClaimHeaders = r.claimHeaders(raw)
	r.keepHeaders(raw)
	s.CORS = r.cors(raw, s.Policy)
	return s
}

func explainOf(raw *rawService) gate.Explain {
	return map[string]gate.Explain{"none": gate.ExplainNone, "sealed": gate.ExplainSealed}[raw.explain.v]
}

// policy loads the service's policy; its findings go into the same list.
func (r *resolver) policy(raw *rawService) *policy.Policy {
	if !raw.policy.set {
		r.missing(raw.at, "policy", "write the policy's path, relative to this file")
		return nil
	}
	name := relative(r.config, raw.policy.v)
	text, err := r.files.file(name)
	if err != nil {
		r.fault(idUnreadable, raw.policy.node, fmt.Sprintf("policy %s: %s", name, err), "")
		return nil
	}
	p, findings := policy.Load(name, text)
	for _, f := range findings {
		if !slices.Contains(r.findings, f) { // one policy may serve two services
			r.findings = append(r.findings, f)
		}
	}
	return p
}

// hosts brings the entries to the form in which the gate compares them.
func (r *resolver) hosts(raw *rawService) []string {
	out := []string{}
	for _, w := range raw.hosts.v {
		h, ok := canonicalHost(w.text)
		if !ok {
			hint := "write a host name, an IP address, or *.example.com"
			if _, _, err := net.SplitHostPort(w.text); err == nil {
				hint = "hosts are compared without their port; leave it out"
			}
			r.fault(idBadValue, w.node, fmt.Sprintf("%q is not a host", w.text), hint)
			continue
		}
		out = append(out, h)
	}
	return out
}

// canonicalHost gives a host entry the spelling of [policy.HostName].
func canonicalHost(s string) (string, bool) {
	name, wildcard := strings.CutPrefix(s, "*.")
	if a, err := netip.ParseAddr(name); err == nil && a.Is6() {
		name = "[" + name + "]"
	}
	h, ok := policy.CanonicalHost(name)
	if !ok || policy.HostName(h) != h {
		return "", false
	}
	if wildcard {
		return "*." + h, h[0] != '['
	}
	return h, true
}

func (r *resolver) upstream(raw *rawService) Upstream {
	if !raw.upstream.set {
		r.missing(raw.at, "upstream", "write where the service listens: http://127.0.0.1:8002")
		return Upstream{}
	}
	up, problem := parseUpstream(raw.upstream.v)
	if problem != "" {
		r.fault(idUpstream, raw.upstream.node, fmt.Sprintf("upstream %q %s", raw.upstream.v, problem),
			"write http://127.0.0.1:8002, https://…, h2c://… or unix:/run/service.sock")
		return up
	}
	if raw.upstreamTLS.at != nil && up.Scheme != "https" {
		r.fault(idUpstream, raw.upstreamTLS.at, "upstream_tls stands beside an upstream that does not use TLS", "write the upstream as https://…")
	}
	up.TLS = r.clientTLS(&raw.upstreamTLS)
	if up.Scheme != "unix" && !loopbackName(up.hostname()) && up.TLS.Cert == "" {
		r.warn(idExposed, raw.upstream.node, fmt.Sprintf("upstream %s is neither on loopback, nor a unix socket, nor behind mutual TLS", up.Address),
			"whoever reaches the service directly can write the identity headers that it trusts")
	}
	return up
}

func (u *Upstream) hostname() string {
	host, _, err := net.SplitHostPort(u.Address)
	if err != nil {
		return u.Address
	}
	return host
}

// parseUpstream splits an upstream; problem says what is wrong with it, "" if nothing.
func parseUpstream(s string) (up Upstream, problem string) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return up, "names no socket"
		}
		return Upstream{Scheme: "unix", Address: path, Host: "localhost"}, ""
	}
	u, err := url.Parse(s)
	if err != nil {
		return up, "is not a URL"
	}
	ports := map[string]string{"http": "80", "h2c": "80", "https": "443"}
	port, known := ports[u.Scheme]
	switch {
	case !known:
		return up, "has an unknown scheme"
	case u.Hostname() == "":
		return up, "names no host"
	case u.User != nil:
		return up, "holds a user name"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return up, "holds a path or query; the path that was judged is the one that is sent"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return up, "has a port that cannot be"
		}
		port = p
	}
	if _, ok := canonicalHost(u.Hostname()); !ok {
		return up, "names a host that cannot be"
	}
	return Upstream{Scheme: u.Scheme, Address: net.JoinHostPort(u.Hostname(), port), Host: hostOf(u)}, ""
}

func hostOf(u *url.URL) string {
	h, _ := policy.CanonicalHost(u.Host)
	return h
}

var sentHost = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$`)

// upstreamHost resolves upstream_host: client, upstream, or a name.
func (r *resolver) upstreamHost(raw *rawService, up Upstream) string {
	switch v := raw.upstreamHost.or("client"); v {
	case "client":
		return ""
	case "upstream":
		return up.Host
	default:
		if !sentHost.MatchString(v) {
			r.fault(idBadValue, raw.upstreamHost.node, fmt.Sprintf("%q is not a host", v), "write client, upstream, or a host name with an optional port")
		}
		return v
	}
}

// fieldName is a token of RFC 9110 section 5.6.2.
var fieldName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (r *resolver) claimHeaders(raw *rawService) []gate.ClaimHeader {
	var out []gate.ClaimHeader
	seen := map[string]word{}
	for _, h := range raw.claimHeaders {
		name := gate.Fold(h.header.text)
		switch first, twice := seen[name]; {
		case !fieldName.MatchString(h.header.text):
			r.fault(idHeader, h.header.node, fmt.Sprintf("%q is not a header name", h.header.text), "")
		case !gate.MayCarryClaim(h.header.text):
			r.fault(idHeader, h.header.node, fmt.Sprintf("header %s cannot carry a claim", h.header.text), "its meaning is taken; choose a name like X-Tenant")
		case twice:
			r.fault(idHeader, h.header.node, fmt.Sprintf("header %s and %s are the same to a service that folds names", h.header.text, first.text), "")
		default:
			seen[name] = h.header
			out = append(out, gate.ClaimHeader{Header: h.header.text, Claim: h.claim.text})
		}
	}
	return out
}

func (r *resolver) keepHeaders(raw *rawService) {
	for _, w := range raw.keepHeaders.v {
		switch {
		case !fieldName.MatchString(w.text):
			r.fault(idHeader, w.node, fmt.Sprintf("%q is not a header name", w.text), "")
		case !gate.MayKeep(w.text):
			r.fault(idHeader, w.node, fmt.Sprintf("header %s cannot be kept", w.text), "identity, framing, Host, Authorization and Cookie are the gateway's business")
		default:
			r.warn(idKeepHeaders, w.node, fmt.Sprintf("a client's %s goes on to the service", w.text), "make sure that the service does not trust it")
		}
	}
}
