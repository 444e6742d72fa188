package policy

import "time"

// Caller is who asks, as far as a policy may know: what a verified token says.
// The zero value is the holder of a token that says nothing.
type Caller struct {
	// Anonymous means that there is no token.
	Anonymous bool
	// Issuer is the token's `iss`, byte for byte.
	Issuer string
	// Scopes is what the policy's Scopes made of the token's words.
	Scopes *ScopeSet
	// Claims is the token's claim set as a JSON tree whose numbers are
	// json.Number; numbers of any other type never match.
	Claims map[string]any
	// ACR is the authentication context class; "" when the token has none.
	ACR string
	// AuthAge is how long ago the login was, the issuer's skew already taken
	// off. It counts only if AuthAgeKnown.
	AuthAge      time.Duration
	AuthAgeKnown bool
}

// Match says which rule answers a request, or why none does.
type Match struct {
	// Route is the winning path; nil when there is none, and for a request
	// without one reading, which has no path to speak of.
	Route *Route
	// Rule is nil when no rule answers.
	Rule *Rule
	// Method is the one judged and to be sent: the overriding one where the
	// path accepts overrides.
	Method string
	// Reason is ReasonNone when a rule that somebody may fulfil was found; else
	// ReasonNoRoute, ReasonMethodNotAllowed, ReasonAmbiguousRequest, or
	// ReasonForbidden for `nobody`.
	Reason Reason
	// Guard is the broken rule of ReasonAmbiguousRequest.
	Guard GuardRule
}

// Public reports whether the request may pass without looking at any token.
func (m *Match) Public() bool {
	return m.Reason == ReasonNone && m.Rule != nil && m.Rule.access == toEveryone
}

// NeedsToken reports whether the answer depends on a token.
func (m *Match) NeedsToken() bool {
	return m.Reason == ReasonNone && m.Rule != nil && m.Rule.access == byRequirement
}

// Match finds the rule that answers a request. It allocates nothing.
//
// The winning path must waive every rule of the guard that the request breaks,
// and owns the answer: no wider path is asked when it does not list the method.
func (p *Policy) Match(req *Request) Match {
	m := Match{Method: req.Method}
	route := p.root.find(req.Path)
	refused := req.Broken
	if route != nil {
		refused &^= route.accepts
	}
	if refused != 0 {
		m.Reason, m.Guard = ReasonAmbiguousRequest, refused.First()
		return m
	}
	if route == nil {
		m.Reason = ReasonNoRoute
		return m
	}
	if req.Override != "" {
		m.Method = req.Override
	}
	m.Route = route
	m.Rule = route.rule(m.Method)
	switch {
	case m.Rule == nil:
		m.Reason = ReasonMethodNotAllowed
	case m.Rule.access == toNobody:
		m.Reason = ReasonForbidden
	}
	return m
}

// Decision is the answer to one request of one caller.
type Decision struct {
	Allow  bool
	Reason Reason
	Match  Match

	policy *Policy
	held   bitset
	met    uint64
}

// Permit judges a caller under the rule that Match found for the request. A nil
// caller is anonymous. It allocates nothing.
func (p *Policy) Permit(m *Match, req *Request, c *Caller) Decision {
	d := Decision{Reason: m.Reason, Match: *m, policy: p}
	switch {
	case m.Reason != ReasonNone:
	case m.Rule == nil: // the zero Match, which nothing was found for
		d.Reason = ReasonNoRoute
	case m.Rule.access == toEveryone:
		d.Reason = ReasonPublic
	case c == nil || c.Anonymous:
		d.Reason = ReasonTokenMissing
	default:
		d.held = c.Scopes.of(p.vocabulary)
		d.met = m.Rule.met(c, req.Path)
		d.Reason = m.Rule.judge(d.held, d.met)
	}
	d.Allow = d.Reason.Allows()
	return d
}

// judge evaluates a requirement. Of the reasons to refuse it names the one
// that no later step could make up for: first scopes, with every condition
// taken as fulfilled; then issuer and claims; then age and kind of the login.
func (r *Rule) judge(held bitset, met uint64) Reason {
	switch f := r.formula; {
	case f.holds(held, met):
		return ReasonAllowed
	case !f.holds(held, r.everyCondition()):
		return ReasonInsufficientScope
	case !f.holds(held, met|r.stepBits):
		return ReasonClaimMismatch
	}
	return ReasonStepUpRequired
}

// Decide answers a request of a caller: Match, then Permit. It is the one
// decision function; the data path differs only in verifying the token between
// its two halves.
func (p *Policy) Decide(req *Request, c *Caller) Decision {
	m := p.Match(req)
	return p.Permit(&m, req, c)
}

// Policy is the hash of the policy that decided.
func (d *Decision) Policy() string {
	if d.policy == nil {
		return ""
	}
	return d.policy.hash
}

// Missing lists the scopes that the caller would have to have besides those
// held, sorted: of all sets that would do, the one that adds the fewest rights,
// counted after implications. It is empty unless scopes are what is missing
// (ReasonInsufficientScope) or there is no token (ReasonTokenMissing; do not
// tell that to an anonymous caller). It prefers a set that does with the
// conditions as they are met, else takes every condition as fulfilled. The list
// must not be changed.
func (d *Decision) Missing() []string { return d.wanted(d.held) }

// Required lists the whole set of scopes to which Missing belongs, whether
// held or not, sorted; for RFC 6750's scope attribute. It must not be changed.
func (d *Decision) Required() []string { return d.wanted(nil) }

// wanted lists the words of the set that would do, but for those that held
// makes up for. Most rules ask for one scope, and need no search.
func (d *Decision) wanted(held bitset) []string {
	if d.Reason != ReasonInsufficientScope && d.Reason != ReasonTokenMissing {
		return nil
	}
	f, v := d.Match.Rule.formula, d.policy.vocabulary
	if len(f) == 1 && f[0].op == opScope {
		i := f[0].arg
		return v.words[i : i+1 : i+1]
	}
	set, ok := v.leastSet(f, d.held, d.met)
	if !ok {
		if set, ok = v.leastSet(f, d.held, d.Match.Rule.everyCondition()); !ok {
			return nil
		}
	}
	var out []string
	for _, i := range v.generators(set, held) {
		out = append(out, v.words[i])
	}
	return out
}

// StepUp says what login would do, for RFC 9470's challenge: a login at most
// maxAge ago (0: of any age) and of one of the classes acr (empty: of any).
// Both are zero unless the reason is ReasonStepUpRequired.
func (d *Decision) StepUp() (maxAge time.Duration, acr []string) {
	if d.Reason != ReasonStepUpRequired {
		return 0, nil
	}
	rule := d.Match.Rule
	for _, i := range rule.formula.needs(0, d.held, d.met, rule.stepBits, nil) {
		switch c := &rule.conditions[i]; c.kind {
		case onMaxAge:
			if maxAge == 0 || c.maxAge < maxAge {
				maxAge = c.maxAge
			}
		case onACR:
			acr = narrow(acr, c.words)
		}
	}
	return maxAge, acr
}

// narrow keeps the classes that both lists name; two lists that share none
// cannot be met at once, and the first stands.
func narrow(a, b []string) []string {
	if a == nil {
		return append(a, b...)
	}
	var both []string
	for _, x := range a {
		for _, y := range b {
			if x == y {
				both = append(both, x)
			}
		}
	}
	if both == nil {
		return a
	}
	return both
}
