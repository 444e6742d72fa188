package sidecar

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// resolver makes a Config of what was written: defaults filled in, types parsed, files read,
// and the rules checked that span several keys. Like the decoder, it goes on after a fault.
type resolver struct {
	*decoder
	files  *fileSet
	config string          // path of gateway.yaml
	aside  policy.Findings // about candidates
}

func (r *resolver) resolve(raw *rawConfig) *Config {
	c := &Config{
		Listen:       r.address(raw.listen, defaultListen),
		Admin:        r.address(raw.admin, DefaultAdmin),
		TokenCache:   raw.tokenCache.or(defaultTokenCache),
		DrainDelay:   raw.drainDelay.or(defaultDrainDelay),
		DrainTimeout: raw.drainTimeout.or(defaultDrainTimeout),
		ReadyAny:     raw.ready.or("all") == "any",
		Log:          Log{raw.logFormat.or("auto"), raw.sampleAllowed.or(1)},
		Pprof:        raw.pprof.or(false),
		HoldWidening: raw.widening.or("log") == "hold",
		Limits: Limits{
			Connections: raw.connections.or(defaultListenerConnections()),
			PerAddress:  raw.perAddress.or(defaultPerAddress),
		},
		TrustedProxies: r.prefixes(raw.trustedProxies.v),
		TLS:            r.listenerTLS(&raw.tls),
	}
	if raw.takeover.set {
		c.Takeover = relative(r.config, raw.takeover.v)
	}
	for i := range raw.issuers {
		c.Issuers = append(c.Issuers, r.issuer(&raw.issuers[i]))
	}
	if len(raw.services) == 0 && (raw.servicesAt == nil || raw.servicesAt.Kind == yaml.SequenceNode) {
		r.fault(idMissing, raw.servicesAt, "services: must name at least one service", "a service has a policy and an upstream")
	}
	for i := range raw.services {
		s := &raw.services[i]
		if !s.hideRoutes.set {
			s.hideRoutes = raw.hideRoutes
		}
		if !s.identityMax.set {
			s.identityMax = raw.identityMax
		}
		c.Services = append(c.Services, r.service(s))
	}
	c.ExplainKey = r.explainKey(raw)
	r.acrossIssuers(raw)
	r.acrossServices(raw, c)
	return c
}

// missing reports a key that is not there; one that is there and wrong has its fault already.
func (r *resolver) missing(at *yaml.Node, key, hint string) {
	if at.Kind == yaml.MappingNode && child(at, key) == nil {
		r.fault(idMissing, at, key+" is missing", hint)
	}
}

// defaultListenerConnections leaves a fifth of the process's file handles to upstreams, files
// and the admin port.
func defaultListenerConnections() int { return min(10_000, fileHandles()*4/5) }

func (r *resolver) address(o opt[string], def string) string {
	if !o.set {
		return def
	}
	if path, ok := strings.CutPrefix(o.v, "unix:"); ok {
		if path == "" {
			r.fault(idBadValue, o.node, "unix: names no socket", "write it as unix:/run/gateway.sock")
		}
		return o.v
	}
	_, port, err := net.SplitHostPort(o.v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		r.fault(idBadValue, o.node, fmt.Sprintf("%q is not an address", o.v), "write it as 127.0.0.1:8001, :8001 or unix:/run/gateway.sock")
	}
	return o.v
}

func (r *resolver) prefixes(words []word) []netip.Prefix {
	var out []netip.Prefix
	for _, w := range words {
		if p, err := netip.ParsePrefix(w.text); err == nil {
			if p != p.Masked() {
				r.fault(idBadValue, w.node, fmt.Sprintf("%s has bits beyond its prefix", w.text), "did you mean "+p.Masked().String()+"?")
			}
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(w.text)
		if err != nil || a.Zone() != "" {
			r.fault(idBadValue, w.node, fmt.Sprintf("%q is not an address or a prefix", w.text), "write it as 10.0.0.0/8 or 192.0.2.7")
			continue
		}
		out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
	}
	return out
}

// algorithms may be configured; none and HS* are refused by name.
var algorithms = token.Algorithms()

func (r *resolver) issuer(raw *rawIssuer) token.IssuerConfig {
	c := token.IssuerConfig{
		Issuer:        r.issuerName(raw),
		JWKSURI:       raw.jwksURI.v,
		Skew:          raw.skew.or(defaultSkew),
		ScopeClaim:    raw.scopeClaim.v,
		AllowInsecure: raw.allowInsecure.v,
		Algorithms:    []string{"RS256"},
		Types:         texts(raw.types.v),
		Scopes:        texts(raw.scopes.v),
		AllowClaims:   texts(raw.allowClaims.v),
	}
	if !raw.audience.set {
		r.missing(raw.at, "audience", "write the name of this gateway's services as tokens carry it in aud, or none for tokens without aud")
	} else if a := r.audience(&raw.audience); a != nil {
		c.Audience = *a
	}
	if raw.algorithms.set {
		c.Algorithms = r.algorithms(&raw.algorithms)
	}
	if raw.types.set && len(raw.types.v) == 0 {
		r.fault(idBadValue, raw.types.node, "types must name at least one type", "leave the key out for [at+jwt, JWT, absent]")
	}
	before := len(r.findings)
	for _, w := range raw.scopes.v {
		if stem := strings.TrimSuffix(w.text, ".*"); strings.ContainsAny(stem, "* \t\"\\") {
			r.fault(idBadValue, w.node, fmt.Sprintf("%q is not a scope or a prefix", w.text), "write it as example_service.* or as one whole scope")
		}
	}
	r.jwksOf(raw, &c)
	r.insecure(raw, &c)
	if !r.findings[before:].HasErrors() && complete(&c) {
		// What is left can only be seen by the verifier: keys that do not parse, names of claims.
		if _, err := token.New(token.Config{Issuers: []token.IssuerConfig{c}}, nil); err != nil {
			r.fault(idKeys, raw.at, err.Error(), "")
		}
	}
	return c
}

func (r *resolver) issuerName(raw *rawIssuer) string {
	if !raw.issuer.set {
		r.missing(raw.at, "issuer", "write it exactly as tokens carry it in iss")
		return ""
	}
	u, err := url.Parse(raw.issuer.v)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		r.fault(idBadValue, raw.issuer.node, fmt.Sprintf("%q is not an issuer", raw.issuer.v), "an issuer is an http or https URL without query and fragment (RFC 8414 section 2)")
	}
	return raw.issuer.v
}

// audience reads a name, a list of names, or the words none and any.
func (r *resolver) audience(o *opt[[]word]) *token.Audience {
	if len(o.v) == 0 {
		if o.node.Kind == yaml.SequenceNode && len(o.node.Content) == 0 {
			r.fault(idBadValue, o.node, "audience must name at least one audience", "none accepts only tokens without aud")
		}
		return nil
	}
	if len(o.v) == 1 {
		switch o.v[0].text {
		case "none":
			return &token.Audience{Mode: token.AudienceNone}
		case "any":
			r.warn(idAudienceAny, o.v[0].node, "audience: any takes tokens that were issued for somebody else",
				"name the audience; a service that receives a token could use it here")
			return &token.Audience{Mode: token.AudienceAny}
		}
	}
	for _, w := range o.v {
		if w.text == "none" || w.text == "any" {
			r.fault(idBadValue, w.node, fmt.Sprintf("%q cannot stand beside names", w.text), "write audience: "+w.text+" alone, or names only")
		}
	}
	return &token.Audience{Mode: token.AudienceNames, Names: texts(o.v)}
}

func (r *resolver) algorithms(o *opt[[]word]) []string {
	if len(o.v) == 0 && o.node.Kind == yaml.SequenceNode && len(o.node.Content) == 0 {
		r.fault(idBadValue, o.node, "algorithms must name at least one algorithm", "leave the key out for [RS256]")
	}
	for _, w := range o.v {
		upper := strings.ToUpper(w.text)
		switch {
		case upper == "NONE":
			r.fault(idAlgorithm, w.node, "none is no signature at all", "name the algorithm that the issuer signs with: RS256, ES256, ...")
		case strings.HasPrefix(upper, "HS"):
			r.fault(idAlgorithm, w.node, w.text+" is symmetric: whoever can verify could also sign", "name the algorithm that the issuer signs with: RS256, ES256, ...")
		case !slices.Contains(algorithms, w.text):
			r.fault(idAlgorithm, w.node, fmt.Sprintf("algorithm %q is not known", w.text), meant(w.text, algorithms))
		}
	}
	return texts(o.v)
}

func (r *resolver) jwksOf(raw *rawIssuer, c *token.IssuerConfig) {
	j := &raw.jwks
	c.JWKS = token.JWKSConfig{
		UnknownKidInterval: j.unknownKidInterval.or(token.DefaultUnknownKidInterval),
		MinRefresh:         j.minRefresh.or(token.DefaultMinRefresh),
		MaxRefresh:         j.maxRefresh.or(token.DefaultMaxRefresh),
		MaxStale:           j.maxStale.or(token.DefaultMaxStale),
		Timeout:            j.timeout.or(token.DefaultTimeout),
		MaxBytes:           j.maxBytes.or(token.DefaultMaxBytes),
	}
	if j.file.set {
		c.JWKS.File = relative(r.config, j.file.v)
	}
	if c.JWKS.MinRefresh > c.JWKS.MaxRefresh {
		r.fault(idBadValue, j.at, fmt.Sprintf("min_refresh %s is longer than max_refresh %s", c.JWKS.MinRefresh, c.JWKS.MaxRefresh), "")
	}
	if j.keys != nil && len(j.keys.Content) == 0 {
		r.fault(idBadValue, j.keys, "keys must hold at least one key", "")
	} else if j.keys != nil {
		r.inlineKeys(raw, c)
	}
	if path, ok := strings.CutPrefix(raw.jwksURI.v, "file:"); ok {
		r.keyFile(raw, c, path)
	}
}

func (r *resolver) inlineKeys(raw *rawIssuer, c *token.IssuerConfig) {
	if raw.jwksURI.set {
		r.fault(idBadValue, raw.jwks.keys, "inline keys stand beside jwks_uri", "keep one of the two sources")
		return
	}
	var keys []any
	err := raw.jwks.keys.Decode(&keys)
	if err == nil {
		c.Inline, err = json.Marshal(map[string]any{"keys": keys})
	}
	if err != nil {
		r.fault(idKeys, raw.jwks.keys, "inline keys: "+err.Error(), "")
	}
}

// keyFile reads a JWKS from disk with everything else, so that a change of it is a reload
// like any other.
func (r *resolver) keyFile(raw *rawIssuer, c *token.IssuerConfig, path string) {
	name := relative(r.config, raw.jwksURI.v)
	data, err := r.files.file(name)
	if err != nil {
		r.fault(idKeys, raw.jwksURI.node, fmt.Sprintf("keys in %s: %s", path, err), "")
		return
	}
	c.JWKSURI, c.Inline = "", data
}

// insecure refuses keys that anybody on the way could replace.
func (r *resolver) insecure(raw *rawIssuer, c *token.IssuerConfig) {
	if raw.allowInsecure.v {
		r.warn(idAllowInsecure, raw.allowInsecure.node, "allow_insecure lets anybody on the way to the issuer replace its keys", "use https")
	}
	where, at := c.JWKSURI, raw.jwksURI.node
	if where == "" {
		where, at = c.Issuer, raw.issuer.node // discovery asks the issuer itself
	}
	if c.Inline != nil || where == "" || strings.HasPrefix(where, "file:") {
		return
	}
	u, err := url.Parse(where)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil:
		if raw.jwksURI.set {
			r.fault(idBadValue, at, fmt.Sprintf("%q is not a place for keys", where), "write an https URL, an http URL on loopback, or file:keys.json")
		}
	case u.Scheme == "http" && !loopbackName(u.Hostname()) && !c.AllowInsecure:
		r.fault(idInsecure, at, "keys would come over plain http from "+u.Host, "use https; allow_insecure: true takes the risk")
	}
}

// complete tells a configuration whose own faults have all been reported already.
func complete(c *token.IssuerConfig) bool {
	if c.Issuer == "" || c.Audience.Mode == 0 {
		return false
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(algorithms, a) {
			return false
		}
	}
	return true
}

func loopbackName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func texts(words []word) []string {
	if len(words) == 0 {
		return nil
	}
	out := make([]string, 0, len(words))
	for _, w := range words {
		out = append(out, w.text)
	}
	return out
}
