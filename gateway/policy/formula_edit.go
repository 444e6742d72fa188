package policy

import "slices"

// sub is the subtree at i as a formula of its own.
func (f formula) sub(i int32) formula {
	out := slices.Clone(f[i:f[i].next])
	for k := range out {
		out[k].next -= i
	}
	return out
}

// splice returns the formula with by in the place of the subtree at i; an empty by takes it out.
func (f formula) splice(i int32, by formula) formula {
	end := f[i].next
	longer := int32(len(by)) - (end - i)
	out := make(formula, 0, len(f)+int(longer))
	for _, t := range f[:i] {
		if t.next >= end { // it holds the subtree
			t.next += longer
		}
		out = append(out, t)
	}
	for _, t := range by {
		t.next += i
		out = append(out, t)
	}
	for _, t := range f[end:] {
		t.next += longer
		out = append(out, t)
	}
	return out
}

// group is a formula of one operator over whole formulas.
func group(op operator, parts ...formula) formula {
	f := formula{}
	at := f.open(op)
	for _, part := range parts {
		base := int32(len(f))
		for _, t := range part {
			t.next += base
			f = append(f, t)
		}
	}
	f.close(at)
	return f
}

// scopeAlone is the formula of one scope.
func scopeAlone(scope int) formula {
	var f formula
	f.leaf(opScope, scope)
	return f
}

// place is where a term stands: the operator around it (its own index for the root), how deep,
// and how many terms stand side by side there. Mappings have an even depth and hold at most one
// list beside their conditions; lists have an odd one.
type place struct {
	parent   int32
	depth    int
	siblings int
}

// places tells where each term stands.
func (f formula) places() []place {
	out := make([]place, len(f))
	for i := range f {
		if f[i].op != opAll && f[i].op != opAny {
			continue
		}
		n := 0
		for j := int32(i) + 1; j < f[i].next; j = f[j].next {
			n++
		}
		for j := int32(i) + 1; j < f[i].next; j = f[j].next {
			out[j] = place{int32(i), out[i].depth + 1, n}
		}
	}
	return out
}
