package gate

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Field is one header field.
type Field struct{ Name, Value string }

// grant is what the terms of a token mean to one service: its scopes as bits, and
// the identity that all tokens with these terms share. It is worked out once and
// kept with the terms.
type grant struct {
	scopes    *policy.ScopeSet
	candidate *policy.ScopeSet // the same as the candidate policy numbers them; nil without one
	identity
}

// person is what the claims of one token mean to a service that reads some. It is
// worked out at the token's first request and kept with the token.
type person struct {
	claims map[string]any // those that the policies read
	identity
}

// nobody is the person for services that read no claims.
var nobody = &person{}

// identity is fields that tell the service who asks.
type identity struct {
	fields []Field
	size   int // bytes of all names and values
}

// add appends a field unless it has nothing to say. X-Auth-Scopes is always
// there, so that an empty one can be told from a missing one.
func (i *identity) add(name, value string) {
	if value == "" && name != "X-Auth-Scopes" {
		return
	}
	i.fields = append(i.fields, Field{name, value})
	i.size += len(name) + len(value)
}

func (n *Snapshot) grantOf(s *Service, t *token.Token) *grant {
	return recall(t.Terms.Memo(), n, s, func() (*grant, int) {
		g := &grant{scopes: s.Policy.Scopes(t.Scopes)}
		g.add("X-Auth-Issuer", encode(t.Issuer))
		g.add("X-Auth-Client", encode(t.Client))
		g.add("X-Auth-Scopes", g.scopes.Header())
		size := bytesOfGrant + 2*g.size
		if s.Candidate != nil {
			g.candidate = s.Candidate.Scopes(t.Scopes)
			size += bytesOfCandidate
		}
		return g, size
	})
}

func (n *Snapshot) personOf(s *Service, t *token.Token) *person {
	if len(s.ClaimHeaders) == 0 && len(s.claims) == 0 {
		return nobody
	}
	return recall(t.Memo(), n, s, func() (*person, int) {
		all, p := t.Claims(), &person{claims: map[string]any{}}
		for _, name := range s.claims {
			if v, there := all[name]; there {
				p.claims[name] = v
			}
		}
		for _, c := range s.ClaimHeaders {
			p.add(c.Header, claimText(policy.Claim(all, c.Claim)))
		}
		return p, bytesOfPerson + bytesOf(p.claims) + 64*len(p.fields) + p.size
	})
}

// About what a grant, its part for a candidate and a person take beside what is counted in them.
const (
	bytesOfGrant     = 512
	bytesOfCandidate = 256
	bytesOfPerson    = 128
)

// bytesOf is about what a claim takes.
func bytesOf(v any) int {
	switch v := v.(type) {
	case string:
		return 32 + len(v)
	case json.Number:
		return 32 + len(v)
	case []any:
		sum := 48
		for _, e := range v {
			sum += 24 + bytesOf(e)
		}
		return sum
	case map[string]any:
		sum := 352
		for name, e := range v {
			sum += 80 + len(name) + bytesOf(e)
		}
		return sum
	}
	return 0
}

// topLevel lists the members of a claim set that the claims of these names stand in.
func topLevel(names []string) (members []string) {
	for _, name := range names {
		members = append(members, name)
		if root, _, dotted := strings.Cut(name, "."); dotted {
			members = append(members, root)
		}
	}
	return members
}

// kept is what was worked out for one service. A memo is a list of them, which
// is replaced whole and never changed.
type kept[T any] struct {
	service *Service
	value   *T
	bytes   int
}

// mostServices bounds one memo. What is used with more services than this is
// worked out anew for some of them.
const mostServices = 8

// recall returns what the memo has for the service, and works it out the first
// time. Services of before a reload are forgotten then.
func recall[T any](memo *token.Memo, n *Snapshot, s *Service, work func() (*T, int)) *T {
	known, _ := memo.Load().([]kept[T])
	for i := range known {
		if known[i].service == s {
			return known[i].value
		}
	}
	list := make([]kept[T], 0, len(known)+1)
	for _, k := range known {
		if slices.Contains(n.services, k.service) {
			list = append(list, k)
		}
	}
	if len(list) >= mostServices {
		list = list[1:]
	}
	value, bytes := work()
	list = append(list, kept[T]{s, value, bytes})
	sum := 0
	for _, k := range list {
		sum += k.bytes
	}
	memo.Store(list, sum)
	return value
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
