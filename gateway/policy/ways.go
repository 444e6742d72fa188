package policy

import (
	"cmp"
	"slices"
	"time"
)

// analysis is one rule's requirement, seen from the words that a token lists:
// each scope of the rule is replaced by itself or any scope that implies it,
// and conditions are atoms like scopes. Atom i is the scope i, atom scopes+i
// the condition i of the rule.
type analysis struct {
	policy *Policy
	rule   *Rule
	scopes int
	atoms  int
	f      formula
}

// way is one set of scopes, with the conditions that must be met beside it.
type way struct {
	scopes bitset
	met    uint64
}

func (p *Policy) analyse(rule *Rule) *analysis {
	n := len(p.vocabulary.words)
	a := &analysis{policy: p, rule: rule, scopes: n, atoms: n + len(rule.conditions)}
	if len(rule.formula) > 0 {
		a.expand(0)
	}
	return a
}

// expand copies the rule's formula from i on, in terms of atoms.
func (a *analysis) expand(i int32) {
	t, v := a.rule.formula[i], a.policy.vocabulary
	switch t.op {
	case opScope:
		at := a.f.open(opAny)
		a.f.leaf(opScope, int(t.arg))
		for j, c := range v.closures {
			if j != int(t.arg) && c.has(int(t.arg)) {
				a.f.leaf(opScope, j)
			}
		}
		a.f.close(at)
	case opCondition:
		a.f.leaf(opScope, a.scopes+int(t.arg))
	default:
		at := a.f.open(t.op)
		for j := i + 1; j < t.next; j = a.rule.formula[j].next {
			a.expand(j)
		}
		a.f.close(at)
	}
}

// ways lists the minimal ways to fulfil the rule, least rights first: of no
// listed one can a scope be left out or a condition be waived. exact is false
// when there are too many to list; those returned are minimal all the same.
func (a *analysis) ways() (out []way, exact bool) {
	if a.rule.access != byRequirement {
		return nil, true
	}
	sets, exact := a.f.ways(a.atoms, 0)
	if !exact {
		sets = a.some()
	}
	for _, s := range sets {
		out = append(out, a.split(s))
	}
	out = a.undominated(out)
	v := a.policy.vocabulary
	slices.SortStableFunc(out, func(x, y way) int {
		order := cmp.Or(
			cmp.Compare(v.close(x.scopes).beyond(nil), v.close(y.scopes).beyond(nil)),
			cmp.Compare(x.scopes.beyond(nil), y.scopes.beyond(nil)))
		switch {
		case order != 0:
			return order
		case before(x.scopes, y.scopes):
			return -1
		case before(y.scopes, x.scopes):
			return 1
		}
		return cmp.Compare(x.met, y.met)
	})
	return out, exact
}

func (a *analysis) split(atoms bitset) way {
	w := way{scopes: newBitset(a.scopes)}
	for _, i := range atoms.members() {
		if i < a.scopes {
			w.scopes.set(i)
		} else {
			w.met |= 1 << (i - a.scopes)
		}
	}
	return w
}

// some finds a few minimal sets where there are too many for all: for each
// leaf of the formula one that goes through it, if it is needed there.
func (a *analysis) some() (sets []bitset) {
	for i := range a.f {
		if a.f[i].op != opScope {
			continue
		}
		set := newBitset(a.atoms)
		a.through(0, int32(i), set)
		sets = absorb(sets, a.shrink(set, int(a.f[i].arg)))
	}
	return sets
}

// through adds to set the atoms of one way to fulfil the formula at i that
// uses the given leaf, wherever it can.
func (a *analysis) through(i, leaf int32, set bitset) {
	t := a.f[i]
	switch t.op {
	case opScope:
		set.set(int(t.arg))
	case opAll:
		for j := i + 1; j < t.next; j = a.f[j].next {
			a.through(j, leaf, set)
		}
	case opAny:
		chosen := i + 1
		for j := i + 1; j < t.next; j = a.f[j].next {
			if j <= leaf && leaf < a.f[j].next {
				chosen = j
			}
		}
		a.through(chosen, leaf, set)
	}
}

// shrink leaves out every atom that is not needed, last of all keep.
func (a *analysis) shrink(set bitset, keep int) bitset {
	order := slices.DeleteFunc(set.members(), func(i int) bool { return i == keep })
	for _, i := range append(order, keep) {
		if set.clear(i); !a.f.holds(set, 0) {
			set.set(i)
		}
	}
	return set
}

// undominated drops each way beside which another needs no scope and no
// condition more, given that one condition can bring another along.
func (a *analysis) undominated(ways []way) []way {
	brings := make([]uint64, len(ways))
	for i, w := range ways {
		brings[i] = a.rule.brings(w.met)
	}
	var out []way
	for i, w := range ways {
		worse := false
		for j, o := range ways {
			if i == j || !o.scopes.within(w.scopes) || o.met&^brings[i] != 0 {
				continue
			}
			equal := w.scopes.within(o.scopes) && w.met&^brings[j] == 0
			worse = worse || !equal || j < i
		}
		if !worse {
			out = append(out, w)
		}
	}
	return out
}

// brings adds to a set of conditions those that are met whenever one of it is.
func (r *Rule) brings(met uint64) uint64 {
	all := met
	for i := range r.conditions {
		for j := range r.conditions {
			if met>>i&1 != 0 && r.conditions[i].brings(&r.conditions[j]) {
				all |= 1 << j
			}
		}
	}
	return all
}

// brings reports whether o is met by whoever meets c.
func (c *condition) brings(o *condition) bool {
	if c.kind != o.kind || c.claim != o.claim {
		return false
	}
	for _, w := range c.words {
		if !slices.Contains(o.words, w) {
			return false
		}
	}
	for _, v := range c.values {
		if !slices.Contains(o.values, v) {
			return false
		}
	}
	return c.maxAge <= o.maxAge
}

// scopesOnly lists the scope sets of ways without those that contain another.
func scopesOnly(ways []way) []bitset {
	var out []bitset
	for i, w := range ways {
		if !slices.ContainsFunc(ways[:i], func(o way) bool { return o.scopes.within(w.scopes) }) {
			out = append(out, w.scopes)
		}
	}
	return out
}

// holder makes the caller of a way: its token lists the way's scopes and meets
// its conditions for the path, and as few others as can be. ok is false when no
// token can, as with two issuers at once, or when the path has no segment to
// compare with.
func (a *analysis) holder(w way, path string) (c *Caller, scopes []string, ok bool) {
	c, ok = a.rule.token(w.met, path)
	scopes = a.policy.vocabulary.names(w.scopes)
	c.Scopes = a.policy.Scopes(scopes)
	return c, scopes, ok && a.rule.met(c, path)&w.met == w.met
}

// token makes a caller without scopes that meets the conditions in met.
func (r *Rule) token(met uint64, path string) (c *Caller, ok bool) {
	c = &Caller{}
	var classes, avoid []string
	for i := range r.conditions {
		cond := &r.conditions[i]
		asked := met>>i&1 != 0
		switch {
		case cond.kind == onACR && asked:
			classes = narrow(classes, cond.words)
		case cond.kind == onACR:
			avoid = append(avoid, cond.words...)
		case !asked:
		case cond.kind == onIssuer:
			c.Issuer = cond.words[0]
		case cond.kind == onMaxAge:
			c.limitAge(cond.maxAge)
		default:
			if !r.claim(c, cond, met, path) {
				return c, false
			}
		}
	}
	for _, class := range classes {
		if c.ACR == "" || slices.Contains(avoid, c.ACR) {
			c.ACR = class
		}
	}
	return c, true
}

func (c *Caller) limitAge(d time.Duration) {
	if !c.AuthAgeKnown || d < c.AuthAge {
		c.AuthAge, c.AuthAgeKnown = d, true
	}
}

// claim puts a value into the caller's claims that the condition accepts; one
// claim asked for twice becomes an array. The claim stands under its whole
// name, which goes before a path with dots.
func (r *Rule) claim(c *Caller, cond *condition, met uint64, path string) bool {
	value, ok := r.accepted(cond, met, path)
	if !ok {
		return false
	}
	if c.Claims == nil {
		c.Claims = map[string]any{}
	}
	switch old := c.Claims[cond.claim].(type) {
	case nil:
		c.Claims[cond.claim] = value
	case string:
		if old != value {
			c.Claims[cond.claim] = []any{old, value}
		}
	case []any:
		if !slices.Contains(old, any(value)) {
			c.Claims[cond.claim] = append(old, value)
		}
	}
	return true
}

// accepted chooses a value for a claims: condition, if possible one that meets
// none of the conditions that are not asked for.
func (r *Rule) accepted(cond *condition, met uint64, path string) (text string, ok bool) {
	for i := range cond.values {
		one := cond.values[i].text
		if at := cond.values[i].segment; at >= 0 {
			segment := nthSegment(path, at)
			if one = decodeSegment(segment); one == "" || exceptionIn(segment) {
				continue
			}
		}
		others := false
		for j := range r.conditions {
			o := &r.conditions[j]
			others = others || met>>j&1 == 0 && o.kind == onClaim && o.claim == cond.claim && o.acceptsOne(one, path)
		}
		if !others {
			return one, true
		}
		if !ok {
			text, ok = one, true
		}
	}
	return text, ok
}
