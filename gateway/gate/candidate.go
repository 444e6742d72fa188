package gate

import (
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Verdict is what a candidate policy says of a request.
type Verdict uint8

const (
	CandidateDenies Verdict = iota
	CandidateAllows
	// CandidateUndecided means that it depends on a token which the active policy did not ask
	// for, and which was therefore not verified.
	CandidateUndecided
)

// String is the verdict as in log and metrics.
func (v Verdict) String() string { return [...]string{"deny", "allow", "undecided"}[v] }

// Candidate is what a service's candidate policy says of a request that the active policy has
// answered.
type Candidate struct {
	Verdict Verdict
	// Reason is why: one that the exchange itself could have had. "" where it is undecided.
	Reason Reason
	// Decision holds the rule, and the scopes that were missing.
	Decision policy.Decision
}

// Candidate asks the service's candidate policy. judged is false where there is none, where the
// request never came as far as a policy, as for the gateway's own metadata, and for preflights,
// which announce a request that is judged by itself.
//
// It is for the recorder, once the answer has been given: it changes nothing in x, so that no
// candidate can let anything in. It verifies no token. What the active policy found out about
// the caller holds for both; where it did not look for a token, it still shows that none was
// sent.
func (x *Exchange) Candidate() (c Candidate, judged bool) {
	if x.service == nil || x.service.Candidate == nil {
		return c, false
	}
	if _, preflight := x.announced(); preflight || x.asksForMetadata() {
		return c, false
	}
	p := x.service.Candidate
	m := p.Match(&x.request)
	c.Decision = p.Permit(&m, &x.request, nil)
	if m.NeedsToken() {
		if c.Reason = x.tokenless(m.Route); c.Reason != "" {
			return c, true
		}
		if x.token == nil {
			c.Verdict = CandidateUndecided
			return c, true
		}
		caller := x.caller(x.grant.candidate)
		c.Decision = p.Permit(&m, &x.request, &caller)
	}
	c.Reason = Reason(c.Decision.Reason.String())
	if c.Decision.Allow {
		c.Verdict = CandidateAllows
	}
	return c, true
}

// tokenless is why a rule that asks for a token refuses the request before its policy is asked about
// a caller: the reason of a 400, 401 or 503. It is "" where there is none, and where none is known
// because the active policy asked for no token. What counts as one credential depends on the route.
func (x *Exchange) tokenless(route *policy.Route) Reason {
	_, _, err := x.credential(route)
	if err == nil {
		err = x.tokenErr
	}
	switch e := err.(type) {
	case nil:
		return ""
	case *Refusal:
		return e.Reason
	case *token.Error:
		return Reason(e.Reason)
	}
	return refusalOf(err).Reason
}
