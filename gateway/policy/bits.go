package policy

import "math/bits"

// bitset is a set of scopes by their number in the vocabulary. A set may be
// shorter than the vocabulary: what lies beyond its end is absent.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int) bool { return i>>6 < len(b) && b[i>>6]>>(i&63)&1 != 0 }

func (b bitset) set(i int)   { b[i>>6] |= 1 << (i & 63) }
func (b bitset) clear(i int) { b[i>>6] &^= 1 << (i & 63) }

func (b bitset) clone() bitset { return append(bitset(nil), b...) }

// add unites b with o, which must not be longer.
func (b bitset) add(o bitset) {
	for i, w := range o {
		b[i] |= w
	}
}

// within reports whether every member of b is one of o.
func (b bitset) within(o bitset) bool {
	for i, w := range b {
		if i < len(o) {
			w &^= o[i]
		}
		if w != 0 {
			return false
		}
	}
	return true
}

// beyond counts the members of b that o lacks.
func (b bitset) beyond(o bitset) int {
	n := 0
	for i, w := range b {
		if i < len(o) {
			w &^= o[i]
		}
		n += bits.OnesCount64(w)
	}
	return n
}

// members lists the set's numbers, ascending.
func (b bitset) members() []int {
	var out []int
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			out = append(out, i<<6+bits.TrailingZeros64(w))
		}
	}
	return out
}
