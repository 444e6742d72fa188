package sidecar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/gateway/policy"
)

// rawConfig is gateway.yaml as it was written: nothing filled in, every value with its place.
// resolve makes a Config of it; nothing else sees this type.
type rawConfig struct {
	version        opt[int]
	listen, admin  opt[string]
	issuers        []rawIssuer
	issuersAt      *yaml.Node
	services       []rawService
	servicesAt     *yaml.Node
	connections    opt[int]
	perAddress     opt[int]
	tls            rawTLS
	trustedProxies opt[[]word]
	tokenCache     opt[int]
	drainDelay     opt[time.Duration]
	drainTimeout   opt[time.Duration]
	ready          opt[string]
	logFormat      opt[string]
	sampleAllowed  opt[int]
	pprof          opt[bool]
	takeover       opt[string]
	explainKey     opt[string]
	widening       opt[string]
	hideRoutes     opt[bool]  // for every service that does not say otherwise
	identityMax    opt[int64] // likewise
}

type rawTLS struct {
	at            *yaml.Node
	cert, key, ca opt[string] // ca is client_ca for a listener, ca for an upstream
	serverName    opt[string]
}

type rawIssuer struct {
	at            *yaml.Node
	issuer        opt[string]
	jwksURI       opt[string]
	audience      opt[[]word]
	algorithms    opt[[]word]
	types         opt[[]word]
	skew          opt[time.Duration]
	scopes        opt[[]word]
	scopeClaim    opt[string]
	allowInsecure opt[bool]
	allowClaims   opt[[]word]
	jwks          rawJWKS
}

type rawJWKS struct {
	at                 *yaml.Node
	unknownKidInterval opt[time.Duration]
	minRefresh         opt[time.Duration]
	maxRefresh         opt[time.Duration]
	maxStale           opt[time.Duration]
	timeout            opt[time.Duration]
	maxBytes           opt[int64]
	file               opt[string]
	keys               *yaml.Node
}

type rawService struct {
	at           *yaml.Node
	policy       opt[string]
	candidate    opt[string]
	upstream     opt[string]
	hosts        opt[[]word]
	issuers      opt[[]word]
	audience     opt[[]word]
	upstreamHost opt[string]
	lane         opt[string]
	explain      opt[string]
	hideRoutes   opt[bool]
	identityMax  opt[int64]
	forwardToken opt[bool]
	claimHeaders []rawHeader
	keepHeaders  opt[[]word]
	cors         rawCORS
	metadata     rawMetadata
	upstreamTLS  rawTLS
	limits       rawLimits
	timeouts     rawTimeouts
}

// rawHeader is one entry of claim_headers: the header's name and the claim that fills it.
type rawHeader struct{ header, claim word }

type rawCORS struct {
	at                       *yaml.Node
	origins, headers, expose opt[[]word]
	credentials              opt[bool]
	maxAge                   opt[time.Duration]
}

type rawMetadata struct {
	at             *yaml.Node // nil: no metadata
	resource, name opt[string]
}

type rawLimits struct {
	head, body            opt[int64]
	connections, inFlight opt[int]
}

type rawTimeouts struct {
	head, bodyIdle, upstream, idle   opt[time.Duration]
	writeIdle, tunnelIdle, tunnelMax opt[time.Duration]
}

const maxConfigBytes = 1 << 20 // a gateway.yaml beyond this is a mistake, or an attack on memory

// parse reads one gateway.yaml. The overrides are put into the tree before it is walked, so
// that a value from a flag is judged by the same code as one from the file.
func parse(file string, src []byte, over []override) (*rawConfig, *decoder) {
	d := newDecoder(file)
	root := d.document(src)
	if root == nil {
		return nil, d
	}
	d.aliases(root)
	if d.findings.HasErrors() {
		return nil, d
	}
	d.override(root, over)
	raw := &rawConfig{}
	d.mapping(root, "the configuration", d.topKeys(raw))
	if !raw.version.set && child(root, "version") == nil {
		d.fault(idMissing, root, "version is missing", "begin the file with: version: 1")
	}
	return raw, d
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// document returns the root mapping of a source that holds exactly one YAML document.
func (d *decoder) document(src []byte) *yaml.Node {
	if len(src) > maxConfigBytes {
		d.fault(idUnreadable, nil, fmt.Sprintf("the file is larger than %d bytes", maxConfigBytes), "")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc, second yaml.Node
	if err := decodeYAML(dec, &doc); err != nil {
		if errors.Is(err, io.EOF) {
			d.fault(idDocuments, nil, "the file is empty", "the smallest file has version, issuers and services")
			return nil
		}
		d.syntax(err)
		return nil
	}
	if err := decodeYAML(dec, &second); !errors.Is(err, io.EOF) {
		if err != nil {
			d.syntax(err)
			return nil
		}
		d.fault(idDocuments, &second, "a second YAML document begins here", "a reader that takes only the first would not see it; keep one")
		return nil
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		d.fault(idWrongType, &doc, "the file must hold a mapping of keys", "")
		return nil
	}
	return doc.Content[0]
}

// decodeYAML turns the decoder's panics, which some malformed documents still cause, into
// errors: a reload must not end the process.
func decodeYAML(dec *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return dec.Decode(into)
}

func (d *decoder) syntax(err error) {
	f := policy.Finding{ID: idSyntax, Severity: policy.SeverityError, File: d.file, Message: err.Error()}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		f.Message = "not YAML: " + m[2]
	}
	if strings.Contains(f.Message, "found character that cannot start any token") {
		f.Hint = "YAML is indented by spaces, never by tabs"
	}
	d.findings = append(d.findings, f)
}

// aliases refuses anchors, aliases and merge keys: what a line says must stand in the line,
// and a file cannot blow up by naming itself.
func (d *decoder) aliases(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.fault(idAlias, n, "aliases are not read", "write the value out")
		return
	case n.Anchor != "":
		d.fault(idAlias, n, "anchors are not read", "write the value out where it is needed")
	}
	for _, c := range n.Content {
		d.aliases(c)
	}
}

func (d *decoder) topKeys(c *rawConfig) []key {
	return []key{
		{"version", func(n *yaml.Node) { d.version(&c.version, n) }},
		{"listen", d.text(&c.listen)},
		{"admin", d.text(&c.admin)},
		{"issuers", func(n *yaml.Node) {
			c.issuersAt = n
			d.list("issuers", func(e *yaml.Node) { c.issuers = append(c.issuers, d.issuer(e)) })(n)
		}},
		{"services", func(n *yaml.Node) {
			c.servicesAt = n
			d.list("services", func(e *yaml.Node) { c.services = append(c.services, d.service(e)) })(n)
		}},
		{"limits", func(n *yaml.Node) {
			d.mapping(n, "limits", []key{
				{"connections", d.count(&c.connections, 1, 10_000_000)},
				{"per_address", d.count(&c.perAddress, 1, 10_000_000)},
			})
		}},
		{"tls", func(n *yaml.Node) {
			c.tls.at = n
			d.mapping(n, "tls", []key{
				{"cert", d.text(&c.tls.cert)},
				{"key", d.text(&c.tls.key)},
				{"client_ca", d.text(&c.tls.ca)},
			})
		}},
		{"trusted_proxies", d.words(&c.trustedProxies, "trusted_proxies", false)},
		{"token_cache", d.count(&c.tokenCache, 0, 100_000_000)},
		{"drain_delay", d.duration(&c.drainDelay, 0, time.Hour)},
		{"drain_timeout", d.duration(&c.drainTimeout, 0, 24*time.Hour)},
		{"ready", d.oneOf(&c.ready, "all", "any")},
		{"log", func(n *yaml.Node) {
			d.mapping(n, "log", []key{
				{"format", d.oneOf(&c.logFormat, "auto", "json", "text")},
				{"sample_allowed", d.count(&c.sampleAllowed, 1, 1_000_000)},
			})
		}},
		{"pprof", d.flag(&c.pprof)},
		{"hide_routes", d.flag(&c.hideRoutes)},
		{"identity_max", d.size(&c.identityMax, 256, 1<<20)},
		{"reload", func(n *yaml.Node) {
			d.mapping(n, "reload", []key{
				{"widening", d.oneOf(&c.widening, "log", "hold")},
			})
		}},
		{"takeover", d.text(&c.takeover)},
		{"explain_key", d.text(&c.explainKey)},
	}
}

func (d *decoder) version(o *opt[int], n *yaml.Node) {
	s, ok := d.scalar(n, "the number 1", "!!int", "!!str")
	if ok && s != "1" {
		d.fault(idBadValue, n, fmt.Sprintf("version %s is not known", s), "this gateway reads version: 1")
		return
	}
	if ok {
		o.put(1, n)
	}
}

func (d *decoder) issuer(n *yaml.Node) rawIssuer {
	r := rawIssuer{at: n}
	d.mapping(n, "an issuer", []key{
		{"issuer", d.text(&r.issuer)},
		{"jwks_uri", d.text(&r.jwksURI)},
		{"audience", d.words(&r.audience, "audience", true)},
		{"algorithms", d.words(&r.algorithms, "algorithms", false)},
		{"types", d.words(&r.types, "types", false)},
		{"skew", d.duration(&r.skew, 0, 5*time.Minute)},
		{"scopes", d.words(&r.scopes, "scopes", false)},
		{"scope_claim", d.text(&r.scopeClaim)},
		{"allow_insecure", d.flag(&r.allowInsecure)},
		{"allow_claims", d.words(&r.allowClaims, "allow_claims", false)},
		{"jwks", func(n *yaml.Node) { d.jwks(&r.jwks, n) }},
	})
	return r
}

func (d *decoder) jwks(r *rawJWKS, n *yaml.Node) {
	r.at = n
	d.mapping(n, "jwks", []key{
		{"unknown_kid_interval", d.duration(&r.unknownKidInterval, time.Second, 24*time.Hour)},
		{"min_refresh", d.duration(&r.minRefresh, time.Second, 24*time.Hour)},
		{"max_refresh", d.duration(&r.maxRefresh, time.Second, 24*time.Hour)},
		{"max_stale", d.duration(&r.maxStale, time.Second, 365*24*time.Hour)},
		{"timeout", d.duration(&r.timeout, 10*time.Millisecond, time.Minute)},
		{"max_bytes", d.size(&r.maxBytes, 1<<10, 64<<20)},
		{"file", d.text(&r.file)},
		{"keys", func(n *yaml.Node) {
			if n.Kind != yaml.SequenceNode {
				d.fault(idWrongType, n, "keys must be a list of JSON Web Keys, not "+kindOf(n), "")
				return
			}
			r.keys = n
		}},
	})
}

func (d *decoder) service(n *yaml.Node) rawService {
	r := rawService{at: n}
	d.mapping(n, "a service", []key{
		{"policy", d.text(&r.policy)},
		{"candidate", d.text(&r.candidate)},
		{"upstream", d.text(&r.upstream)},
		{"hosts", d.words(&r.hosts, "hosts", false)},
		{"issuers", d.words(&r.issuers, "issuers", false)},
		{"audience", d.words(&r.audience, "audience", true)},
		{"upstream_host", d.text(&r.upstreamHost)},
		{"lane", func(n *yaml.Node) { d.oneOf(&r.lane, "auto", "standard")(n) }},
		{"explain", d.oneOf(&r.explain, "none", "scopes", "sealed")},
		{"hide_routes", d.flag(&r.hideRoutes)},
		{"identity_max", d.size(&r.identityMax, 256, 1<<20)},
		{"forward_token", d.flag(&r.forwardToken)},
		{"claim_headers", func(n *yaml.Node) { r.claimHeaders = d.claimHeaders(n) }},
		{"keep_headers", d.words(&r.keepHeaders, "keep_headers", false)},
		{"cors", func(n *yaml.Node) { d.cors(&r.cors, n) }},
		{"resource_metadata", func(n *yaml.Node) { d.metadata(&r.metadata, n) }},
		{"upstream_tls", func(n *yaml.Node) { d.upstreamTLS(&r.upstreamTLS, n) }},
		{"limits", func(n *yaml.Node) { d.limits(&r.limits, n) }},
		{"timeouts", func(n *yaml.Node) { d.timeouts(&r.timeouts, n) }},
	})
	return r
}

func (d *decoder) claimHeaders(n *yaml.Node) (out []rawHeader) {
	if n.Kind != yaml.MappingNode {
		d.fault(idWrongType, n, "claim_headers must be a mapping of header to claim, not "+kindOf(n), "write it as X-Tenant: org_id")
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		claim, ok := d.scalar(v, "the name of a claim", "!!str")
		if ok && claim == "" {
			d.fault(idBadValue, v, "must not be empty", "")
			continue
		}
		if ok {
			out = append(out, rawHeader{word{k.Value, k}, word{claim, v}})
		}
	}
	return out
}

func (d *decoder) cors(r *rawCORS, n *yaml.Node) {
	r.at = n
	d.mapping(n, "cors", []key{
		{"origins", d.words(&r.origins, "origins", false)},
		{"headers", d.words(&r.headers, "headers", false)},
		{"expose", d.words(&r.expose, "expose", false)},
		{"credentials", d.flag(&r.credentials)},
		{"max_age", d.duration(&r.maxAge, 0, 24*time.Hour)},
	})
}

// metadata reads resource_metadata. There is no plain true: which resource it is cannot be found
// out, least of all from a request.
func (d *decoder) metadata(r *rawMetadata, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		if strings.EqualFold(n.Value, "true") {
			d.fault(idMissing, n, "resource_metadata: true does not say which resource this is", "write resource_metadata: { resource: https://api.example.com }, the URL at which callers know the service")
		}
		return
	}
	r.at = n
	d.mapping(n, "resource_metadata", []key{
		{"resource", d.text(&r.resource)},
		{"name", d.text(&r.name)},
	})
}

func (d *decoder) upstreamTLS(r *rawTLS, n *yaml.Node) {
	r.at = n
	d.mapping(n, "upstream_tls", []key{
		{"ca", d.text(&r.ca)},
		{"cert", d.text(&r.cert)},
		{"key", d.text(&r.key)},
		{"server_name", d.text(&r.serverName)},
	})
}

func (d *decoder) limits(r *rawLimits, n *yaml.Node) {
	d.mapping(n, "limits", []key{
		{"head", d.size(&r.head, 1<<10, 1<<20)},
		{"body", d.size(&r.body, 0, 1<<50)},
		{"connections", d.count(&r.connections, 1, 1_000_000)},
		{"in_flight", d.count(&r.inFlight, 1, 10_000_000)},
	})
}

func (d *decoder) timeouts(r *rawTimeouts, n *yaml.Node) {
	const least, most = 10 * time.Millisecond, 24 * time.Hour
	d.mapping(n, "timeouts", []key{
		{"head", d.duration(&r.head, least, most)},
		{"body_idle", d.duration(&r.bodyIdle, least, most)},
		{"upstream", d.duration(&r.upstream, least, most)},
		{"idle", d.duration(&r.idle, least, most)},
		{"write_idle", d.duration(&r.writeIdle, least, most)},
		{"tunnel_idle", d.duration(&r.tunnelIdle, least, most)},
		{"tunnel_max", d.duration(&r.tunnelMax, least, most)},
	})
}
