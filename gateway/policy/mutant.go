package policy

import "strings"

// Mutant is a policy with one mistake in it that lets somebody do what the original refuses.
type Mutant struct {
	Mistake
	// Policy is the weakened policy.
	Policy *Policy
	// Who and Request are somebody who gets in by the mistake, and what they ask for: the original
	// refuses them and the mutant does not, by Decide.
	Who     *Persona
	Request Request

	route *Route  // of the original, for a mistake in one path or rule
	wider pattern // for a wider path
	scope int     // for an implication the scope that implies more, else -1
}

// Mistake says what is wrong with a mutant.
type Mistake struct {
	Kind MutantKind
	// Path and Method are those of the rule through which somebody gets in: the one that was
	// weakened, or for a path or an implication the first that gives way.
	Path, Method string
	// Line is where the weakened rule, path or scope stands in the file.
	Line int
	// Change says it in words.
	Change string
}

// MutantKind is the kind of mistake. Its text stands in results and keeps its meaning.
type MutantKind uint8

// The kinds, in the order in which they are tried on a rule.
const (
	// ScopeDropped: one of the scopes that are needed together is not needed any more.
	ScopeDropped MutantKind = iota
	// ConditionDropped: a claims:, issuer:, max_age: or acr: is gone.
	ConditionDropped
	// MaxAgeDoubled: a login may be twice as old.
	MaxAgeDoubled
	// AllToAny: one of the scopes will do where all are needed.
	AllToAny
	// AlternativeAdded: another scope of the vocabulary will do too.
	AlternativeAdded
	// NobodyOpened: any valid token will do where the rule says nobody.
	NobodyOpened
	// MadeAuthenticated: any valid token will do.
	MadeAuthenticated
	// MadePublic: no token is needed.
	MadePublic
	// MethodWidened: the rule of one method stands for every method that is not listed.
	MethodWidened
	// LiteralWidened: a {name} stands in the place of a literal segment.
	LiteralWidened
	// PathWidened: a final /** stands in the place of the last segment.
	PathWidened
	// ImplicationAdded: one scope implies another.
	ImplicationAdded

	mutantKinds
)

var mutantKindNames = [mutantKinds]string{"scope_dropped", "condition_dropped", "max_age_doubled", "all_to_any",
	"alternative_added", "nobody_opened", "made_authenticated", "made_public", "method_widened", "literal_widened",
	"path_widened", "implication_added"}

// String returns the kind's name, such as `scope_dropped`.
func (k MutantKind) String() string {
	if k >= mutantKinds {
		return "unknown"
	}
	return mutantKindNames[k]
}

// MarshalText writes the kind's name, so that JSON shows it.
func (k MutantKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// weakening is one mistake in a rule.
type weakening struct {
	kind       MutantKind
	change     string
	access     access
	formula    formula
	conditions []condition // those of the rule, if nil
}

// anyToken is the formula of `authenticated`.
func anyToken() formula { return group(opAll) }

// weakenings lists the mistakes that can be made in a rule. Several may come to the same, or to
// what the rule says already.
func (p *Policy) weakenings(rule *Rule) []weakening {
	switch rule.access {
	case toEveryone:
		return nil
	case toNobody:
		return []weakening{
			{kind: NobodyOpened, change: "any valid token will do instead of nobody", formula: anyToken()},
			{kind: MadePublic, change: "no token is needed, instead of nobody", access: toEveryone},
		}
	}
	w := weakener{policy: p, rule: rule, f: rule.formula, places: rule.formula.places()}
	for i := range w.f {
		w.drop(int32(i))
	}
	for i := range rule.conditions {
		w.double(i)
	}
	for i := range w.f {
		w.anyOfAll(int32(i))
		w.alternatives(int32(i))
	}
	w.add(weakening{kind: MadeAuthenticated, change: "any valid token will do", formula: anyToken()})
	w.add(weakening{kind: MadePublic, change: "no token is needed", access: toEveryone})
	for i := range w.f {
		w.dropList(int32(i))
	}
	return w.out
}

type weakener struct {
	policy *Policy
	rule   *Rule
	f      formula
	places []place
	out    []weakening
}

func (w *weakener) add(one weakening) { w.out = append(w.out, one) }

// names lists the scopes of a part of the formula.
func (w *weakener) names(i int32) string {
	return strings.Join(w.policy.vocabulary.names(w.f.sub(i).scopes(len(w.policy.vocabulary.words))), ", ")
}

// isList reports whether the term is an any: or all:, and not the mapping around one.
func (w *weakener) isList(i int32) bool {
	return (w.f[i].op == opAll || w.f[i].op == opAny) && w.places[i].depth%2 == 1
}

// without is the formula with one term less, and without the lists and mappings that this leaves
// empty. It is nil where the term stands beside alternatives: without it less would do, not more.
func (w *weakener) without(i int32) formula {
	for i != 0 && w.places[i].siblings == 1 {
		i = w.places[i].parent
	}
	switch {
	case i == 0:
		return anyToken()
	case w.f[w.places[i].parent].op == opAny:
		return nil
	}
	return w.f.splice(i, nil)
}

// drop leaves out one scope or condition.
func (w *weakener) drop(i int32) {
	t := w.f[i]
	if t.op != opScope && t.op != opCondition {
		return
	}
	one := weakening{kind: ScopeDropped, formula: w.without(i)}
	if t.op == opCondition {
		one.kind, one.change = ConditionDropped, w.rule.conditions[t.arg].text+" is not asked for"
	} else {
		one.change = w.policy.vocabulary.words[t.arg] + " is not needed"
	}
	if one.formula != nil {
		w.add(one)
	}
}

// dropList leaves out an any: of several.
func (w *weakener) dropList(i int32) {
	if w.f[i].op != opAny || i+1 == w.f[i].next || w.f[i+1].next == w.f[i].next {
		return
	}
	if without := w.without(i); without != nil {
		w.add(weakening{kind: ScopeDropped, change: "none of " + w.names(i) + " is needed", formula: without})
	}
}

// double doubles a max_age:.
func (w *weakener) double(i int) {
	longer := w.rule.conditions[i].maxAge * 2
	if longer <= 0 { // another kind of condition, or beyond what a duration can hold
		return
	}
	conditions := append([]condition(nil), w.rule.conditions...)
	conditions[i].maxAge = longer
	w.add(weakening{kind: MaxAgeDoubled, formula: w.f, conditions: conditions,
		change: "max_age is " + shortDuration(longer) + " instead of " + shortDuration(w.rule.conditions[i].maxAge)})
}

// anyOfAll makes an any: of an all:.
func (w *weakener) anyOfAll(i int32) {
	if w.f[i].op != opAll || !w.isList(i) {
		return
	}
	list := w.f.sub(i)
	list[0].op = opAny
	w.add(weakening{kind: AllToAny, change: "any of " + w.names(i) + " will do instead of all", formula: w.f.splice(i, list)})
}

// maxAlternatives bounds the mutants of one list; see nearest.
const maxAlternatives = 3

// alternatives adds a scope to an any:, or to the one scope or all: of the whole rule as another
// way to fulfil it.
func (w *weakener) alternatives(i int32) {
	whole := w.f[i].op == opScope && i == 0 || w.f[i].op == opAll && w.isList(i) && w.places[i].depth == 1
	if !whole && !(w.f[i].op == opAny && w.isList(i)) {
		return
	}
	v := w.policy.vocabulary
	sub, named := w.f.sub(i), w.f.scopes(len(v.words))
	where := " will do too"
	if w.places[i].depth > 1 {
		where += ", beside " + w.names(i)
	}
	for _, scope := range v.nearest(sub.scopes(len(v.words)), func(s int) bool {
		return named.has(s) || sub.holds(v.closure(s), 0)
	}) {
		w.add(weakening{kind: AlternativeAdded, change: v.words[scope] + where, formula: w.f.splice(i, group(opAny, sub, scopeAlone(scope)))})
	}
}

// nearest lists the scopes that a writer could mix up with those given: their next neighbours in
// the vocabulary, which is sorted, and so those that share the most of the name. Not those given,
// and not those to skip.
func (v *vocabulary) nearest(to bitset, skip func(scope int) bool) []int {
	var out []int
	tried := to.clone()
	from := to.members()
	for distance := 1; distance < len(v.words) && len(out) < maxAlternatives; distance++ {
		for _, i := range from {
			for _, scope := range []int{i - distance, i + distance} {
				if scope < 0 || scope >= len(v.words) || tried.has(scope) {
					continue
				}
				tried.set(scope)
				if !skip(scope) && len(out) < maxAlternatives {
					out = append(out, scope)
				}
			}
		}
	}
	return out
}
