package sidecar

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

// What holds below cors: where the file says nothing: pages send tokens and JSON.
var defaultCORSHeaders = []string{"Authorization", "Content-Type"}

const defaultCORSMaxAge = 10 * time.Minute

// cors resolves a service's cors:; nil without one.
func (r *resolver) cors(raw *rawService, p *policy.Policy) *gate.CORS {
	c := &raw.cors
	if c.at == nil {
		return nil
	}
	if c.origins.set {
		r.origins(c)
	} else {
		r.missing(c.at, "origins", "name the pages' origins: [https://app.example.com]")
	}
	r.corsFields(c.headers.v)
	r.corsFields(c.expose.v)
	age := c.maxAge.or(defaultCORSMaxAge)
	if age%time.Second != 0 {
		r.fault(idBadValue, c.maxAge.node, fmt.Sprintf("max_age %s is not a number of whole seconds", age), "")
	}
	headers := defaultCORSHeaders
	if c.headers.set {
		headers = texts(c.headers.v)
	}
	if p != nil {
		r.corsAndPolicy(c, headers, p)
	}
	return &gate.CORS{
		Origins:     texts(c.origins.v),
		Headers:     headers,
		Expose:      texts(c.expose.v),
		Credentials: c.credentials.v,
		MaxAge:      age,
	}
}

// origins checks the entries, and what credentials make of them.
func (r *resolver) origins(c *rawCORS) {
	if node := c.origins.node; node.Kind == yaml.SequenceNode && len(node.Content) == 0 {
		r.fault(idBadValue, node, "origins must name at least one origin", "leave cors out where no page may read answers")
	}
	for _, w := range c.origins.v {
		err := gate.CheckOrigin(w.text)
		switch {
		case err != nil:
			r.fault(idBadValue, w.node, fmt.Sprintf("%q %s", w.text, err), meantOrigin(w.text))
		case w.text == "*" && len(c.origins.v) > 1:
			r.fault(idBadValue, w.node, "* stands beside other origins", "keep the star, or the names")
		case c.credentials.v && gate.AnyPage(w.text):
			r.fault(idCORS, w.node, fmt.Sprintf("any page can have the origin %s, and could act with the cookies of whoever visits it", w.text),
				"name the origins, or leave credentials out: a token in Authorization does not need it")
		case c.credentials.v && strings.Contains(w.text, "*"):
			r.warn(idWideOrigin, w.node, fmt.Sprintf("pages of every name that %s stands for can act with their visitors' cookies", w.text),
				"one name among them that somebody else controls is enough; name the origins")
		case c.credentials.v && plainOrigin(w.text):
			r.warn(idWideOrigin, w.node, fmt.Sprintf("whoever is on the way to %s can act with its visitors' cookies", w.text), "use https")
		}
	}
}

// plainOrigin reports an origin whose pages come over plain http from beyond loopback.
func plainOrigin(origin string) bool {
	host, plain := strings.CutPrefix(origin, "http://")
	return plain && !loopbackName(strings.Trim(policy.HostName(host), "[]"))
}

// meantOrigin returns a hint with the origin of a URL, or with a way of writing one.
func meantOrigin(wrote string) string {
	if strings.Contains(wrote, "*") {
		return "the star stands before a name of at least two labels, https://*.example.com, or alone"
	}
	if u, err := url.Parse(wrote); err == nil && u.Host != "" {
		host := strings.TrimSuffix(strings.ToLower(u.Host), map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
		if origin := u.Scheme + "://" + strings.TrimSuffix(host, "."); gate.CheckOrigin(origin) == nil && origin != wrote {
			return fmt.Sprintf("did you mean %q?", origin)
		}
	}
	return "write it like https://app.example.com or http://localhost:3000"
}

// corsFields checks names of header fields.
func (r *resolver) corsFields(names []word) {
	for _, w := range names {
		switch {
		case w.text == "*":
			r.fault(idHeader, w.node, "* names no header", "name them: to a browser the star stands for none beside credentials, and never for Authorization")
		case !fieldName.MatchString(w.text):
			r.fault(idHeader, w.node, fmt.Sprintf("%q is not a header name", w.text), "")
		}
	}
}

// corsAndPolicy warns where one of the two makes nothing of the other.
func (r *resolver) corsAndPolicy(c *rawCORS, headers []string, p *policy.Policy) {
	sends := slices.ContainsFunc(headers, func(h string) bool { return strings.EqualFold(h, "Authorization") })
	if p.NeedsTokens() && !sends {
		r.warn(idCORSUseless, c.headers.node, "no page can send a token: headers does not name Authorization", "add it")
	}
	for _, route := range p.Routes() {
		for _, rule := range route.Rules() {
			if rule.Method() == "OPTIONS" {
				r.warn(idCORSUseless, c.at, fmt.Sprintf("the rule for OPTIONS at %s sees no preflight: the gateway answers them", rule.Position()),
					"remove the rule, unless the service has another use for OPTIONS")
			}
		}
	}
}
