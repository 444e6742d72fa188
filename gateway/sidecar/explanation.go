package sidecar

import (
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/seal"
)

// sealer makes the sealed explanations of `explain: sealed` ([gate.Sealer]): what the decision
// log says of the request, as far as it fits, and what the log leaves to the policy.
type sealer struct {
	*seal.Sealer
	pens *pens
}

// Seal implements [gate.Sealer].
func (s *sealer) Seal(b []byte, x *gate.Exchange, status int) []byte {
	l := line{at: x.Started(), service: x.Service().Name(), status: status, reason: string(x.Reason())}
	if route := x.Match().Route; route != nil {
		l.route = route.Template()
	}
	pn := s.pens.take()
	l.describe(x)
	l.identify(x, pn)
	pn.line = appendExplanation(pn.line[:0], &l, x)
	b = s.Append(b, pn.line, l.at)
	s.pens.back(pn)
	return b
}

// appendExplanation appends the explanation as a JSON object of at most [seal.Size] bytes. What
// is empty is left out. Where all of it does not fit, long values are cut more and more, and
// "truncated" says so.
func appendExplanation(b []byte, l *line, x *gate.Exchange) []byte {
	for _, bound := range []bound{{512, maxListed}, {96, 8}, {24, 2}, {8, 0}} {
		e := explanation{b: append(b, '{'), bound: bound}
		e.write(l, x)
		if e.b = append(e.b, '}'); len(e.b)-len(b) <= seal.Size {
			return e.b
		}
	}
	e := explanation{b: append(b, '{'), bound: bound{8, 0}, cut: true}
	e.text("reason", l.reason)
	e.flag("truncated", true)
	return append(e.b, '}')
}

// bound is how much of a value is written.
type bound struct{ bytes, elements int }

// explanation is one that is being written.
type explanation struct {
	b []byte
	bound
	cut bool
}

// write writes the keys of the decision log under their names, then those that only an explanation
// has: why a token or a service was not taken, what the rule asks for, which conditions were not
// met, what login would do.
func (e *explanation) write(l *line, x *gate.Exchange) {
	e.name("time")
	e.b = append(l.at.UTC().AppendFormat(append(e.b, '"'), time.RFC3339), '"')
	e.text("request_id", l.requestID)
	e.text("service", l.service)
	e.text("host", l.host)
	e.text("method", l.method)
	e.text("path", l.path)
	e.text("route", l.route)
	e.number("status", int64(l.status))
	e.text("decision", l.decision)
	e.text("reason", l.reason)
	e.text("guard", l.guard)
	e.text("issuer", l.issuer)
	e.text("subject", l.subject)
	e.text("client", l.client)
	e.list("scopes", slices.Values(l.scopes))
	e.list("missing", slices.Values(l.missing))
	e.claims(l.claims)
	if l.authAge >= 0 {
		e.number("auth_age", l.authAge)
	}
	e.text("acr", l.acr)
	e.flag("anonymous", l.anonymous)
	e.text("policy", l.hash)
	e.end("rule", l.rule)

	if rule := x.Match().Rule; rule != nil {
		e.text("needs", rule.Requirement())
	}
	var unmet []string
	for _, c := range x.Decision().Unmet() {
		unmet = append(unmet, c.Text)
	}
	e.list("unmet", slices.Values(unmet))
	age, acr := x.Decision().StepUp()
	if age > 0 {
		e.number("max_age", int64(age/time.Second))
	}
	e.list("acr_values", slices.Values(acr))
	if err := x.Refusal().Err; err != nil {
		e.text("cause", err.Error())
	}
	e.flag("truncated", e.cut)
}

func (e *explanation) name(name string) {
	e.b = append(appendNested(separated(e.b), name), ':')
}

func (e *explanation) clip(s string) string {
	e.cut = e.cut || len(s) > e.bytes
	return clip(s, e.bytes)
}

func (e *explanation) text(name, s string) {
	if s != "" {
		e.name(name)
		e.b = appendNested(e.b, e.clip(s))
	}
}

// end writes a string of which the end counts most: a place in a file.
func (e *explanation) end(name, s string) {
	if over := len(s) - e.bytes; over > 0 {
		e.cut, s = true, "…"+s[over:]
	}
	if s != "" {
		e.name(name)
		e.b = appendNested(e.b, s)
	}
}

func (e *explanation) number(name string, n int64) {
	e.name(name)
	e.b = strconv.AppendInt(e.b, n, 10)
}

func (e *explanation) flag(name string, is bool) {
	if is {
		e.name(name)
		e.b = append(e.b, "true"...)
	}
}

func (e *explanation) list(name string, words iter.Seq[string]) {
	n := 0
	for word := range words {
		if n == e.elements {
			e.cut = true
			break
		}
		if n++; n == 1 {
			e.name(name)
			e.b = append(e.b, '[')
		}
		e.b = appendNested(separated(e.b), e.clip(word))
	}
	if n > 0 {
		e.b = append(e.b, ']')
	}
}

// first returns as many elements as e has room for.
func first[T any](list []T, e *explanation) []T {
	e.cut = e.cut || len(list) > e.elements
	return list[:min(len(list), e.elements)]
}

func (e *explanation) claims(claims []claim) {
	if len(claims) == 0 {
		return
	}
	e.name("claims")
	e.b = append(e.b, '{')
	for _, c := range first(claims, e) {
		e.name(c.name)
		e.claim(c.value)
	}
	e.b = append(e.b, '}')
}

func (e *explanation) claim(v any) {
	switch v := v.(type) {
	case string:
		e.b = appendNested(e.b, e.clip(v))
	case json.Number:
		if len(v) > e.bytes { // a number that was cut would be another
			e.cut, v = true, "null"
		}
		e.b = append(e.b, v...)
	case []any:
		e.b = append(e.b, '[')
		for _, element := range first(v, e) {
			e.b = separated(e.b)
			e.claim(element)
		}
		e.b = append(e.b, ']')
	default:
		e.b = appendClaim(e.b, v)
	}
}
