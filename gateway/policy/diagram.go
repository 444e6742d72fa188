package policy

import "math"

// diagram is a set of Boolean functions over numbered atoms as one reduced,
// ordered decision diagram (Bryant, "Graph-Based Algorithms for Boolean Function
// Manipulation", IEEE Transactions on Computers, 1986). Equal functions are one
// node, so whether a function can be true at all is one comparison.
//
// Diagrams of requirements as people write them have about as many nodes as the
// requirement has words. There are formulas for which every diagram is
// exponential; work is therefore bounded, and a diagram that is spent says so
// instead of answering.
type diagram struct {
	nodes  []branch // the first two stand for never and always
	unique map[branch]function
	memo   map[operation]function
	work   *int // steps that are left
}

// function is a node of a diagram, and the function that its branches describe.
type function int32

const (
	never function = iota
	always
)

// branch asks one atom and goes on low if it is false and high if it is true.
type branch struct {
	atom      int32
	low, high function
}

type operation struct {
	op   byte // & and, | or, - and not
	f, g function
}

func newDiagram(work *int) *diagram {
	leaf := branch{atom: math.MaxInt32}
	return &diagram{nodes: []branch{leaf, leaf}, unique: map[branch]function{}, memo: map[operation]function{}, work: work}
}

// spent reports that the bound on work was reached; answers mean nothing then.
func (d *diagram) spent() bool { return *d.work <= 0 }

func (d *diagram) node(b branch) function {
	if b.low == b.high {
		return b.low
	}
	f, known := d.unique[b]
	if !known {
		*d.work--
		f = function(len(d.nodes))
		d.nodes = append(d.nodes, b)
		d.unique[b] = f
	}
	return f
}

// any is true where one of the atoms is, which come in ascending order.
func (d *diagram) any(atoms []int32) function {
	f := never
	for i := len(atoms) - 1; i >= 0; i-- {
		f = d.node(branch{atoms[i], f, always})
	}
	return f
}

// atMostOne is true where no two of the atoms are, which come in ascending order.
func (d *diagram) atMostOne(atoms []int32) function {
	none, one := always, always
	for i := len(atoms) - 1; i >= 0; i-- {
		none, one = d.node(branch{atoms[i], none, one}), d.node(branch{atoms[i], one, never})
	}
	return none
}

func (d *diagram) and(f, g function) function    { return d.apply('&', f, g) }
func (d *diagram) or(f, g function) function     { return d.apply('|', f, g) }
func (d *diagram) andNot(f, g function) function { return d.apply('-', f, g) }

// apply combines two functions branch by branch.
func (d *diagram) apply(op byte, f, g function) function {
	if result, ok := trivial(op, f, g); ok || d.spent() {
		return result
	}
	key := operation{op, f, g}
	if result, known := d.memo[key]; known {
		return result
	}
	*d.work--
	x, y := d.nodes[f], d.nodes[g]
	b := branch{atom: min(x.atom, y.atom)}
	fl, fh, gl, gh := f, f, g, g
	if x.atom == b.atom {
		fl, fh = x.low, x.high
	}
	if y.atom == b.atom {
		gl, gh = y.low, y.high
	}
	b.low, b.high = d.apply(op, fl, gl), d.apply(op, fh, gh)
	result := d.node(b)
	d.memo[key] = result
	return result
}

// trivial answers without looking at any branch, where that is possible.
func trivial(op byte, f, g function) (result function, ok bool) {
	switch op {
	case '&':
		switch {
		case f == never || g == never:
			return never, true
		case f == always || f == g:
			return g, true
		}
		return f, g == always
	case '|':
		switch {
		case f == always || g == always:
			return always, true
		case f == never || f == g:
			return g, true
		}
		return f, g == never
	}
	if f == never || g == always || f == g {
		return never, true
	}
	return f, g == never
}

// least returns the atoms that are true where the function is, of all such sets
// one of the least weight, and of those one with early atoms. The function must not be never.
func (d *diagram) least(f function, weight []int64) []int32 {
	costs := map[function]int64{always: 0, never: math.MaxInt64}
	var cost func(f function) int64
	cost = func(f function) int64 {
		if c, known := costs[f]; known {
			return c
		}
		b := d.nodes[f]
		c := cost(b.low)
		if high := cost(b.high); high < math.MaxInt64 {
			c = min(c, high+weight[b.atom])
		}
		costs[f] = c
		return c
	}
	var out []int32
	for f != always {
		b := d.nodes[f]
		if cost(b.high) == math.MaxInt64 || cost(b.low) < cost(b.high)+weight[b.atom] {
			f = b.low
		} else {
			out = append(out, b.atom)
			f = b.high
		}
	}
	return out
}
