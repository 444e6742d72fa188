package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A question about a rule is answered by deciding a request that the rule
// answers. Such a request is found, not computed: a candidate counts only when
// Match says that this very rule wins it.

// fills are tried for the segments that a pattern leaves open. Most policies
// have none of them as a literal; for one that has them all there is unseen.
var fills = []string{"x", "1", "other", "x-1"}

// maxSamples bounds the paths that are tried for one rule and caller.
const maxSamples = 4096

// Sample returns a request that the rule answers, of this policy, and false
// when there is none because more specific routes cover the rule's whole path.
func (p *Policy) Sample(rule *Rule) (Request, bool) {
	for _, fill := range fills {
		if req, ok := p.sampleFilled(rule, fill, nil); ok {
			return req, true
		}
	}
	return p.sampleFilled(rule, p.unseen(), nil)
}

// sampleFilled puts chosen texts, and fill elsewhere, into the pattern.
func (p *Policy) sampleFilled(rule *Rule, fill string, chosen map[int]string) (Request, bool) {
	method, path := rule.sampleMethod(), rule.route.pattern.fill(fill, chosen)
	for _, tail := range rule.route.pattern.tails(fill) {
		if req, ok := p.answers(rule, method, path+tail); ok {
			return req, true
		}
	}
	return Request{}, false
}

// Samples returns a request for each way to put the caller's own claims into
// the segments that the rule compares them with, and before them the one of
// Sample: a caller who may see its own organisation is let in by one of these.
// It is empty when no request reaches the rule.
func (p *Policy) Samples(rule *Rule, c *Caller) []Request {
	first, ok := p.Sample(rule)
	if !ok {
		return nil
	}
	out := []Request{first}
	choices := rule.segmentTexts(c)
	if len(choices) == 0 {
		return out
	}
	for _, chosen := range combine(choices, maxSamples) {
		if req, ok := p.sampleFilled(rule, fills[0], chosen); ok {
			out = append(out, req)
		}
	}
	return out
}

// answers reads a target and reports whether the rule answers it.
func (p *Policy) answers(rule *Rule, method, target string) (Request, bool) {
	req, err := NewRequest(&Received{Method: method, Target: target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		return Request{}, false
	}
	return req, p.Match(&req).Rule == rule
}

// sampleMethod is a method that the rule answers: its own, and for ANY the
// first of the usual ones that its path does not name.
func (r *Rule) sampleMethod() string {
	if r != r.route.any {
		return r.method
	}
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"} {
		if r.route.rule(m) == r {
			return m
		}
	}
	m := "X"
	for r.route.rule(m) != r {
		m += "X" // ends: a path names finitely many methods
	}
	return m
}

// fill writes the pattern's path without its tail, with chosen texts (by
// segment) in the place of names, or else with fill, numbered from the second
// name on: a rule may compare one claim with several segments.
func (p pattern) fill(fill string, chosen map[int]string) string {
	var b strings.Builder
	names := 0
	for i, s := range p.segments {
		if s.kind == namedSegment {
			names++
		}
		switch text, ok := chosen[i]; {
		case s.kind == tailSegment:
			continue
		case s.kind == literalSegment:
			b.WriteString("/" + s.text)
		case ok:
			b.WriteString("/" + encodeSegment(text))
		case names > 1:
			b.WriteString("/" + fill + strconv.Itoa(names))
		default:
			b.WriteString("/" + fill)
		}
	}
	return b.String()
}

// tails lists what may stand in the place of a final **, the plainest first;
// one empty text for a pattern without it.
func (p pattern) tails(fill string) []string {
	if n := len(p.segments); n == 0 || p.segments[n-1].kind != tailSegment {
		return []string{""}
	}
	out := []string{"/" + fill, "/"}
	for below := "/" + fill; len(out) < 2*maxPatternSegments; {
		out = append(out, below+"/")
		below += "/" + fill
		out = append(out, below)
	}
	return out
}

// unseen is a text with which no literal of the policy's patterns begins.
func (p *Policy) unseen() string {
	seen := func(text string) bool {
		for _, route := range p.routes {
			for _, s := range route.pattern.segments {
				if s.kind == literalSegment && strings.HasPrefix(s.text, text) {
					return true
				}
			}
		}
		return false
	}
	text := "x-2"
	for seen(text) {
		text += "x"
	}
	return text
}

// segmentTexts lists, by segment, what the caller's claims offer for the
// segments that the rule's conditions compare them with.
func (r *Rule) segmentTexts(c *Caller) map[int][]string {
	out := map[int][]string{}
	if c == nil || c.Anonymous {
		return out
	}
	for i := range r.conditions {
		cond := &r.conditions[i]
		for _, a := range cond.values {
			if value, ok := lookup(c.Claims, cond.claim); ok && a.segment >= 0 {
				out[a.segment] = append(out[a.segment], scalarTexts(value)...)
			}
		}
	}
	return out
}

// scalarTexts lists the texts by which a claim, or each element of an array,
// is compared.
func scalarTexts(value any) []string {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var out []string
	for _, v := range list {
		if text, ok := claimText(v); ok && text != "" {
			out = append(out, text)
		}
	}
	return out
}

// combine lists the ways to choose one text for each segment, at most limit.
func combine(choices map[int][]string, limit int) []map[int]string {
	out := []map[int]string{{}}
	for _, segment := range slices.Sorted(maps.Keys(choices)) {
		texts := choices[segment]
		var next []map[int]string
		for _, chosen := range out {
			for _, text := range texts {
				if len(next) == limit {
					break
				}
				one := map[int]string{segment: text}
				for k, v := range chosen {
					one[k] = v
				}
				next = append(next, one)
			}
		}
		out = next
	}
	return out
}
