package policy

import "strings"

// Received is a request's head as a lane read it, with nothing interpreted.
type Received struct {
	// Method is the request line's method, or HTTP/2's :method. A lane that lets HTTP/2's
	// extended CONNECT through (RFC 8441) writes GET here.
	Method string
	// Target is the request-target, byte for byte: net/http's RequestURI, HTTP/2's :path.
	Target string
	// Hosts is every Host field in order; for HTTP/2 :authority first, then any host field.
	Hosts []string
	// ProtoMajor and ProtoMinor are the HTTP version.
	ProtoMajor, ProtoMinor int
	// Overrides is every value of every header that asks for another method:
	// X-HTTP-Method-Override, X-HTTP-Method, X-Method-Override and their aliases.
	Overrides []string
}

// Request is a request in its one reading. It is a value and never changes.
type Request struct {
	// Method is the method as it was received, and valid.
	Method string
	// Override is the method that an override marker asks for; "" when none asks for another.
	// Where it is not "", Broken holds RuleMethodOverride.
	Override string
	// Host is the canonical host[:port]; "" only for HTTP/1.0 without Host.
	Host string
	// Path is the canonical path: the one that is judged, logged and sent.
	Path string
	// RawQuery is the query byte for byte without its question mark. HasQuery tells "/a?" from
	// "/a".
	RawQuery string
	HasQuery bool
	// Broken holds the rules that the request breaks and that a route may accept. A path that a
	// second decoding would lead astray adds the rule that it would break then: nothing accepts
	// that one, so such a request is refused by every route.
	Broken GuardRules
	// QueryToken tells that the query holds an access_token parameter. It is no part of Broken:
	// what it means depends on the Authorization field, which the gate reads.
	QueryToken bool
}

// NewRequest gives a request's one reading, or a *GuardError when it has none that all servers
// share. It allocates nothing when target and host arrive in canonical form.
//
// Only the bytes of the target are read. A parsed URL hides what matters here: net/url turns
// /a#b into /a%23b, and an absolute-form target takes the place of the Host field.
func NewRequest(in *Received) (Request, error) {
	req, err := newRequest(in)
	if err != nil { // a nil *GuardError must not become a non-nil error
		return Request{}, err
	}
	return req, nil
}

func newRequest(in *Received) (Request, *GuardError) {
	if !spoken(in.ProtoMajor, in.ProtoMinor) {
		return Request{}, errVersion
	}
	if err := checkMethod(in.Method); err != nil {
		return Request{}, err
	}
	origin, authority, err := originForm(in)
	if err != nil {
		return Request{}, err
	}
	path, query, has, rules, err := canonicalTarget(origin)
	if err != nil {
		return Request{}, err
	}
	host, err := judgeHost(in, authority)
	if err != nil {
		return Request{}, err
	}
	marks, err := judgeQuery(query)
	if err != nil {
		return Request{}, err
	}
	req := Request{Method: in.Method, Host: host, Path: path, RawQuery: query, HasQuery: has,
		Broken: rules, QueryToken: marks&markToken != 0}
	if len(in.Overrides) == 0 && marks&markMethod == 0 {
		return req, nil
	}
	req.Override, err = overrideOf(in.Method, in.Overrides, query, marks&markMethod != 0)
	if req.Override != "" {
		req.Broken |= RuleSet(RuleMethodOverride)
	}
	return req, err
}

// Overridden is what is judged and sent where a route accepts method_override: the method that
// the marker asks for, and the query without its _method pairs. Without an override it is the
// request's own method and query. (The override headers are the lane's to remove.)
func (r *Request) Overridden() (method, rawQuery string, hasQuery bool) {
	if r.Override == "" {
		return r.Method, r.RawQuery, r.HasQuery
	}
	if r.Method != "POST" && r.Override != "POST" {
		return r.Override, r.RawQuery, r.HasQuery
	}
	q := withoutParam(r.RawQuery, paramMethod)
	return r.Override, q, r.HasQuery && (q != "" || r.RawQuery == "")
}

// spoken lists the versions that have a reader: a minor version that does not exist may mean
// one thing here and another behind.
func spoken(major, minor int) bool {
	return major == 1 && (minor == 0 || minor == 1) || major == 2 && minor == 0
}

// originForm takes an absolute-form target apart (RFC 9112 section 3.2.2) and refuses every
// other form. The origin keeps its bytes; an absolute-form target without a path has the path
// "/" (section 3.2.1).
func originForm(in *Received) (origin, authority string, err *GuardError) {
	t := in.Target
	if strings.HasPrefix(t, "/") {
		return t, "", nil
	}
	rest, ok := cutScheme(t)
	if !ok || in.ProtoMajor > 1 {
		return "", "", broken(otherForm(t))
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, origin = rest[:end], rest[end:]
	switch {
	case strings.IndexByte(authority, '@') >= 0:
		return "", "", broken(RuleTargetForm) // http://good.example@evil.example/
	case authority == "":
		return "", "", broken(RuleHost)
	case strings.HasPrefix(origin, "/"):
		return origin, authority, nil
	case origin == "" && in.Method == "OPTIONS":
		return "", "", broken(RuleTargetForm) // it stands for OPTIONS * (section 3.2.4)
	}
	return "/" + origin, authority, nil
}

// cutScheme cuts "http://" or "https://" off, in any case.
func cutScheme(t string) (rest string, ok bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(t) >= len(scheme) && strings.EqualFold(t[:len(scheme)], scheme) {
			return t[len(scheme):], true
		}
	}
	return "", false
}

// otherForm tells a path without its slash (CVE-2026-33186: grpc-go matched deny rules against
// such a :path and found none) from a target that is no path at all.
func otherForm(t string) GuardRule {
	head, _, _ := strings.Cut(t, "/")
	if t == "*" || strings.IndexByte(head, ':') >= 0 || strings.IndexByte(head, '@') >= 0 {
		return RuleTargetForm
	}
	return RuleNoLeadingSlash
}
