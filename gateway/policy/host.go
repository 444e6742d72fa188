package policy

import (
	"net/netip"
	"strings"
)

// maxHostName is the longest DNS name in text form (RFC 1035 section 2.3.4).
const maxHostName = 253

// hostOctet classifies the bytes of a host name: 1 stands as it is, 2 is a capital to lower.
var hostOctet = func() (t [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = 1, 2
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = 1
	}
	t['-'], t['_'], t['.'] = 1, 1, 1
	return t
}()

// canonicalHost gives a Host field's one spelling: lower case, no trailing dot, the port kept,
// an IPv6 literal as RFC 5952 writes it. It allocates only when the spelling changes.
//
// The grammar is narrower than RFC 3986's reg-name on purpose: percent-encoding, sub-delims and
// empty labels are where two readers of a host part ways (CVE-2025-47912 and its like). A port
// is 1 to 65535 without leading zeros; an empty port, which RFC 3986 permits, is refused.
func canonicalHost(h string) (string, bool) {
	if strings.HasPrefix(h, "[") {
		return canonicalIPv6(h)
	}
	name, port := h, ""
	if i := strings.IndexByte(h, ':'); i >= 0 {
		name, port = h[:i], h[i:]
		if !portSuffix(port) {
			return "", false
		}
	}
	capitals, ok := hostLabels(name)
	if !ok {
		return "", false
	}
	trimmed := strings.TrimSuffix(name, ".")
	switch {
	case capitals:
		return strings.ToLower(trimmed) + port, true
	case len(trimmed) != len(name):
		return trimmed + port, true
	}
	return h, true
}

// hostLabels checks a name, which may end in one dot, and tells whether it holds capitals.
func hostLabels(name string) (capitals, ok bool) {
	if len(name) == 0 || len(name) > maxHostName+1 || name[0] == '.' {
		return false, false
	}
	for i := 0; i < len(name); i++ {
		switch hostOctet[name[i]] {
		case 0:
			return false, false
		case 2:
			capitals = true
		}
		if name[i] == '.' && name[i-1] == '.' {
			return false, false
		}
	}
	return capitals, len(strings.TrimSuffix(name, ".")) <= maxHostName
}

// canonicalIPv6 reads "[address]" or "[address]:port". A zone is refused: it means something on
// the sender's machine only (RFC 6874).
func canonicalIPv6(h string) (string, bool) {
	end := strings.IndexByte(h, ']')
	if end < 0 {
		return "", false
	}
	port := h[end+1:]
	if port != "" && !portSuffix(port) {
		return "", false
	}
	addr, err := netip.ParseAddr(h[1:end])
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", false
	}
	if s := "[" + addr.String() + "]" + port; s != h {
		return s, true
	}
	return h, true
}

// portSuffix reports whether s is ":" and a port.
func portSuffix(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' || s[1] == '0' {
		return false
	}
	n := 0
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

// HostName is a canonical host without its port, for choosing a service. An IPv6 literal keeps
// its brackets: "[::1]:8001" gives "[::1]".
func HostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// CanonicalHost gives the one spelling that Request.Host has for a host that was written down
// elsewhere, in a config or a flag; ok is false for what the guard would refuse.
func CanonicalHost(host string) (canonical string, ok bool) { return canonicalHost(host) }

// judgeHost finds the one host of a request. authority is that of an absolute-form target, ""
// without one: it replaces Host (RFC 9112 section 3.2.2), but only where the two agree, since a
// service that reads the field would be another one than the service that was judged.
func judgeHost(in *Received, authority string) (string, *GuardError) {
	hosts := in.Hosts
	if in.ProtoMajor < 2 && len(hosts) > 1 {
		return "", broken(RuleHost)
	}
	if in.ProtoMajor == 1 && in.ProtoMinor == 0 && len(hosts) == 1 && hosts[0] == "" {
		hosts = nil
	}
	if authority == "" && len(hosts) == 0 {
		if in.ProtoMajor == 1 && in.ProtoMinor == 0 {
			return "", nil
		}
		return "", broken(RuleHost)
	}
	one := ""
	if authority != "" {
		c, ok := canonicalHost(authority)
		if !ok {
			return "", broken(RuleHost)
		}
		one = c
	}
	for _, h := range hosts {
		c, ok := canonicalHost(h)
		if !ok || one != "" && c != one {
			return "", broken(RuleHost)
		}
		one = c
	}
	return one, nil
}
