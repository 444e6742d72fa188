package policy

import (
	"slices"
	"strings"
)

// vocabulary numbers the scopes that a policy declares, in the order of their
// names, and knows what each one implies.
type vocabulary struct {
	words []string
	index map[string]int
	// closures holds, for a word that implies others, itself and everything
	// that it implies, directly or not; nil for a word that implies nothing.
	closures []bitset
}

// closure returns the word and all that it implies.
func (v *vocabulary) closure(i int) bitset {
	if v.closures[i] != nil {
		return v.closures[i]
	}
	b := newBitset(len(v.words))
	b.set(i)
	return b
}

// close unites a set with everything that its members imply.
func (v *vocabulary) close(b bitset) bitset {
	out := b.clone()
	for _, i := range b.members() {
		out.add(v.closures[i])
	}
	return out
}

func (v *vocabulary) names(b bitset) []string {
	out := make([]string, 0, 4)
	for _, i := range b.members() {
		out = append(out, v.words[i])
	}
	return out
}

// ScopeSet is what a token holds of one policy's vocabulary, closed under
// `implies`. It never changes; nil is the empty set. It counts for the policy
// that made it and for no other: numbers of one vocabulary mean nothing in
// another.
type ScopeSet struct {
	vocabulary *vocabulary
	bits       bitset
	words      []string
	header     string
}

// Scopes turns a token's scope words into a set. Words that the policy does
// not declare count for nothing.
func (p *Policy) Scopes(words []string) *ScopeSet {
	v := p.vocabulary
	s := &ScopeSet{vocabulary: v, bits: newBitset(len(v.words))}
	for _, w := range words {
		i, ok := v.index[w]
		if !ok {
			continue
		}
		s.bits.set(i)
		s.bits.add(v.closures[i])
	}
	s.words = v.names(s.bits)
	s.header = strings.Join(s.words, " ")
	return s
}

// Words lists the scopes, sorted.
func (s *ScopeSet) Words() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.words)
}

// Header lists the scopes, sorted and separated by single spaces.
func (s *ScopeSet) Header() string {
	if s == nil {
		return ""
	}
	return s.header
}

// Has reports whether the set holds a scope.
func (s *ScopeSet) Has(word string) bool {
	if s == nil {
		return false
	}
	i, ok := s.vocabulary.index[word]
	return ok && s.bits.has(i)
}

// of returns the set's bits as numbered by v, nothing when another policy made
// the set: after a reload an old set must not open new doors.
func (s *ScopeSet) of(v *vocabulary) bitset {
	if s == nil || s.vocabulary != v {
		return nil
	}
	return s.bits
}

// widestFirst orders a set's members by how much they imply, most first.
func (v *vocabulary) widestFirst(b bitset) []int {
	out := b.members()
	slices.SortStableFunc(out, func(i, j int) int {
		return v.closure(j).beyond(nil) - v.closure(i).beyond(nil)
	})
	return out
}
