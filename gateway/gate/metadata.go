package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Metadata is what a service tells the clients of OAuth about itself (RFC 9728).
// The scopes come from its policy. Nothing comes from a request.
type Metadata struct {
	Resource string   // the service's identifier, an absolute URL without query and fragment
	Name     string   // for people; "" is the service's name
	Issuers  []string // whose tokens count
}

// wellKnown is the beginning of every metadata document's path (RFC 9728 section 3).
const wellKnown = "/.well-known/oauth-protected-resource"

// metadataAge is how long a document may be remembered, in seconds.
const metadataAge = 300

// document is the metadata as it is answered.
type document struct {
	path string // canonical
	url  string // for the challenge's resource_metadata
	body []byte
	etag string
}

// described is RFC 9728 section 2, as far as the gateway knows.
type described struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	ScopesSupported      []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name"`
}

// Path is the path at which the document of the resource stands: the well-known
// one between host and path (section 3), in canonical form. The error says what
// is wrong with the identifier.
func (m *Metadata) Path() (string, error) {
	d, err := m.place()
	return d.path, err
}

func (m *Metadata) place() (d document, err error) {
	u, err := url.Parse(m.Resource)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return d, errors.New("is no https URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(m.Resource, "#"):
		return d, errors.New("has a user, a query or a fragment")
	}
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	request, err := policy.NewRequest(&policy.Received{Method: http.MethodGet, Target: wellKnown + path, Hosts: []string{u.Host}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil || request.Broken != 0 || request.Path != wellKnown+path {
		return d, errors.New("has a host or a path with more than one reading, or in another than its canonical form")
	}
	return document{path: request.Path, url: u.Scheme + "://" + u.Host + request.Path}, nil
}

// compile writes the document; nil for nil.
func (m *Metadata) compile(p *policy.Policy) (*document, error) {
	if m == nil {
		return nil, nil
	}
	d, err := m.place()
	if err != nil {
		return nil, fmt.Errorf("resource %q %w", m.Resource, err)
	}
	name := m.Name
	if name == "" {
		name = p.Service()
	}
	d.body = marshal(described{m.Resource, m.Issuers, p.OpeningScopes(), []string{"header"}, name})
	sum := sha256.Sum256(d.body)
	d.etag = `"` + hex.EncodeToString(sum[:8]) + `"`
	return &d, nil
}

// asksForMetadata: the document's path is the gateway's own, for every method.
func (x *Exchange) asksForMetadata() bool {
	return x.service != nil && x.service.document != nil && x.request.Broken == 0 && x.request.Path == x.service.document.path
}

// describe answers with the document, which is for everybody: whoever wants a
// token must know where to ask before it has one.
func (x *Exchange) describe() error {
	r := &Refusal{Reason: ReasonResourceMetadata}
	switch x.request.Method {
	case http.MethodGet, http.MethodHead:
		if v := x.in.Header.Values("If-None-Match"); len(v) == 1 && names(v[0], x.service.document.etag) {
			r.Status = http.StatusNotModified
		}
	case http.MethodOptions:
		r.Status = http.StatusNoContent
	default:
		r.Status = http.StatusMethodNotAllowed
	}
	return r
}

// names reports whether a value of If-None-Match has the tag, compared weakly (RFC 9110 section 13.1.2).
func names(value, etag string) bool {
	for tag := range strings.SplitSeq(value, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// answerMetadata writes the document. Any page may read it, with any field that
// its client adds: there is nothing in it that depends on who asks.
func (x *Exchange) answerMetadata(a *Answer) {
	d := x.service.document
	a.set("Access-Control-Allow-Origin", "*")
	switch a.Status {
	case http.StatusMethodNotAllowed:
		a.set("Cache-Control", "no-store")
		a.set("Allow", "GET, HEAD, OPTIONS")
		a.set("Content-Length", "0")
		return
	case http.StatusNoContent:
		a.set("Cache-Control", "no-store")
		a.set("Access-Control-Allow-Methods", "GET, HEAD")
		a.set("Access-Control-Allow-Headers", "*")
		return
	}
	a.set("Cache-Control", "public, max-age="+strconv.Itoa(metadataAge))
	a.set("ETag", d.etag)
	if a.Status == http.StatusNotModified {
		return
	}
	a.Body = d.body
	a.set("Content-Type", "application/json")
	a.set("Content-Length", strconv.Itoa(len(a.Body)))
}
