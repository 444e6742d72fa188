package learn

import (
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// maxSets bounds the different lists of scopes that tokens may have.
const maxSets = 4096

// words is a set of scopes, sorted.
type words []string

func (w words) has(word string) bool {
	_, found := slices.BinarySearch(w, word)
	return found
}

// holds reports whether w has every word of all.
func (w words) holds(all words) bool {
	for _, word := range all {
		if !w.has(word) {
			return false
		}
	}
	return true
}

// common are the words that both have.
func (w words) common(o words) words {
	return slices.DeleteFunc(slices.Clone(w), func(word string) bool { return !o.has(word) })
}

// without is w but for one word.
func (w words) without(word string) words {
	return slices.DeleteFunc(slices.Clone(w), func(one string) bool { return one == word })
}

// scopeSets numbers the lists of scopes that tokens of the log had.
type scopeSets struct {
	vocabulary *policy.Policy // whose implications count; nil for none
	numbers    map[string]int // by the text of the log
	sets       []words
	lines      []int64          // in which a token had the set, allowed or not
	totals     map[string]int64 // of holders, once all is read
}

// number finds the number of a list, -1 when there are too many.
func (s *scopeSets) number(text string, list func() []string) int {
	n, known := s.numbers[text]
	if !known {
		if len(s.sets) == maxSets {
			return -1
		}
		n = len(s.sets)
		s.numbers[strings.Clone(text)] = n
		s.sets = append(s.sets, s.read(list()))
		s.lines = append(s.lines, 0)
	}
	s.lines[n]++
	return n
}

// read is a token's list as the draft will see it: sorted, with what it implies, and without words
// that no policy can name.
func (s *scopeSets) read(list []string) words {
	var set words
	for _, word := range list {
		if nameable(word) {
			set = append(set, strings.Clone(word))
		}
	}
	if s.vocabulary != nil {
		set = append(set, s.vocabulary.Scopes(set).Words()...)
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// nameable reports whether a policy can declare the word (RFC 6749 section 3.3).
func nameable(word string) bool {
	switch word {
	case "", "public", "authenticated", "nobody":
		return false
	}
	return len(word) <= 256 && !strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' })
}

// holders counts the lines whose token had the word. It is for when all lines are read.
func (s *scopeSets) holders(word string) int64 {
	if s.totals == nil {
		s.totals = map[string]int64{}
		for i, set := range s.sets {
			for _, word := range set {
				s.totals[word] += s.lines[i]
			}
		}
	}
	return s.totals[word]
}
