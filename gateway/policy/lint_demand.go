package policy

import "strings"

// maxLintWork bounds the steps on what all rules of a policy ask for. It is reached by rules that
// nobody writes by hand; what lies beyond gets no remark.
const maxLintWork = 3_000_000

// maxLintTerms bounds the rules whose parts are tried one by one.
const maxLintTerms = 64

// demands compares rules for remarks, within a bound on the work for all of them.
type demands struct{ *comparer }

func newDemands(p *Policy) demands {
	c := newComparer(p, p)
	c.work = maxLintWork
	return demands{c}
}

// between compares two rules as compareRules does, while there is work left: to make a rule's atoms
// alone is dear where thousands of scopes imply each other.
func (d demands) between(old, new *Rule, path string) verdict {
	if d.work <= 0 {
		return verdict{unknown: true}
	}
	return d.compareRules(old, new, path)
}

// lintDemand asks whether any token meets a rule, and whether all parts of the rule count.
func (r *reader) lintDemand(d demands, rule *Rule) {
	if rule.access != byRequirement || len(rule.formula) < 2 || rule.readsIssuerFromPath() {
		return
	}
	path := rule.plainPath()
	switch v := d.between(nil, rule, path); {
	case v.unknown:
	case !v.after:
		r.reportAt(rule.line, rule.column, idImpossible, "write nobody if that is meant; one of several is any:, or a list at issuer: or acr:",
			"no token meets %s %s: it asks for several values of what a token has one of", rule.method, rule.route.Template())
	case len(rule.formula) <= maxLintTerms:
		r.lintParts(d, rule, path)
	}
}

// lintParts leaves out one part after the other, of two that stand for each other the later one,
// and reports those without which the same callers are let in.
func (r *reader) lintParts(d demands, rule *Rule, path string) {
	for rest := *rule; ; {
		i := d.idlePart(&rest, path)
		if i == 0 {
			return
		}
		r.reportAt(rule.line, rule.column, idIdlePart, "remove it; the rule means the same without it",
			"in %s %s it makes no difference whether %s stands there", rule.method, rule.route.Template(), rest.words(d.old.policy.vocabulary, i))
		rest.formula = rest.formula.splice(i, nil)
	}
}

// idlePart finds a term without which the rule lets in the same callers: of all such the outermost,
// and of those the last. 0 when there is none, or when it cannot be decided.
func (d demands) idlePart(rule *Rule, path string) (idle int32) {
	places := rule.formula.places()
	for i := int32(len(places)) - 1; i > 0; i-- {
		if places[i].siblings < 2 || idle > 0 && places[i].depth >= places[idle].depth {
			continue
		}
		without := *rule
		without.formula = rule.formula.splice(i, nil)
		if v := d.between(rule, &without, path); !v.unknown && v.wider == nil && v.narrower == nil {
			idle = i
		}
	}
	return idle
}

// words says what a part of the rule asks for.
func (r *Rule) words(v *vocabulary, i int32) string {
	t := r.formula[i]
	switch t.op {
	case opScope:
		return v.words[t.arg]
	case opCondition:
		return r.conditions[t.arg].text
	}
	var parts []string
	for j := i + 1; j < t.next; j = r.formula[j].next {
		parts = append(parts, r.words(v, j))
	}
	switch {
	case len(parts) == 1:
		return parts[0]
	case t.op == opAny:
		return "(" + strings.Join(parts, " or ") + ")"
	}
	return "(" + strings.Join(parts, " and ") + ")"
}

// plainPath is a path for the rule whose segments equal no value that it names: what holds there
// holds on every path, since equal segments make two questions about a claim into one.
func (r *Rule) plainPath() string {
	fill := "x"
	for i := range r.conditions {
		for _, value := range r.conditions[i].values {
			for strings.HasPrefix(value.text, fill) {
				fill += "x"
			}
		}
	}
	return r.route.pattern.fill(fill, nil)
}

// readsIssuerFromPath tells of the one comparison for which that is not so: a token has one issuer
// and one acr, also where they are asked for as claims.
func (r *Rule) readsIssuerFromPath() bool {
	for i := range r.conditions {
		for _, value := range r.conditions[i].values {
			if name := r.conditions[i].claim; value.segment >= 0 && (name == "iss" || name == "acr") {
				return true
			}
		}
	}
	return false
}

// lintHead compares the rule for HEAD with that for GET: an answer to HEAD tells whether something
// is there, how large it is, and when it changed.
func (r *reader) lintHead(d demands, route *Route) {
	head, get := route.own("HEAD"), route.rule("GET")
	if head == nil || get == nil {
		return
	}
	if v := d.between(get, head, head.plainPath()); !v.unknown && v.wider != nil {
		r.reportAt(head.line, head.column, idWeakerHead, "remove HEAD; it goes by the rule of GET then",
			"HEAD %s lets in callers whom GET refuses (line %d)", route.Template(), get.line)
	}
}
