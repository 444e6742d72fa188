package policy

import "slices"

// WithoutConditions is the policy with every `claims:`, `issuer:`, `max_age:` and `acr:` taken as
// fulfilled, for comparing it with sources that know scopes only. It is wider than the policy:
// nothing may be let in by it. Rules keep their places and words.
func (p *Policy) WithoutConditions() *Policy {
	out := *p
	out.root, out.routes, out.claims = &node{}, nil, nil
	for _, route := range p.routes {
		route = route.withoutConditions()
		out.root.insert(route)
		out.routes = append(out.routes, route)
	}
	out.root.measure()
	return &out
}

func (r *Route) withoutConditions() *Route {
	out := *r
	out.rules, out.any = nil, nil
	for _, rule := range r.rules {
		bare := *rule
		bare.route, bare.conditions, bare.claimBits, bare.stepBits = &out, nil, 0, 0
		bare.formula = slices.Clone(rule.formula)
		for i, t := range bare.formula {
			if t.op == opCondition {
				bare.formula[i].op = opAll // of nothing
			}
		}
		out.rules = append(out.rules, &bare)
		if rule == r.any {
			out.any = &bare
		}
	}
	return &out
}

// Conditional reports whether the rule has conditions beside scopes.
func (r *Rule) Conditional() bool { return len(r.conditions) > 0 }
