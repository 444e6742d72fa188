package policy

import "slices"

// spellings are what, appended to a segment, breaks just the one rule.
var spellings = map[GuardRule]string{
	RuleEncodedSlash:     "%2Fy",
	RuleEncodedBackslash: "%5Cy",
	RuleSemicolon:        ";y",
	RuleDoubleEncoding:   "%2541",
}

// exception looks for a request that breaks one rule of the guard which one of
// the two routes accepts: it was refused and is not any more, or the reverse.
func (c *comparer) exception(m *meeting, rule GuardRule) {
	known := len(c.changes)
	for at := range c.spots(m.old, m.new) {
		for _, target := range at.breaking(rule) {
			c.breaking(m, rule, target)
			if len(c.changes) > known {
				c.changes = c.changes[:known+1] // one is enough to show it
				return
			}
		}
	}
}

// breaking lists targets like the spot that break the rule.
func (s *spot) breaking(rule GuardRule) []string {
	switch rule {
	case RuleMethodOverride, RuleEmptySegment:
		return []string{s.req.Path}
	case RuleQueryToken:
		return []string{s.req.Path + "?access_token=x"}
	}
	var out []string
	for _, place := range slices.Backward(s.open) {
		out = append(out, s.with(place, s.segments[place]+spellings[rule]))
	}
	return out
}

func (c *comparer) breaking(m *meeting, rule GuardRule, target string) {
	for _, method := range methodsOf(m.old, m.new) {
		in := received(method.sent, target)
		if rule == RuleMethodOverride {
			in = overriding(method.sent, target)
		}
		req, ok := readingOf(in)
		switch both := m.old.accepts & m.new.accepts; {
		case !ok || rule != RuleQueryToken && !req.Broken.Has(rule):
			continue
		case req.Broken&^RuleSet(rule)&^both != 0:
			continue // a request that breaks less shows that other exception
		}
		old, new := m.old.ruleFor(method.sent, req.Broken), m.new.ruleFor(method.sent, req.Broken)
		x := Change{Methods: []string{method.name}, Received: in, Request: req, Exception: rule}
		if rule == RuleQueryToken {
			if !m.old.rule(method.sent).lets(byRequirement) || !m.new.rule(method.sent).lets(byRequirement) {
				continue // without a token the parameter means nothing
			}
			if !m.old.Accepts(rule) {
				old = nil
			} else {
				new = nil
			}
		}
		c.ask(m, x, old, new)
	}
}

// overriding is a request that asks for another method than its own.
func overriding(method, target string) Received {
	if method != "POST" {
		return received("POST", target+"?_method="+method)
	}
	in := received("GET", target)
	in.Overrides = []string{method}
	return in
}

// upgrade notes that GET may switch to a protocol in one policy alone.
func (c *comparer) upgrade(m *meeting) {
	for _, protocol := range slices.Concat(m.old.upgrades, m.new.upgrades) {
		in := received("GET", m.at.req.Path)
		req, ok := readingOf(in)
		if !ok || m.old.Upgrade(protocol) == m.new.Upgrade(protocol) {
			continue
		}
		old, new := m.old.ruleFor("GET", req.Broken), m.new.ruleFor("GET", req.Broken)
		if old.lets(toNobody) || new.lets(toNobody) {
			return // GET itself is opened or closed
		}
		if m.new.Upgrade(protocol) {
			old = nil
		} else {
			new = nil
		}
		c.ask(m, Change{Methods: []string{"GET"}, Received: in, Request: req, Upgrade: protocol}, old, new)
		return
	}
}

// What the gate refuses although the policy allows it: a request that asks to
// switch to another protocol, and one with a token in its query.
func (x *Change) gate() {
	for _, a := range []*Answer{&x.Old, &x.New} {
		switch {
		case a.Route == nil || !a.Allow:
		case x.Upgrade != "" && !a.Route.Upgrade(x.Upgrade):
			a.Allow, a.Reason = false, ReasonMalformed.String()
		case x.Exception == RuleQueryToken && !a.Route.Accepts(RuleQueryToken):
			a.Allow, a.Reason = false, "token_ambiguous"
		}
	}
}
