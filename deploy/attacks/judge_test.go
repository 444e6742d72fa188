package attacks

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"
)

// The judge knows what a policy means for a caller without a token, and shares no code with the
// gateway: patterns are tried one by one, and a path is read in every way that some server is
// known to read it.

// open maps each pattern of the attacked policy to the methods that are public there.
var open = sync.OnceValue(func() map[string]map[string]bool {
	src, err := os.ReadFile("testdata/policy.yaml")
	if err != nil {
		panic(err)
	}
	var policy struct {
		Routes map[string]map[string]any `yaml:"routes"`
	}
	if err := yaml.Unmarshal(src, &policy); err != nil {
		panic(err)
	}
	all := map[string]map[string]bool{}
	for pattern, methods := range policy.Routes {
		all[pattern] = map[string]bool{}
		for method, need := range methods {
			if need == "public" {
				all[pattern][method] = true
			}
		}
	}
	return all
})

// rank compares patterns that match one path: segment by segment, a literal before a name before
// a tail.
func rank(pattern string) string {
	kinds := ""
	for part := range strings.SplitSeq(pattern[1:], "/") {
		switch {
		case part == "**":
			kinds += "c"
		case strings.HasPrefix(part, "{"):
			kinds += "b"
		default:
			kinds += "a"
		}
	}
	return kinds
}

func matches(pattern, path string) bool {
	p, s := strings.Split(pattern[1:], "/"), strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range p {
		switch {
		case part == "**":
			return len(s) > i
		case i >= len(s):
			return false
		case strings.HasPrefix(part, "{"):
			if s[i] == "" {
				return false
			}
		case part != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// patternOf is the pattern that answers for a path; "" when none does.
func patternOf(path string) (best string) {
	for pattern := range open() {
		if matches(pattern, path) && (best == "" || rank(pattern) < rank(best)) {
			best = pattern
		}
	}
	return best
}

var parameters = regexp.MustCompile(`;[^/]*`)
var slashes = regexp.MustCompile(`/+`)

// readings are the paths that lenient servers make of one: decoded again and again, backslashes
// taken for slashes, parameters dropped, slashes merged, dots resolved, cut at NUL, at '?' and at
// '#', blanks and trailing dots dropped, letters lowered.
func readings(path string) []string {
	const most = 4000 // of a path that was made to have many
	seen := map[string]bool{path: true}
	queue := []string{path}
	for len(queue) > 0 && len(seen) < most {
		p := queue[0]
		queue = queue[1:]
		for _, q := range []string{
			decoded(p), strings.ReplaceAll(p, `\`, "/"), parameters.ReplaceAllString(p, ""), slashes.ReplaceAllString(p, "/"),
			resolved(p), before(p, "\x00"), before(p, "?"), before(p, "#"), strings.ReplaceAll(p, "\x00", ""),
			strings.Trim(p, " \t\r\n"), strings.TrimRight(p, "."), strings.ToLower(p),
		} {
			if !seen[q] {
				seen[q] = true
				queue = append(queue, q)
			}
		}
	}
	all := make([]string, 0, len(seen))
	for p := range seen {
		all = append(all, p)
	}
	return all
}

// decoded decodes what can be decoded, overlong UTF-8 and %u included.
func decoded(p string) string {
	p = strings.NewReplacer("%u002e", ".", "%u002f", "/", "%c0%ae", ".", "%c0%af", "/", "%C0%AE", ".", "%C0%AF", "/").Replace(p)
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '%' && i+2 < len(p) {
			if text, err := url.PathUnescape(p[i : i+3]); err == nil {
				b.WriteString(text)
				i += 2
				continue
			}
		}
		b.WriteByte(p[i])
	}
	return b.String()
}

func before(p, mark string) string {
	p, _, _ = strings.Cut(p, mark)
	return p
}

// resolved removes dot segments as RFC 3986 section 5.2.4 does.
func resolved(p string) string {
	var out []string
	for _, s := range strings.Split(p, "/") {
		switch {
		case s == ".":
		case s == "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.TrimPrefix(strings.Join(out, "/"), "/")
}

// breach says what is wrong with a request that an anonymous caller got through; "" if nothing is.
func breach(r *received) string {
	path, _, _ := strings.Cut(r.target, "?")
	if own := patternOf(path); !strings.HasPrefix(path, "/") || !open()[own][strings.Replace(r.method, "HEAD", "GET", 1)] {
		return fmt.Sprintf("%s %s is open to nobody without a token", r.method, r.target)
	}
	for _, p := range readings(path) {
		if pattern := patternOf(p); pattern != "" && !open()[pattern][methodAt(r, pattern)] {
			return fmt.Sprintf("%s %s may be read as %s, which %s closes", r.method, r.target, p, pattern)
		}
	}
	return head(r)
}

// methodAt spares HEAD and OPTIONS, which no attacked route is closed for where it is open to GET.
func methodAt(r *received, pattern string) string {
	if r.method == "HEAD" {
		return "GET"
	}
	// A path that is open for another method only is a 405 in that reading, not a way in.
	if methods := open()[pattern]; len(methods) > 0 && !strings.HasPrefix(pattern, "/form") && !methods[r.method] {
		for m := range methods {
			return m
		}
	}
	return r.method
}

// head finds what no service may be sent, whoever asked for it.
func head(r *received) string {
	switch {
	case strings.ContainsAny(strings.ReplaceAll(r.head, "\r\n", ""), "\r\n\x00"):
		return "a bare CR, LF or NUL in the head"
	case len(r.values("Host")) != 1:
		return fmt.Sprintf("%d Host fields", len(r.values("Host")))
	case len(r.values("Transfer-Encoding")) > 0 && len(r.values("Content-Length")) > 0:
		return "both Transfer-Encoding and Content-Length"
	case len(r.values("Content-Length")) > 1 || len(r.values("Transfer-Encoding")) > 1:
		return "framing twice"
	case !strings.HasSuffix(strings.SplitN(r.head, "\r\n", 2)[0], " HTTP/1.1"):
		return "the request line ends otherwise than in HTTP/1.1"
	}
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		if bad := field(name, value); bad != "" {
			return bad + ": " + line
		}
	}
	return ""
}

// field judges one line. SPOOFED is what the attacks write into fields that must not come
// through.
func field(name, value string) string {
	folded := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	switch {
	case !token(name):
		return "no field name"
	case strings.Contains(value, "SPOOFED"):
		return "what the client wrote came through"
	case folded == "expect", folded == "http2-settings", folded == "trailer", folded == "te" && strings.TrimSpace(value) != "trailers",
		folded == "proxy-authorization", folded == "keep-alive", folded == "proxy-connection":
		return "a field of the last hop"
	case strings.HasPrefix(folded, "x-auth-"):
		return "identity without a token"
	case folded == "x-http-method-override", folded == "x-method-override", folded == "x-http-method":
		return "a method override"
	case folded != strings.ToLower(name) && (folded == "content-length" || folded == "transfer-encoding" || folded == "host" || folded == "cookie" || folded == "authorization"):
		return "an alias of a field that matters"
	}
	return ""
}

// judge fails the test for everything that a service received and should not have.
func (g *target) judge(all []*received) {
	g.Helper()
	for _, r := range all {
		if bad := breach(r); bad != "" {
			g.Errorf("reached the service: %s\n%q", bad, r.head)
		}
	}
	for _, s := range g.service.stray() {
		g.Errorf("reached the service and is no request: %q", s)
	}
}

// The judge itself: what it calls open and closed.
func TestTheJudgeSeesThroughDisguises(t *testing.T) {
	for target, bad := range map[string]bool{
		"/public/x": false, "/public/x?/../admin": false, "/": false, "/files/a%2Fb": false,
		"/admin": true, "/public/../admin": true, "/public/%2e%2e/admin": true, "/public/%252e%252e%252fadmin/x": true,
		`/public\..\admin`: true, "/public/..;x=y/admin": true, "//admin": true, "/nowhere": true, "/public/x/%2e%2e/%2e%2e/ADMIN": true,
		"/public/%c0%ae%c0%ae/admin": true, "/public/../admin%00.html": true, "/files/x%2f..%2f..%2fadmin": true,
	} {
		r := &received{method: "GET", target: target, head: "GET " + target + " HTTP/1.1\r\nHost: a", lines: []string{"Host: a"}}
		if got := breach(r); (got != "") != bad {
			t.Errorf("%s: %q", target, got)
		}
	}
}
