package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Who a rule lets in is compared over everything that a rule can see of a
// request: that there is a token at all, the words that it lists, and atoms for
// its conditions. A word counts for what each of the two policies takes it to
// imply, and for nothing where it is not declared. Atoms are independent but
// for these: a token has one issuer and one acr, and a login that is young
// enough for one limit is so for every longer one. A claim may be an array, so
// that any of its values go together; a segment of the path is a value like any
// other, since the path is known.

// verdict says how the answers of two rules differ on one path.
type verdict struct {
	before, after bool     // somebody is let in
	wider         *Persona // let in by the new rule only; nil when there is nobody
	narrower      *Persona // let in by the old rule only
	unknown       bool     // too hard to decide; the rest says nothing
}

// side is one of the two policies.
type side struct {
	policy   *Policy
	impliers map[int32][]int // by scope: it, and the words that imply it
}

// implying lists the words that count as the scope.
func (s *side) implying(scope int32) []int {
	if list, known := s.impliers[scope]; known {
		return list
	}
	var list []int
	for i, closure := range s.policy.vocabulary.closures {
		if i == int(scope) || closure.has(int(scope)) {
			list = append(list, i)
		}
	}
	if s.impliers == nil {
		s.impliers = map[int32][]int{}
	}
	s.impliers[scope] = list
	return list
}

// atom is one independent fact about a token.
type atom struct {
	kind  atomKind
	name  string // the scope's, the claim's
	value string // of a claim, an issuer, an acr
	age   time.Duration
}

type atomKind uint8

const (
	listsWord atomKind = iota
	claimHas
	issuerIs
	acrIs
	ageWithin
)

// inquiry compares two rules that somebody fulfils.
type inquiry struct {
	*diagram
	old, new *side
	path     string
	numbers  map[atom]int32
	atoms    []atom
	weight   []int64
}

// compareRules decides who is let in by one rule and not by the other. nil
// stands for no rule.
func (c *comparer) compareRules(old, new *Rule, path string) verdict {
	if old.lets(toEveryone) || new.lets(toEveryone) {
		return c.comparePublic(old, new, path)
	}
	work := min(c.work, workPerRule)
	before := work
	q := &inquiry{diagram: newDiagram(&work), old: &c.old, new: &c.new, path: path, numbers: map[atom]int32{}}
	v := q.compare(old, new)
	c.work -= before - work
	return v
}

// comparePublic is for pairs of which one rule or both are public: what tells
// them apart is the caller without a token.
func (c *comparer) comparePublic(old, new *Rule, path string) verdict {
	v := verdict{before: old.lets(toEveryone), after: new.lets(toEveryone)}
	somebody := &Persona{Anonymous: true}
	switch {
	case v.before && v.after:
	case v.before:
		rest := c.compareRules(nil, new, path)
		v.after, v.unknown, v.narrower = rest.after, rest.unknown, somebody
	default:
		rest := c.compareRules(old, nil, path)
		v.before, v.unknown, v.wider = rest.before, rest.unknown, somebody
	}
	return v
}

// lets reports the rule's kind; no rule is one that lets nobody in.
func (r *Rule) lets(a access) bool {
	if r == nil {
		return a == toNobody
	}
	return r.access == a
}

func (q *inquiry) compare(old, new *Rule) (v verdict) {
	q.number(q.new, new) // the atoms' order: words that stand together in a rule stay so
	q.number(q.old, old)
	possible := q.possible()
	before := q.and(possible, q.function(q.old, old))
	after := q.and(possible, q.function(q.new, new))
	wider, narrower := q.andNot(after, before), q.andNot(before, after)
	if q.spent() {
		return verdict{unknown: true}
	}
	v.before, v.after = before != never, after != never
	if wider != never {
		v.wider = q.persona(q.least(wider, q.weight))
	}
	if narrower != never {
		v.narrower = q.persona(q.least(narrower, q.weight))
	}
	return v
}

// number gives numbers to the atoms of a rule, in the order in which they stand
// in it.
func (q *inquiry) number(s *side, rule *Rule) {
	if !rule.lets(byRequirement) {
		return
	}
	for _, t := range rule.formula {
		switch t.op {
		case opScope:
			q.words(s, t.arg)
		case opCondition:
			q.condition(&rule.conditions[t.arg])
		}
	}
}

// atomNumber returns an atom's number, which it gives to a new one.
func (q *inquiry) atomNumber(a atom, weight int64) int32 {
	if n, known := q.numbers[a]; known {
		return n
	}
	n := int32(len(q.atoms))
	q.numbers[a] = n
	q.atoms = append(q.atoms, a)
	q.weight = append(q.weight, weight)
	return n
}

// weightOfRight outweighs all conditions of a rule: a witness has as few rights
// as can be, and then as few conditions met.
const weightOfRight = 1000

// words are the atoms that make a token hold a scope, ascending.
func (q *inquiry) words(s *side, scope int32) []int32 {
	var out []int32
	for _, i := range s.implying(scope) {
		word := s.policy.vocabulary.words[i]
		rights := max(q.old.rights(word), q.new.rights(word))
		out = append(out, q.atomNumber(atom{kind: listsWord, name: word}, int64(rights)*weightOfRight+1))
	}
	slices.Sort(out)
	return out
}

// rights counts what a word stands for, itself included.
func (s *side) rights(word string) int {
	v := s.policy.vocabulary
	if i, ok := v.index[word]; ok && v.closures[i] != nil {
		return v.closures[i].beyond(nil)
	}
	return 1
}

// condition lists the atoms of which one must be met, ascending.
func (q *inquiry) condition(c *condition) []int32 {
	var out []int32
	switch c.kind {
	case onMaxAge:
		out = append(out, q.atomNumber(atom{kind: ageWithin, age: c.maxAge}, 1))
	case onIssuer:
		out = append(out, q.atomNumber(atom{kind: issuerIs, value: c.words[0]}, 10))
	case onACR:
		for _, class := range c.words {
			out = append(out, q.atomNumber(atom{kind: acrIs, value: class}, 10))
		}
	default:
		for _, a := range c.values {
			if text, ok := a.on(q.path); ok {
				out = append(out, q.atomNumber(atom{kind: claimHas, name: c.claim, value: text}, 10))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// on is the text that a claim must have on a canonical path; ok is false where
// no text would do.
func (a accepted) on(path string) (text string, ok bool) {
	if a.segment < 0 {
		return a.text, true
	}
	segment := nthSegment(path, a.segment)
	return decodeSegment(segment), segment != "" && !exceptionIn(segment)
}

// function is who the rule lets in.
func (q *inquiry) function(s *side, rule *Rule) function {
	if !rule.lets(byRequirement) {
		return never
	}
	return q.part(s, rule, 0)
}

// part is the function of the formula at i. Lists are joined from their end,
// since their later atoms lie deeper in the diagram.
func (q *inquiry) part(s *side, rule *Rule, i int32) function {
	t := rule.formula[i]
	switch t.op {
	case opScope:
		return q.any(q.words(s, t.arg))
	case opCondition:
		return q.any(q.condition(&rule.conditions[t.arg]))
	}
	var items []int32
	for j := i + 1; j < t.next; j = rule.formula[j].next {
		items = append(items, j)
	}
	slices.Reverse(items)
	joined := always
	if t.op == opAny {
		joined = never
	}
	for _, j := range items {
		if t.op == opAny {
			joined = q.or(q.part(s, rule, j), joined)
		} else {
			joined = q.and(q.part(s, rule, j), joined)
		}
	}
	return joined
}

// key says all that the comparison sees of a rule, but for what its words imply:
// rules with one key let the same callers in on a path, given one vocabulary.
func (r *Rule) key(p *Policy, path string) string {
	if !r.lets(byRequirement) {
		return [...]string{toEveryone: "public", toNobody: "nobody"}[r.accessOrNone()]
	}
	var b strings.Builder
	for _, t := range r.formula {
		switch t.op {
		case opScope:
			fmt.Fprintf(&b, " =%s", p.vocabulary.words[t.arg])
		case opCondition:
			r.conditions[t.arg].key(&b, path)
		default:
			fmt.Fprintf(&b, " %d(%d", t.op, t.next)
		}
	}
	return b.String()
}

func (r *Rule) accessOrNone() access {
	if r == nil {
		return toNobody
	}
	return r.access
}

func (c *condition) key(b *strings.Builder, path string) {
	fmt.Fprintf(b, " ?%d %q %d %q", c.kind, c.claim, c.maxAge, c.words)
	for _, a := range c.values {
		text, ok := a.on(path)
		fmt.Fprintf(b, " %q:%v", text, ok)
	}
}
