package policy

// Weakened finds a method by which other lets in somebody whom route refuses,
// for a service that takes a path of other's for one of route's. strict is nil
// where route does not list the method at all. Both are nil when there is none.
func (p *Policy) Weakened(route, other *Route) (strict, weaker *Rule) {
	if strict, weaker = p.weakened(route, other); weaker != nil {
		return strict, weaker
	}
	for _, rule := range other.rules {
		if route.rule(rule.method) == nil && rule.access != toNobody {
			return nil, rule
		}
	}
	return nil, nil
}

// WeakerPost finds a rule of the route that asks for more than its rule for
// POST, for a service that takes the method from a form: only there does a
// request say POST and mean another.
func (p *Policy) WeakerPost(route *Route) (strict, weaker *Rule) {
	post := route.rule("POST")
	if post == nil {
		return nil, nil
	}
	for _, rule := range route.rules {
		if rule != post && p.opensMore(post, rule) {
			return rule, post
		}
	}
	return nil, nil
}
