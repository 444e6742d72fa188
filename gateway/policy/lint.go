package policy

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// lint reports what is well formed and yet rarely meant. It runs over the
// compiled policy, and only when that has no faults.
func (r *reader) lint(p *Policy, declared map[string]*yaml.Node) {
	r.unused(p, declared)
	r.lintVocabulary(p, declared)
	demands, crossings := newDemands(p), maxCrossings
	for _, route := range p.routes {
		for _, rule := range route.rules {
			r.lintRule(rule)
			r.lintDemand(demands, rule)
		}
		r.lintRoute(p, route)
		r.lintHead(demands, route)
		r.lintOvertaken(demands, route, &crossings)
	}
}

func (r *reader) lintRule(rule *Rule) {
	writes := []string{"POST", "PUT", "PATCH", "DELETE", "ANY"}
	switch {
	case rule.Public() && slices.Contains(writes, rule.method):
		r.reportAt(rule.line, rule.column, idPublicWrite, "name a scope, or list the reading methods one by one",
			"%s %s is open to everybody and may write", rule.method, rule.route.Template())
	case rule.access == byRequirement && rule.anyTokenDoes():
		r.reportAt(rule.line, rule.column, idAnyToken, "name a scope, or add `claims:`",
			"%s %s lets in every valid token of every issuer that the service accepts", rule.method, rule.route.Template())
	}
}

// anyTokenDoes reports whether a token without scopes passes, whatever its
// claims and issuer.
func (r *Rule) anyTokenDoes() bool { return r.formula.holds(nil, r.stepBits) }

func (r *reader) lintRoute(p *Policy, route *Route) {
	at := func(id, hint, format string, args ...any) {
		r.reportAt(route.line, route.column, id, hint, format, args...)
	}
	if route.accepts != 0 {
		at(idAccepted, "make sure that the service reads such paths as the policy does",
			"%s accepts requests that others may read otherwise: %s", route.Template(), strings.Join(route.accepts.Names(), ", "))
	}
	if len(route.upgrades) > 0 && route.rule("GET") == nil {
		at(idIdleUpgrade, "add GET, or remove `upgrade:`", "%s may be upgraded but does not answer GET", route.Template())
	}
	for rule := RuleEncodedSlash; rule.Waivable(); rule++ {
		if route.Accepts(rule) && !route.pattern.canHold(rule) {
			at(idIdleAccept, "remove it, or write {name} where it is needed",
				"%s accepts %s, but such a path never matches it", route.Template(), rule)
		}
	}
	for _, s := range route.pattern.segments {
		if s.kind == literalSegment && strings.HasPrefix(s.text, ":") {
			at(idColonName, "write {"+strings.TrimPrefix(s.text, ":")+"} for a segment of any value",
				"the segment %s of %s is a literal here", s.text, route.Template())
		}
	}
	r.lintTail(p, route)
	r.lintTwins(p, route)
}

// lintTail looks at what a final ** swallows, or does not.
func (r *reader) lintTail(p *Policy, route *Route) {
	n := p.root.above(route)
	if n == nil {
		return
	}
	if n.covered() && !route.Accepts(RuleEmptySegment) {
		r.reportAt(route.line, route.column, idUnreachable, "remove it",
			"%s is never reached: more specific paths cover all of it", route.Template())
		return
	}
	if !route.anyPublic() {
		return
	}
	if other := n.firstClosed(nil); other != nil {
		r.reportAt(route.line, route.column, idPublicTail, "list the public paths one by one",
			"%s is public around %s (line %d), which is not: a path that is forgotten there is open", route.Template(), other.Template(), other.line)
	}
}

// above is the node at which a final ** stands, nil for patterns without one.
func (n *node) above(route *Route) *node {
	for _, s := range route.pattern.segments {
		switch s.kind {
		case tailSegment:
			return n
		case namedSegment:
			n = n.named
		default:
			n = n.literal(s.text)
		}
	}
	return nil
}

// firstClosed is, of the routes below a node that have no public rule, the one
// that stands first in the file. What stands below a nearer public ** is that
// one's to report, so that each node is looked at once for all tails together.
func (n *node) firstClosed(first *Route) *Route {
	for c := range n.children {
		for _, r := range []*Route{c.route, c.tail} {
			if r != nil && !r.anyPublic() && (first == nil || r.line < first.line) {
				first = r
			}
		}
		if c.tail == nil || !c.tail.anyPublic() {
			first = c.firstClosed(first)
		}
	}
	return first
}

func (r *Route) anyPublic() bool { return slices.ContainsFunc(r.rules, (*Rule).Public) }

// lintTwins asks where the twins of a path go: the paths that a sloppy service
// takes for the same (another case, a slash more or less). For a final ** that
// is the place that it hangs from.
func (r *reader) lintTwins(p *Policy, route *Route) {
	path := route.pattern.sample("x")
	if route.pattern.segments[len(route.pattern.segments)-1].kind == tailSegment {
		path = strings.TrimSuffix(path, "x")
	}
	for _, twin := range twins(path) {
		other := p.root.find(twin)
		if other == nil || other == route || isLiteralFor(other, twin) {
			continue
		}
		if strict, weaker := p.weakened(route, other); weaker != nil {
			r.reportAt(route.line, route.column, idWeakerTwin, "close the twin with a rule of its own, such as `ANY: nobody`",
				"%s %s is caught by %s (line %d), which asks for less than %s does in line %d",
				weaker.method, twin, other.Template(), weaker.line, route.Template(), strict.line)
			return
		}
	}
	for _, twin := range acceptedTwins(path) {
		other := p.root.find(twin.path)
		if other == nil || other == route || !other.Accepts(twin.rule) {
			continue
		}
		if strict, weaker := p.weakened(route, other); weaker != nil {
			r.reportAt(other.line, other.column, idWeakerTwin, "do not accept it here, or ask for as much as there",
				"%s accepts %s, so %s %s is let through for less than %s asks in line %d, which some services take for the same path",
				other.Template(), twin.rule, weaker.method, twin.path, route.Template(), strict.line)
			return
		}
	}
}

// acceptedTwin is a spelling of a path that only an exception lets through.
type acceptedTwin struct {
	rule GuardRule
	path string
}

// acceptedTwins are what a service that drops parameters, or takes other octets for slashes, reads
// as path.
func acceptedTwins(path string) []acceptedTwin {
	last := strings.LastIndexByte(path, '/')
	with := func(separator string) string { return path[:last] + separator + path[last+1:] }
	out := []acceptedTwin{{RuleSemicolon, path + ";x"}}
	if last > 0 {
		out = append(out, acceptedTwin{RuleEncodedSlash, with("%2F")}, acceptedTwin{RuleEncodedBackslash, with("%5C")}, acceptedTwin{RuleEmptySegment, with("//")})
	}
	return out
}

// weakened finds a method that both routes answer and for which other asks for
// less than route does.
func (p *Policy) weakened(route, other *Route) (strict, weaker *Rule) {
	for _, rules := range [][]*Rule{route.rules, other.rules} {
		for _, rule := range rules {
			strict, weaker = route.rule(rule.method), other.rule(rule.method)
			if strict != nil && weaker != nil && p.opensMore(weaker, strict) {
				return strict, weaker
			}
		}
	}
	return nil, nil
}

// twins are the other spellings of a path by slash and case.
func twins(path string) []string {
	var out []string
	if trimmed, ok := strings.CutSuffix(path, "/"); ok {
		if trimmed != "" {
			out = append(out, trimmed)
		}
	} else {
		out = append(out, path+"/")
	}
	for _, folded := range []string{strings.ToUpper(path), strings.ToLower(path)} {
		if folded != path && !strings.Contains(path, "%") {
			out = append(out, folded)
		}
	}
	return out
}

// isLiteralFor reports whether the route names the path outright: then it was
// written on purpose.
func isLiteralFor(r *Route, path string) bool {
	return !slices.ContainsFunc(r.pattern.segments, func(s segment) bool { return s.kind != literalSegment }) &&
		r.pattern.sample("") == path
}

// opensMore reports whether some token (or nobody at all) passes a but not b,
// conditions on both sides taken as fulfilled. Where a has too many ways to be
// listed, it is not reported: this is a remark and no proof.
func (p *Policy) opensMore(a, b *Rule) bool {
	switch {
	case a.access == toNobody || b.access == toEveryone:
		return false
	case a.access == toEveryone || b.access == toNobody:
		return true
	}
	ways, exact := a.formula.ways(len(p.vocabulary.words), a.everyCondition())
	if !exact {
		return false
	}
	for _, way := range ways {
		if !b.formula.holds(p.vocabulary.close(way), b.everyCondition()) {
			return true
		}
	}
	return len(b.conditions) > 0 && len(a.conditions) == 0
}

// unused reports declared scopes that open nothing, be it by themselves or by
// what they imply.
func (r *reader) unused(p *Policy, where map[string]*yaml.Node) {
	opening := p.OpeningScopes() // in the order of the vocabulary
	for _, word := range p.vocabulary.words {
		if len(opening) > 0 && opening[0] == word {
			opening = opening[1:]
		} else {
			r.report(where[word], idUnusedScope, "use it in a route, or remove it", "no route needs the scope %s", word)
		}
	}
}
