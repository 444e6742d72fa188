package policy

// Weakened finds a method by which other lets in somebody whom route refuses,
// for a service that takes a path of other's for the path, which is route's.
// strict is nil where route does not list the method at all. All are zero when
// there is no such method; who is nil also when it could not be decided.
func (p *Policy) Weakened(route, other *Route, path string) (strict, weaker *Rule, who *Persona) {
	for _, rules := range [][]*Rule{route.rules, other.rules} {
		for _, rule := range rules {
			strict, weaker = route.rule(rule.method), other.rule(rule.method)
			if more, who := p.letsInMore(weaker, strict, path); more {
				return strict, weaker, who
			}
		}
	}
	return nil, nil, nil
}

// WeakerPost finds a rule of the route that refuses somebody whom its rule for
// POST lets in, for a service that takes the method from a form: only there does
// a request say POST and mean another.
func (p *Policy) WeakerPost(route *Route, path string) (strict, weaker *Rule, who *Persona) {
	post := route.rule("POST")
	for _, rule := range route.rules {
		if more, who := p.letsInMore(post, rule, path); more {
			return rule, post, who
		}
	}
	return nil, nil, nil
}

// letsInMore reports whether a rule lets in somebody whom than refuses, or could.
// nil stands for no rule.
func (p *Policy) letsInMore(rule, than *Rule, path string) (more bool, who *Persona) {
	if rule == than || rule == nil {
		return false, nil
	}
	v := newComparer(p, p).compareRules(than, rule, path)
	return v.wider != nil || v.unknown, v.wider
}
