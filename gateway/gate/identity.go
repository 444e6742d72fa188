package gate

import (
	"encoding/json"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Field is one header field.
type Field struct{ Name, Value string }

// grant is what one token means to one service: its scopes as bits and its
// identity as fields. It is worked out at the token's first request and kept
// with the verified token.
type grant struct {
	service  *Service
	scopes   *policy.ScopeSet
	identity []Field
	size     int // bytes of all names and values
}

// grants is what a token carries; it is replaced whole, never changed.
type grants []*grant

// mostGrants bounds what one token remembers. A token that is used with more
// services than this is worked out anew for some of them.
const mostGrants = 8

func (s *Service) grantOf(t *token.Token) *grant {
	known, _ := t.Memo().Load().(grants)
	for _, g := range known {
		if g.service == s {
			return g
		}
	}
	g := s.newGrant(t)
	if len(known) >= mostGrants {
		known = known[1:]
	}
	t.Memo().Store(append(append(grants(nil), known...), g))
	return g
}

func (s *Service) newGrant(t *token.Token) *grant {
	g := &grant{service: s, scopes: s.Policy.Scopes(t.Scopes)}
	g.add("X-Auth-Subject", encode(t.Subject))
	g.add("X-Auth-Issuer", encode(t.Issuer))
	g.add("X-Auth-Client", encode(t.Client))
	g.add("X-Auth-Scopes", g.scopes.Header())
	for _, c := range s.ClaimHeaders {
		g.add(c.Header, claimText(policy.Claim(t.Claims, c.Claim)))
	}
	return g
}

// add appends a field unless it has nothing to say. X-Auth-Scopes is always
// there, so that an empty one can be told from a missing one.
func (g *grant) add(name, value string) {
	if value == "" && name != "X-Auth-Scopes" {
		return
	}
	g.identity = append(g.identity, Field{name, value})
	g.size += len(name) + len(value)
}

// claimText is a claim as a field value: strings, integers and booleans as they
// are, arrays of them comma-separated. Other values are not sent, since no
// service could read them in only one way.
func claimText(v any) string {
	switch v := v.(type) {
	case string:
		return encode(v)
	case json.Number:
		return encode(v.String())
	case bool:
		if v {
			return "true"
		}
		return "false"
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			if _, nested := e.([]any); nested {
				return ""
			}
			text := claimText(e)
			if text == "" {
				return ""
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ",")
	}
	return ""
}

// encode writes a value with visible ASCII only: everything else, "%" and the
// comma that separates list members are percent-encoded as UTF-8.
func encode(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && visible(s[i])
	}
	if plain {
		return s
	}
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if visible(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

func visible(c byte) bool { return c > ' ' && c < 0x7f && c != '%' && c != ',' }
