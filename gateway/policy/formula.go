package policy

// A requirement is a monotone formula over scopes and conditions: holding
// more, or fulfilling more, never takes access away. It is stored flat, in
// pre-order, so that evaluating it follows no pointer and allocates nothing.

type operator uint8

const (
	opAll operator = iota
	opAny
	opScope
	opCondition
)

// term is one node of a formula. next is the index behind its subtree; arg is
// the number of a scope or of a condition of the rule.
type term struct {
	op   operator
	next int32
	arg  int32
}

type formula []term

// open begins an opAll or opAny; close ends it.
func (f *formula) open(op operator) int {
	*f = append(*f, term{op: op})
	return len(*f) - 1
}

func (f formula) close(at int) { f[at].next = int32(len(f)) }

func (f *formula) leaf(op operator, arg int) {
	*f = append(*f, term{op: op, arg: int32(arg), next: int32(len(*f) + 1)})
}

// holds evaluates the formula for the scopes held and the conditions met.
func (f formula) holds(scopes bitset, met uint64) bool { return f.at(0, scopes, met) }

func (f formula) at(i int32, scopes bitset, met uint64) bool {
	t := f[i]
	switch t.op {
	case opScope:
		return scopes.has(int(t.arg))
	case opCondition:
		return met>>t.arg&1 != 0
	case opAny:
		for j := i + 1; j < t.next; j = f[j].next {
			if f.at(j, scopes, met) {
				return true
			}
		}
		return false
	default:
		for j := i + 1; j < t.next; j = f[j].next {
			if !f.at(j, scopes, met) {
				return false
			}
		}
		return true
	}
}

// maxWays bounds the exact search for smallest sets. Within it lie all rules
// that people write; beyond it leastSet falls back to a greedy search.
const maxWays = 256

// maxPairs bounds the unions of two lists of ways. A refusal pays for them, so
// they must not become a way to keep the gateway busy.
const maxPairs = 8 * maxWays

// ways lists the minimal scope sets that fulfil the formula, conditions being
// as given. exact is false when there are more than maxWays.
func (f formula) ways(scopes int, met uint64) (sets []bitset, exact bool) {
	return f.waysAt(0, scopes, met)
}

func (f formula) waysAt(i int32, scopes int, met uint64) (sets []bitset, exact bool) {
	t := f[i]
	switch t.op {
	case opScope:
		b := newBitset(scopes)
		b.set(int(t.arg))
		return []bitset{b}, true
	case opCondition:
		if met>>t.arg&1 == 0 {
			return nil, true
		}
		return []bitset{newBitset(scopes)}, true
	case opAll:
		sets = []bitset{newBitset(scopes)}
	}
	for j := i + 1; j < t.next; j = f[j].next {
		more, ok := f.waysAt(j, scopes, met)
		if !ok {
			return nil, false
		}
		switch {
		case t.op == opAny:
			for _, b := range more {
				sets = absorb(sets, b)
			}
		case len(sets)*len(more) > maxPairs:
			return nil, false
		default:
			sets = product(sets, more, scopes)
		}
		if len(sets) > maxWays {
			return nil, false
		}
	}
	return sets, true
}

func product(a, b []bitset, scopes int) []bitset {
	var out []bitset
	for _, x := range a {
		for _, y := range b {
			both := newBitset(scopes)
			both.add(x)
			both.add(y)
			if out = absorb(out, both); len(out) > maxWays {
				return out
			}
		}
	}
	return out
}

// absorb adds a set to minimal ones, keeping them minimal.
func absorb(sets []bitset, b bitset) []bitset {
	kept := sets[:0]
	for _, s := range sets {
		if s.within(b) {
			return sets // the rest was not touched: nothing kept contains b
		}
		if !b.within(s) {
			kept = append(kept, s)
		}
	}
	return append(kept, b)
}

// scopes returns the scopes that the formula names.
func (f formula) scopes(n int) bitset {
	b := newBitset(n)
	for _, t := range f {
		if t.op == opScope {
			b.set(int(t.arg))
		}
	}
	return b
}

// leastSet chooses, among the scope sets that fulfil the formula with the
// conditions given, the one that adds the fewest rights to those held, counted
// after implications: an umbrella scope is never proposed where the scopes
// that the rule names do. Ties go to fewer words, then to the vocabulary's
// order. ok is false when no scopes would do.
//
// The search is exact for formulas of at most maxWays minimal sets. For others
// the answer is a set of which no word can be left out, but perhaps not the
// smallest one.
func (v *vocabulary) leastSet(f formula, held bitset, met uint64) (set bitset, ok bool) {
	sets, exact := f.ways(len(v.words), met)
	if !exact {
		return v.greedySet(f, held, met)
	}
	bestRights, bestWords := 0, 0
	for _, s := range sets {
		rights, words := v.close(s).beyond(held), len(v.generators(s, held))
		if set == nil || rights < bestRights || rights == bestRights && (words < bestWords || words == bestWords && before(s, set)) {
			set, bestRights, bestWords = s, rights, words
		}
	}
	return set, set != nil
}

// before orders sets by their members, ascending.
func before(a, b bitset) bool {
	for i := range a {
		if d := a[i] ^ b[i]; d != 0 {
			return a[i]&(d&-d) != 0
		}
	}
	return false
}

// greedySet starts with every scope that the formula names and drops, widest
// first, each one that is not needed.
func (v *vocabulary) greedySet(f formula, held bitset, met uint64) (bitset, bool) {
	set := f.scopes(len(v.words))
	does := func() bool {
		all := v.close(set)
		all.add(held)
		return f.holds(all, met)
	}
	if !does() {
		return nil, false
	}
	for _, i := range v.widestFirst(set) {
		set.clear(i)
		if !does() {
			set.set(i)
		}
	}
	return set, true
}

// generators drops from a set what is held already or implied by another
// member; what is left has to be added. (No circle of implications exists.)
func (v *vocabulary) generators(set, held bitset) []int {
	var out []int
	members := set.members()
	for _, i := range members {
		if !held.has(i) && !v.impliedByOther(members, i) {
			out = append(out, i)
		}
	}
	return out
}

func (v *vocabulary) impliedByOther(members []int, i int) bool {
	for _, j := range members {
		if j != i && v.closures[j].has(i) {
			return true
		}
	}
	return false
}

// needs gathers the assumed conditions along one way to fulfil the formula,
// given that the conditions in assumed will be met. An alternative that holds
// already is preferred, then the first that would.
func (f formula) needs(i int32, held bitset, met, assumed uint64, out []int) []int {
	t := f[i]
	switch t.op {
	case opCondition:
		if assumed>>t.arg&1 != 0 {
			out = append(out, int(t.arg))
		}
	case opAll:
		for j := i + 1; j < t.next; j = f[j].next {
			out = f.needs(j, held, met, assumed, out)
		}
	case opAny:
		if j := f.firstThatHolds(i, held, met); j > 0 {
			return f.needs(j, held, met, assumed, out)
		}
		if j := f.firstThatHolds(i, held, met|assumed); j > 0 {
			return f.needs(j, held, met, assumed, out)
		}
	}
	return out
}

// firstThatHolds returns the index of the first alternative of an opAny that
// holds, 0 when none does.
func (f formula) firstThatHolds(i int32, held bitset, met uint64) int32 {
	for j := i + 1; j < f[i].next; j = f[j].next {
		if f.at(j, held, met) {
			return j
		}
	}
	return 0
}
