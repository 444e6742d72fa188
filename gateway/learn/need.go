package learn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// evidence is what the log says about one rule.
type evidence struct {
	allowed []words                 // the sets of scopes that were let in, each once, in a fixed order
	refused []words                 // and those that were refused for them, at the same route and method
	all     []words                 // every set of the log
	holders func(word string) int64 // lines whose token had it
}

// need finds the least that a rule can ask for so that everybody gets in who did. notes say what
// a person has to look at.
func (e *evidence) need() (n policy.Need, notes []string) {
	for _, set := range e.allowed {
		if len(set) == 0 {
			return policy.Need{Word: "authenticated"}, []string{"a token without scopes got in"}
		}
	}
	common := e.allowed[0]
	for _, set := range e.allowed[1:] {
		common = common.common(set)
	}
	if told := e.telling(common); told != nil {
		notes = append(notes, "every token of the log has it, so that it keeps nobody out")
		if other, _ := told.ways(); len(other.Ways) <= fewWays {
			notes = append(notes, other.String()+" would let in the same calls")
		}
	}
	if len(common) > 0 && !holdsAll(e.refused, common) {
		least, twins := e.least(common)
		if len(twins) > 0 {
			notes = append(notes, "every caller also has "+list(twins)+": the log cannot tell which of them is needed")
		}
		return policy.Need{Ways: [][]string{least}}, notes
	}
	return e.ways()
}

// fewWays is how many alternatives are worth a thought in place of a scope that every token has.
const fewWays = 3

// telling is the evidence without the words that every token of the log has, such as openid: they
// tell nothing. nil if that makes no difference, as the calls have other words in common, or some
// have no others at all.
func (e *evidence) telling(common words) *evidence {
	everywhere := common
	for _, set := range e.all {
		everywhere = everywhere.common(set)
	}
	if len(common) == 0 || len(everywhere) < len(common) {
		return nil
	}
	told := evidence{all: e.all, holders: e.holders}
	for _, set := range e.allowed {
		rest := slices.DeleteFunc(slices.Clone(set), everywhere.has)
		if len(rest) == 0 {
			return nil
		}
		told.allowed = append(told.allowed, rest)
	}
	for _, set := range e.refused {
		told.refused = append(told.refused, slices.DeleteFunc(slices.Clone(set), everywhere.has))
	}
	return &told
}

// holdsAll reports whether one of the sets has every word.
func holdsAll(sets []words, all words) bool {
	return slices.ContainsFunc(sets, func(set words) bool { return set.holds(all) })
}

// least drops from the words that all had in common those without which the same tokens of the
// log, at any route, get in and stay out. The words that most tokens hold go first, since they say
// least. twins are words that always stand beside one that stays, so that either would do.
func (e *evidence) least(common words) (least, twins words) {
	least = slices.Clone(common)
	order := slices.SortedFunc(slices.Values(common), func(a, b string) int {
		return cmp.Or(cmp.Compare(e.holders(b), e.holders(a)), strings.Compare(b, a))
	})
	for _, word := range order {
		rest := least.without(word)
		if len(rest) > 0 && e.sameTokens(rest, common) {
			least = rest
		}
	}
	for _, word := range common {
		if least.has(word) {
			continue
		}
		for _, kept := range least {
			if e.sameTokens(words{word}, words{kept}) {
				twins = append(twins, word)
				break
			}
		}
	}
	return least, twins
}

// sameTokens reports whether the same tokens of the log hold both sets.
func (e *evidence) sameTokens(a, b words) bool {
	for _, set := range e.all {
		if set.holds(a) != set.holds(b) {
			return false
		}
	}
	return true
}

// ways finds alternatives, each of which some of the callers had and, if possible, nobody who was
// refused: single scopes first, the one with the most callers first, and for whom none is left the
// fewest of their own scopes.
func (e *evidence) ways() (n policy.Need, notes []string) {
	notes = append(notes, "no scope is common to all calls: alternatives")
	left, good := slices.Clone(e.allowed), e.singles()
	for {
		covers := map[string]int{}
		for _, set := range left {
			for _, word := range set {
				if good[word] {
					covers[word]++
				}
			}
		}
		if len(covers) == 0 {
			break
		}
		word := slices.MinFunc(slices.Collect(maps.Keys(covers)), func(a, b string) int {
			return cmp.Or(cmp.Compare(covers[b], covers[a]), cmp.Compare(e.holders(a), e.holders(b)), strings.Compare(a, b))
		})
		n.Ways = append(n.Ways, []string{word})
		left = slices.DeleteFunc(left, func(set words) bool { return set.has(word) })
	}
	contradicted := false
	for _, set := range left {
		way := slices.Clone(set)
		for _, word := range set {
			if rest := way.without(word); len(rest) > 0 && !holdsAll(e.refused, rest) {
				way = rest
			}
		}
		contradicted = contradicted || holdsAll(e.refused, way)
		n.Ways = append(n.Ways, way)
	}
	if contradicted {
		notes = append(notes, "tokens with the same scopes were refused as well: there was a condition, or another policy")
	}
	return n, notes
}

// singles are the words of those who got in that nobody who was refused had.
func (e *evidence) singles() map[string]bool {
	good := map[string]bool{}
	for _, set := range e.allowed {
		for _, word := range set {
			good[word] = true
		}
	}
	for _, set := range e.refused {
		for _, word := range set {
			delete(good, word)
		}
	}
	return good
}

// list writes some words.
func list(w words) string {
	const most = 5
	if len(w) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(w[:most], ", "), len(w)-most)
	}
	return strings.Join(w, ", ")
}
