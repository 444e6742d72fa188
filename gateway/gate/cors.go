package gate

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// CORS says which pages of other origins may call a service and read what comes
// back, by the CORS protocol of the Fetch standard. It opens nothing: browsers
// enforce it, and every request is judged by its token and its rule as before.
type CORS struct {
	// Origins are those of the pages, as [CheckOrigin] takes them; "*" stands
	// alone.
	Origins []string
	// Headers are the fields that a page may set beside those that every page
	// may: Authorization, if it is to send a token.
	Headers []string
	// Expose are the fields of the service's answers that a page may read
	// beside those that every page may.
	Expose []string
	// Credentials lets browsers send cookies and client certificates of the
	// gateway's host along. It needs origins that are named: see [AnyPage].
	Credentials bool
	// MaxAge is how long a browser may remember the answer to a preflight.
	MaxAge time.Duration
}

// CheckOrigin says why an entry can be none of [CORS.Origins]. It takes "*",
// "null", an origin byte for byte as browsers write it (scheme://host[:port],
// lower case, no port where it is the scheme's own), and one whose host begins
// with "*.", for one or more labels before a name of at least two.
func CheckOrigin(entry string) error {
	if entry == "*" || isOrigin(entry) {
		return nil
	}
	scheme, host, wildcard := strings.Cut(entry, "://*.")
	if !wildcard || !isOrigin(scheme+"://"+host) {
		return errors.New("is not an origin as browsers write it, scheme://host[:port]")
	}
	name := policy.HostName(host)
	if _, err := netip.ParseAddr(name); err == nil || name[0] == '[' {
		return errors.New("has a star before an address")
	}
	if !strings.Contains(name, ".") {
		return errors.New("stands for every name below ." + name)
	}
	return nil
}

// AnyPage reports whether an entry stands for every page there is: "*" does,
// and so does "null", the origin of any page that another one puts into a
// sandboxed frame. Neither may act with a visitor's cookies.
func AnyPage(entry string) bool { return entry == "*" || entry == "null" }

// isOrigin reports whether s is a serialized origin (Fetch standard, "Origin"
// header; RFC 6454 section 6.2), and one that could be compared byte for byte.
func isOrigin(s string) bool {
	if s == "null" {
		return true
	}
	scheme, host, ok := strings.Cut(s, "://")
	if !ok || !isScheme(scheme) {
		return false
	}
	canonical, ok := policy.CanonicalHost(host)
	if !ok || canonical != host {
		return false
	}
	switch port := host[len(policy.HostName(host)):]; scheme {
	case "http":
		return port != ":80" // left out by every browser
	case "https":
		return port != ":443"
	}
	return true
}

// isScheme: RFC 3986 section 3.1 in lower case.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			continue
		}
		if i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return s != ""
}

// pages is a CORS in the form in which it is asked.
type pages struct {
	all         bool              // "*"
	exact       map[string]string // each origin by itself
	below       []below
	fields      []string // CORS.Headers
	headers     string   // their list
	expose      string
	maxAge      string
	credentials bool
}

// below is an origin whose host begins with "*.": what stands before the star
// and what stands after it.
type below struct{ scheme, suffix string }

func (b below) has(origin string) bool {
	return len(origin) > len(b.scheme)+len(b.suffix) &&
		strings.HasPrefix(origin, b.scheme) && strings.HasSuffix(origin, b.suffix)
}

// compile fails for what must not be served: no origin, one that is none, "*"
// beside others, and any page with credentials.
func (c *CORS) compile() (*pages, error) {
	if c == nil {
		return nil, nil
	}
	p := &pages{
		exact:       make(map[string]string, len(c.Origins)),
		fields:      c.Headers,
		headers:     strings.Join(c.Headers, ", "),
		expose:      strings.Join(c.Expose, ", "),
		maxAge:      strconv.FormatInt(int64(c.MaxAge/time.Second), 10),
		credentials: c.Credentials,
	}
	for _, origin := range c.Origins {
		if err := CheckOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %q %w", origin, err)
		}
		if c.Credentials && AnyPage(origin) {
			return nil, fmt.Errorf("origin %q with credentials", origin)
		}
		scheme, suffix, wildcard := strings.Cut(origin, "*")
		switch {
		case origin == "*":
			p.all = true
		case wildcard:
			p.below = append(p.below, below{scheme, suffix})
		default:
			p.exact[origin] = origin
		}
	}
	if len(c.Origins) == 0 || p.all && len(c.Origins) > 1 {
		return nil, errors.New(`origins must be named, or be "*" alone`)
	}
	return p, nil
}

// find returns the origin if it is one of the pages', else "". An exact one is
// the configuration's own text.
func (p *pages) find(origin string) string {
	if own, ok := p.exact[origin]; ok {
		return own
	}
	for _, b := range p.below {
		if b.has(origin) {
			return origin
		}
	}
	return ""
}

// origin is the request's one Origin, "" where there is none, where there are
// several, and where it is none that a browser writes: such a request belongs to
// no page, and its Origin is never repeated in an answer.
func (x *Exchange) origin() string {
	v := x.in.Header.Values("Origin")
	if len(v) != 1 || !isOrigin(v[0]) {
		return ""
	}
	return v[0]
}

// shares reports whether the gateway alone tells browsers who may read the
// service's answers.
func (x *Exchange) shares() bool { return x.service != nil && x.service.pages != nil }

// share adds what lets the page behind the request read an answer, with the
// fields that expose lists, and reports whether it may. Where origins are named,
// an answer to one differs from that to another, to none too: a cache must know.
func (x *Exchange) share(expose string, add func(name, value string)) bool {
	p, origin := x.service.pages, "*"
	if !p.all {
		add("Vary", "Origin")
		if origin = p.find(x.origin()); origin == "" {
			return false
		}
	}
	add("Access-Control-Allow-Origin", origin)
	if p.credentials {
		add("Access-Control-Allow-Credentials", "true")
	}
	if expose != "" {
		add("Access-Control-Expose-Headers", expose)
	}
	return true
}

// What a page needs of the gateway's own answers.
const (
	exposedRefusal = "WWW-Authenticate, Retry-After, Allow, X-Request-Id, Grpc-Status, Grpc-Message"
	exposedSealed  = exposedRefusal + ", " + explanationField
)

// shareRefusal lets a page read why it was refused.
func (x *Exchange) shareRefusal(a *Answer) {
	switch {
	case !x.shares():
	case x.seals():
		x.share(exposedSealed, a.merge)
	default:
		x.share(exposedRefusal, a.merge)
	}
}

// isCORS reports the fields of the CORS protocol.
func isCORS(name string) bool {
	const prefix = "Access-Control-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
