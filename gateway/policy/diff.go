package policy

import (
	"cmp"
	"slices"
	"strings"
)

// Change is one difference in who may do what: between a pair of rules, of which
// one answers in the old policy and the other in the new one. A witness shows
// it, and both policies were asked about the witness.
type Change struct {
	Kind ChangeKind
	// Old and New are what the two policies say to the witness.
	Old, New Answer
	// Methods are those for which the same two rules answer, the witness's first;
	// ANY stands for every method that neither path names. What the guard lets
	// through or a path may switch to is one change, with one method.
	Methods []string
	// Received is the witness's request as a client would send it, and Request
	// its reading. Both are zero, as are the routes, in the change that stands for
	// pairs of routes that were not looked at.
	Received Received
	Request  Request
	// Who is the caller of the witness; nil for MayWiden and MayTighten.
	Who *Persona
	// Exception is the guard's rule that the request breaks and that one policy
	// alone accepts; no rule for ordinary requests.
	Exception GuardRule
	// Upgrade is the protocol to which the request asks to switch, where one
	// policy alone has it in `upgrade:`.
	Upgrade string
}

// Answer is what one policy says to a witness.
type Answer struct {
	// Route and Rule are those that answer; nil where none does. A request that
	// the guard refuses has the route that would have answered.
	Route *Route
	Rule  *Rule
	Allow bool
	// Reason is the code of the decision. What the policy allows and the gate
	// refuses all the same has the gate's code.
	Reason string
}

// ChangeKind says in which direction access changed.
type ChangeKind uint8

// The kinds, in the order in which they matter to a reviewer.
const (
	// Opened: nobody could, whatever the token; somebody can now.
	Opened ChangeKind = iota
	// Loosened: somebody can who could not, and others could before.
	Loosened
	// MayWiden: perhaps somebody can who could not; it was not decided.
	MayWiden
	// Tightened: somebody could who cannot now, and others still can.
	Tightened
	// Closed: somebody could; nobody can now.
	Closed
	// MayTighten: perhaps somebody could who cannot now; it was not decided.
	MayTighten
)

// String returns `opened`, `loosened`, `may_widen`, `tightened`, `closed` or
// `may_tighten`.
func (k ChangeKind) String() string {
	return [...]string{"opened", "loosened", "may_widen", "tightened", "closed", "may_tighten"}[k]
}

// About says in a sentence what the kind means.
func (k ChangeKind) About() string {
	return [...]string{
		"nobody could, whatever the token; somebody can now",
		"somebody can who could not, where others could before",
		"perhaps somebody can who could not; it was not decided",
		"somebody could who cannot now, where others still can",
		"somebody could; nobody can now, whatever the token",
		"perhaps somebody could who cannot now; it was not decided",
	}[k]
}

// MarshalText writes the kind's name, so that JSON shows it.
func (k ChangeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Widens reports whether the kind lets somebody in, for certain or perhaps.
func (k ChangeKind) Widens() bool { return k <= MayWiden }

// Proven reports whether a witness shows the change.
func (k ChangeKind) Proven() bool { return k != MayWiden && k != MayTighten }

// Comparison is everything in which two policies differ.
type Comparison struct {
	// Changes are sorted: what widens first, then by path and method.
	Changes []Change
	// Exact tells that there are no other changes than these, and that each of
	// them is proven.
	Exact bool
}

// NewAccess reports whether it is proven that somebody may do what nobody like
// them could before.
func (c *Comparison) NewAccess() bool {
	return slices.ContainsFunc(c.Changes, func(x Change) bool { return x.Kind.Widens() && x.Kind.Proven() })
}

// MayWiden reports whether new access is proven or could not be ruled out.
func (c *Comparison) MayWiden() bool {
	return slices.ContainsFunc(c.Changes, func(x Change) bool { return x.Kind.Widens() })
}

// Compare says who may do what under new that could not under old, and the
// reverse, over all requests and all tokens. Names and order of routes, names of
// path parameters, spelling of requirements and descriptions make no difference.
//
// What a caller is allowed is compared, not how it is refused: one refusal in
// the place of another is no change. One of the two may be nil, a policy that is
// not there and allows nothing.
func Compare(old, new *Policy) Comparison { return CompareUntil(old, new, nil) }

// CompareUntil is Compare for who cannot wait for policies of any size. It asks
// stop many times a second; once that is true it looks at no more, and what was
// not looked at is one change of kind MayWiden and one of kind MayTighten. A nil
// stop never is.
func CompareUntil(old, new *Policy, stop func() bool) Comparison {
	if old == nil {
		old = nothing(new)
	}
	if new == nil {
		new = nothing(old)
	}
	c := newComparer(old, new)
	c.stop = stop
	c.compare()
	out := Comparison{Changes: c.changes, Exact: c.exact && c.whole}
	if !c.whole {
		out.Changes = append(out.Changes, Change{Kind: MayWiden}, Change{Kind: MayTighten})
	}
	slices.SortStableFunc(out.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.template(), b.template()),
			strings.Compare(strings.Join(a.Methods, " "), strings.Join(b.Methods, " ")), cmp.Compare(a.Exception, b.Exception))
	})
	return out
}

// template is the path under which a change is listed: the new one, else the old.
func (x *Change) template() string {
	switch {
	case x.New.Route != nil:
		return x.New.Route.Template()
	case x.Old.Route != nil:
		return x.Old.Route.Template()
	}
	return ""
}
