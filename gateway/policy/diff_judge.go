package policy

import "slices"

// verdictKey names the comparison of two rules on paths that are alike for both.
type verdictKey struct{ old, new int }

// verdictOn compares two rules, once for all pairs that ask for the same.
func (c *comparer) verdictOn(old, new *Rule, path string) verdict {
	key := verdictKey{c.numberOf(old.key(c.old.policy, path)), c.numberOf(new.key(c.new.policy, path))}
	if key.old == key.new && (c.sameWords || c.sameHolders(old, new)) {
		return verdict{}
	}
	v, known := c.verdicts[key]
	if !known {
		v = c.compareRules(old, new, path)
		c.verdicts[key] = v
	}
	return v
}

// sameHolders reports whether the same words stand for each scope of two rules
// that are spelled alike: then they are equal, however hard they are to compare.
func (c *comparer) sameHolders(old, new *Rule) bool {
	if !old.lets(byRequirement) {
		return true
	}
	for i, t := range old.formula {
		if t.op == opScope && !slices.Equal(c.old.holders(t.arg), c.new.holders(new.formula[i].arg)) {
			return false
		}
	}
	return true
}

// holders are the words that stand for a scope.
func (s *side) holders(scope int32) []string {
	var out []string
	for _, i := range s.implying(scope) {
		out = append(out, s.policy.vocabulary.words[i])
	}
	return out
}

func (c *comparer) numberOf(key string) int {
	n, known := c.numbers[key]
	if !known {
		n = len(c.numbers)
		c.numbers[key] = n
	}
	return n
}

// judge gathers the changes of one meeting: by method, by what the routes accept
// beyond ordinary requests, and by what they may switch to.
func (c *comparer) judge(m *meeting) {
	broken := m.at.req.Broken // nothing, if they win any ordinary path together
	if m.old == nil || m.new == nil || broken&^(m.old.accepts&m.new.accepts) == 0 {
		c.methods(m)
	}
	if m.old == nil || m.new == nil {
		return
	}
	differ := m.old.accepts ^ m.new.accepts
	for rule := RuleEncodedSlash; rule.Waivable(); rule++ {
		if differ.Has(rule) {
			c.exception(m, rule)
		}
	}
	c.upgrade(m)
}

// ruleFor is the rule of a route for a method; nil where there is none and where
// the route does not accept what the request breaks.
func (r *Route) ruleFor(method string, broken GuardRules) *Rule {
	if r == nil || broken&^r.accepts != 0 {
		return nil
	}
	return r.rule(method)
}

// ask compares what two rules say to the request of a change, of which the rest
// is still to be found out, and notes how they differ.
func (c *comparer) ask(m *meeting, x Change, old, new *Rule) {
	v := c.verdictOn(old, new, x.Request.Path)
	widened, narrowed := Loosened, Tightened
	if !v.before {
		widened = Opened
	}
	if !v.after {
		narrowed = Closed
	}
	x.Old, x.New = Answer{Route: m.old, Rule: old}, Answer{Route: m.new, Rule: new}
	switch {
	case v.unknown:
		c.note(x, MayWiden, nil)
		c.note(x, MayTighten, nil)
		return
	case v.wider != nil:
		c.note(x, widened, v.wider)
	}
	if v.narrower != nil {
		c.note(x, narrowed, v.narrower)
	}
}

// methods compares the rules for every method, once for each pair of rules.
func (c *comparer) methods(m *meeting) {
	type pair struct{ old, new *Rule }
	found := map[pair]*Change{}
	var order []pair
	for _, method := range methodsOf(m.old, m.new) {
		key := pair{m.old.ruleFor(method.sent, m.at.req.Broken), m.new.ruleFor(method.sent, m.at.req.Broken)}
		if key.old == nil && key.new == nil {
			continue
		}
		known := found[key]
		if known == nil {
			known = &Change{Received: received(method.sent, m.at.req.Path)}
			found[key] = known
			order = append(order, key)
		}
		if method.name != "HEAD" || !slices.Contains(known.Methods, "ANY") {
			known.Methods = append(known.Methods, method.name)
		}
	}
	for _, key := range order {
		x := *found[key]
		x.Request, _ = readingOf(x.Received)
		c.ask(m, x, key.old, key.new)
	}
}

// asked is a method as it is sent, and the name of what it stands for.
type asked struct{ sent, name string }

// methodsOf lists the methods that one of two routes names, GET first, a method that stands
// for all others, and HEAD, which goes by one of these unless it is named.
func methodsOf(old, new *Route) []asked {
	var named []string
	for _, r := range []*Route{old, new} {
		if r == nil {
			continue
		}
		for _, rule := range r.rules {
			if rule != r.any {
				named = append(named, rule.method)
			}
		}
	}
	slices.Sort(named)
	named = slices.DeleteFunc(slices.Compact(named), func(m string) bool { return m == "HEAD" })
	if i := slices.Index(named, "GET"); i > 0 { // the method that everybody can try comes first
		named = slices.Insert(slices.Delete(named, i, i+1), 0, "GET")
	}
	var out []asked
	for _, m := range named {
		out = append(out, asked{m, m})
	}
	return append(out, asked{unnamed(named), "ANY"}, asked{"HEAD", "HEAD"})
}

// unnamed is a method that is none of those, a usual one if possible.
func unnamed(named []string) string {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if !slices.Contains(named, m) {
			return m
		}
	}
	m := "X"
	for slices.Contains(named, m) {
		m += "X" // ends: the routes name finitely many methods
	}
	return m
}

// note confirms a change by asking both policies, and keeps it. A witness that
// does not bear it out makes it one that is not proven.
func (c *comparer) note(x Change, kind ChangeKind, who *Persona) {
	x.Kind, x.Who = kind, who
	if who != nil {
		c.confirm(&x)
	}
	if x.Who == nil {
		c.exact = false
	}
	if x.Exception == 0 && x.Upgrade == "" {
		key := noted{x.Kind, x.Old.Rule, x.New.Rule}
		if at, known := c.noted[key]; known {
			c.changes[at].alsoFor(x.Methods)
			return
		}
		c.noted[key] = len(c.changes)
	}
	c.changes = append(c.changes, x)
}

// noted names a change. A rule may stand where there was no route, and where
// there was one without the method: that is one change from nothing.
type noted struct {
	kind     ChangeKind
	old, new *Rule
}

func (x *Change) alsoFor(methods []string) {
	for _, method := range methods {
		if !slices.Contains(x.Methods, method) {
			x.Methods = append(x.Methods, method)
		}
	}
}

func (c *comparer) confirm(x *Change) {
	before := c.old.policy.Decide(&x.Request, x.Who.Caller(c.old.policy))
	after := c.new.policy.Decide(&x.Request, x.Who.Caller(c.new.policy))
	x.Old.take(&before)
	x.New.take(&after)
	x.gate()
	widens := x.Kind.Widens()
	if x.Old.Allow == widens || x.New.Allow != widens {
		x.Who, x.Kind = nil, MayTighten
		if widens {
			x.Kind = MayWiden
		}
	}
}

func (a *Answer) take(d *Decision) { a.Allow, a.Reason = d.Allow, d.Reason.String() }
