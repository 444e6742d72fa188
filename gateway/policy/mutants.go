package policy

import (
	"fmt"
	"iter"
	"slices"
)

// Mutants yields the policy with each mistake in turn: every rule, path and scope, always in the
// same order. Left out is what cannot be loaded (a path of the same shape as another), what is
// written like an earlier mistake in the same rule, and what lets nobody in whom the policy
// refuses, as Compare decides it. progress is told how many routes and scopes of all are done; it
// may be nil.
//
// With a mistake in a rule, a method or an implication a mutant is weaker and nothing else. A path
// that is written wider may also take requests from other paths, and lose its own to them, as it
// would in the file: such a mutant may refuse callers too, beside those that it lets in.
func (p *Policy) Mutants(progress func(done, total int)) iter.Seq[*Mutant] {
	return func(yield func(*Mutant) bool) {
		m := mutator{policy: p, yield: yield, rules: newComparer(p, p), naming: p.namingRules()}
		total := len(p.routes) + len(p.vocabulary.words)
		done := func(n int) {
			if progress != nil {
				progress(n, total)
			}
		}
		for i, route := range p.routes {
			if !m.route(route) || !m.methods(route) || !m.paths(route) {
				return
			}
			done(i + 1)
		}
		for scope := range p.vocabulary.words {
			if !m.implications(scope) {
				return
			}
			done(len(p.routes) + scope + 1)
		}
	}
}

// mutator makes the mutants of one policy. Methods that yield report whether to go on.
type mutator struct {
	policy *Policy
	yield  func(*Mutant) bool
	rules  *comparer       // of rules that count scopes alike
	naming map[int][]*Rule // by scope
}

// route weakens each rule of a route.
func (m *mutator) route(route *Route) bool {
	for i, rule := range route.rules {
		req, ok := m.policy.Sample(rule)
		if !ok {
			continue
		}
		seen := map[string]bool{}
		for _, one := range m.policy.weakenings(rule) {
			c := route.clone()
			weak := c.rules[i]
			weak.access, weak.formula = one.access, one.formula
			if one.conditions != nil {
				weak.conditions = one.conditions
			}
			if key := fmt.Sprint(weak.access, weak.formula, one.conditions); seen[key] {
				continue
			} else {
				seen[key] = true
			}
			x := &Mutant{Mistake: Mistake{one.kind, route.Template(), rule.method, rule.line, one.change},
				Policy: m.policy.withRoute(route, c), Request: req, route: route, scope: -1}
			if m.letsIn(m.rules, x) && !m.yield(x) {
				return false
			}
		}
	}
	return true
}

// methods lets the rule of each method stand for all that are not listed.
func (m *mutator) methods(route *Route) bool {
	var listed []string
	for _, rule := range route.rules {
		listed = append(listed, rule.method)
	}
	for _, rule := range route.rules {
		req, ok := m.policy.Sample(rule)
		if !ok || route.any != nil || rule.method == "HEAD" && route.own("GET") != nil { // GET would answer HEAD then
			continue
		}
		req.Method = unnamed(listed)
		x := &Mutant{Mistake: Mistake{MethodWidened, route.Template(), rule.method, rule.line, "every method that is not listed is treated like " + rule.method},
			Policy: m.policy.withRoute(route, route.withMethodWidened(rule)), Request: req, route: route, scope: -1}
		if m.letsIn(m.rules, x) && !m.yield(x) {
			return false
		}
	}
	return true
}

// paths writes the path of a route wider.
func (m *mutator) paths(route *Route) bool {
	for _, one := range route.widenings() {
		q := m.policy.withRoute(route, one.route)
		if q == nil {
			continue
		}
		x := &Mutant{Mistake: Mistake{Kind: one.kind, Path: route.Template(), Line: route.line, Change: one.change},
			Policy: q, route: route, wider: one.route.pattern, scope: -1}
		if (m.letsInBelow(x, one.route) || m.letsInAnywhere(x)) && !m.yield(x) {
			return false
		}
	}
	return true
}

// letsInBelow looks for a request that one of the rules of a wider path answers now, among the
// samples that are tried first.
func (m *mutator) letsInBelow(x *Mutant, wider *Route) bool {
	for _, fill := range fills {
		path := wider.pattern.fill(fill, nil)
		tails := wider.pattern.tails(fill)
		for _, tail := range tails[:min(len(tails), 4)] {
			for _, rule := range wider.rules {
				var ok bool
				if x.Request, ok = x.Policy.answers(rule, rule.sampleMethod(), path+tail); !ok {
					continue
				}
				if x.Method = rule.method; m.letsIn(m.rules, x) {
					return true
				}
			}
		}
	}
	return false
}

// letsInAnywhere compares the whole policies.
func (m *mutator) letsInAnywhere(x *Mutant) bool {
	all := Compare(m.policy, x.Policy)
	for i := range all.Changes {
		change := &all.Changes[i]
		if change.Kind.Widens() && change.Who != nil && change.Exception == 0 && change.Upgrade == "" {
			x.Who, x.Request, x.Method = change.Who, change.Request, change.New.Rule.method
			return true
		}
	}
	return false
}

// letsIn finds somebody whom the mutant lets make its request and the policy does not: if
// possible the holder of a token that says nothing, so that one persona notices many mutants,
// else one with as few rights as can be.
func (m *mutator) letsIn(c *comparer, x *Mutant) bool {
	newly := func(persona *Persona) bool {
		before := m.policy.Decide(&x.Request, persona.Caller(m.policy))
		after := x.Policy.Decide(&x.Request, persona.Caller(x.Policy))
		return !before.Allow && after.Allow
	}
	for _, x.Who = range []*Persona{{Scopes: []string{}}, {Anonymous: true}} {
		if newly(x.Who) {
			return true
		}
	}
	c.work = workPerRule
	v := c.compareRules(m.policy.Match(&x.Request).Rule, x.Policy.Match(&x.Request).Rule, x.Request.Path)
	x.Who = v.wider
	return x.Who != nil && newly(x.Who)
}

// namingRules lists the rules that name each scope.
func (p *Policy) namingRules() map[int][]*Rule {
	out := map[int][]*Rule{}
	for _, route := range p.routes {
		for _, rule := range route.rules {
			for _, scope := range rule.formula.scopes(len(p.vocabulary.words)).members() {
				out[scope] = append(out[scope], rule)
			}
		}
	}
	return out
}

// implications lets a scope imply its neighbours in the vocabulary, one at a time.
func (m *mutator) implications(scope int) bool {
	v := m.policy.vocabulary
	itself, holds := newBitset(len(v.words)), v.closure(scope)
	itself.set(scope)
	for _, to := range v.nearest(itself, func(s int) bool { return holds.has(s) || v.closure(s).has(scope) }) {
		q := *m.policy
		q.vocabulary = v.withImplication(scope, to)
		x := &Mutant{Mistake: Mistake{Kind: ImplicationAdded, Line: m.policy.lines[scope], Change: v.words[scope] + " implies " + v.words[to]},
			Policy: &q, scope: scope}
		if m.letsInBy(x, v.closure(to)) && !m.yield(x) {
			return false
		}
	}
	return true
}

// letsInBy looks for a rule through which a token comes for which one of the scopes is news.
func (m *mutator) letsInBy(x *Mutant, scopes bitset) bool {
	c := newComparer(m.policy, x.Policy)
	for _, s := range scopes.members() {
		for _, rule := range m.naming[s] {
			var ok bool
			if x.Request, ok = m.policy.Sample(rule); !ok {
				continue
			}
			if x.Path, x.Method = rule.route.Template(), rule.method; m.letsIn(c, x) {
				return true
			}
		}
	}
	return false
}

// withImplication is the vocabulary in which a scope, and whatever implies it, implies another.
func (v *vocabulary) withImplication(scope, to int) *vocabulary {
	c := *v
	c.closures = slices.Clone(v.closures)
	for i := range v.closures {
		if all := v.closure(i); all.has(scope) {
			c.closures[i] = all.plus(v.closure(to))
		}
	}
	return &c
}
