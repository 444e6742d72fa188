package replay

import (
	"slices"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/policy"
)

// Why a line cannot be judged by a policy.
const (
	// WhyCaller: the policy asks for a token where none was looked at, since the path was public,
	// closed or not there.
	WhyCaller = "caller_unknown"
	// WhyScopes: the line does not have the token's scopes.
	WhyScopes = "scopes_not_recorded"
	// WhyClaim: the rule reads a claim that the line does not have, because no rule of that day
	// read it, or not in full.
	WhyClaim = "claim_not_recorded"
	// WhyCut: a path or acr that is too long for the log was cut.
	WhyCut = "value_cut"
	// WhyOverride: the route now accepts an overriding method, and the line does not have it.
	WhyOverride = "override_not_recorded"
	// WhyRounded: the login's age is recorded in seconds, and the limit lies within one.
	WhyRounded = "auth_age_rounded"
	// WhyRequest: the line's method and path are no request in canonical form.
	WhyRequest = "no_request"
	// WhyReason: the reason is none that this program knows.
	WhyReason = "reason_unknown"
)

// class is what a reason of the log means for asking again.
type class uint8

const (
	unheard   class = iota // a reason that nobody knows
	decided                // the policy's own
	tokenBad               // there was no good token; there would be none again
	apart                  // settled before the policy was asked, or after it had allowed
	preflight              // what the gateway answers itself, by cors: and resource_metadata:
)

// classes are the reasons of the log (README, "What operators see").
var classes = map[string]class{
	"allowed": decided, "public": decided, "ambiguous_request": decided, "no_route": decided, "method_not_allowed": decided,
	"forbidden": decided, "insufficient_scope": decided, "claim_mismatch": decided, "step_up_required": decided,

	"token_missing": tokenBad, "token_ambiguous": tokenBad, "token_malformed": tokenBad, "token_signature": tokenBad, "token_expired": tokenBad,
	"token_not_yet_valid": tokenBad, "token_issuer": tokenBad, "token_audience": tokenBad, "token_type": tokenBad, "token_algorithm": tokenBad,
	"token_unknown_key": tokenBad, "token_bound": tokenBad, "keys_unavailable": tokenBad,

	"malformed": apart, "request_timeout": apart, "head_too_large": apart, "body_too_large": apart, "overloaded": apart, "internal": apart,
	"upstream_unreachable": apart, "upstream_broken": apart, "upstream_timeout": apart, "client_closed": apart,
	"resource_metadata": preflight, "preflight": preflight, "preflight_refused": preflight,
}

// kind is what came of asking again.
type kind uint8

const (
	unchanged kind = iota
	allowsNow
	deniesNow
	otherReason
	undecided
	beyond // no policy has a say
)

// verdict is what a policy says to a recorded decision.
type verdict struct {
	kind   kind
	reason string // of the policy; of undecided: why
	match  policy.Match
}

// judge asks one policy. It belongs to one goroutine.
type judge struct {
	policy *policy.Policy
	reads  map[*policy.Rule][]string // claims
	known  map[string]*policy.ScopeSet
	// What is used again for each line.
	received policy.Received
	request  policy.Request
	caller   policy.Caller
}

// mostKnown bounds the lists of scopes that are remembered.
const mostKnown = 4096

func newJudge(p *policy.Policy) *judge {
	j := &judge{policy: p, reads: map[*policy.Rule][]string{}, known: map[string]*policy.ScopeSet{}}
	for _, route := range p.Routes() {
		for _, rule := range route.Rules() {
			if claims := rule.Claims(); len(claims) > 0 {
				j.reads[rule] = claims
			}
		}
	}
	return j
}

// judge takes the steps of the data path with what the line has of the request.
func (j *judge) judge(r *decisions.Record) verdict {
	was := classes[r.Reason]
	switch {
	case was == unheard:
		return verdict{kind: undecided, reason: WhyReason}
	case was == preflight, !r.Allow && (was == apart || r.Path == ""):
		return verdict{kind: beyond, reason: r.Reason}
	case len(r.Path) >= decisions.MaxValue:
		return verdict{kind: undecided, reason: WhyCut}
	}
	queryToken, ok := j.read(r)
	if !ok {
		return verdict{kind: undecided, reason: WhyRequest}
	}
	m := j.policy.Match(&j.request)
	switch {
	case r.Guard == "method_override" && m.Reason != policy.ReasonAmbiguousRequest:
		return verdict{kind: undecided, reason: WhyOverride, match: m}
	case was == tokenBad && refusedAgain(r, &m):
		return verdict{kind: unchanged, match: m}
	case !m.NeedsToken():
		d := j.policy.Permit(&m, &j.request, nil)
		return compare(r, was, &d)
	case r.Issuer == "":
		return verdict{kind: undecided, reason: WhyCaller, match: m}
	case r.ScopesText() == "":
		return verdict{kind: undecided, reason: WhyScopes, match: m}
	case queryToken && !m.Route.Accepts(policy.RuleQueryToken):
		return changed(r, was, false, "token_ambiguous", &m)
	}
	return j.permit(r, was, &m)
}

// read makes the recorded request; ok is false if the line has none in canonical form.
func (j *judge) read(r *decisions.Record) (queryToken, ok bool) {
	j.received = policy.Received{Method: r.Method, Target: r.Path, Hosts: anyHost, ProtoMajor: 1, ProtoMinor: 1}
	var err error
	if j.request, err = policy.NewRequest(&j.received); err != nil || j.request.Path != r.Path {
		return false, false
	}
	rules, _ := r.Accepted()
	if r.Guard == "method_override" || slices.Contains(rules, "method_override") {
		j.request.Override = r.Method
		j.request.Broken |= policy.RuleSet(policy.RuleMethodOverride)
	}
	return slices.Contains(rules, "query_token"), true
}

// anyHost stands for the host: which service a request is for is not asked again.
var anyHost = []string{"localhost"}

// refusedAgain reports whether a request without a good token gets the refusal that it got:
// where the rule asks for one, and where routes are hidden (no rule in the line) also from
// what is not there.
func refusedAgain(r *decisions.Record, m *policy.Match) bool {
	if m.NeedsToken() {
		return r.Reason != "token_ambiguous" || !m.Route.Accepts(policy.RuleQueryToken)
	}
	return r.Rule == "" && (m.Reason == policy.ReasonNoRoute || m.Reason == policy.ReasonMethodNotAllowed)
}

// permit puts the recorded caller before the rule.
func (j *judge) permit(r *decisions.Record, was class, m *policy.Match) verdict {
	j.caller = policy.Caller{Issuer: r.Issuer, ACR: r.ACR, Scopes: j.scopes(r)}
	c := &j.caller
	if r.AuthAge >= 0 {
		c.AuthAge, c.AuthAgeKnown = time.Duration(min(r.AuthAge, 1<<32))*time.Second, true
	}
	full := true
	if names := j.reads[m.Rule]; names != nil {
		c.Claims, full = claims(r, names)
	}
	d := j.policy.Permit(m, &j.request, c)
	// More claims never take access away, and never make up for scopes.
	if !d.Allow && d.Reason != policy.ReasonInsufficientScope {
		if !full {
			return verdict{kind: undecided, reason: WhyClaim, match: *m}
		}
		if decisions.MaybeCut(r.ACR) {
			return verdict{kind: undecided, reason: WhyCut, match: *m}
		}
	}
	if d.Reason == policy.ReasonStepUpRequired && c.AuthAge > 0 {
		c.AuthAge -= time.Second - 1
		if again := j.policy.Permit(m, &j.request, c); again.Reason != d.Reason {
			return verdict{kind: undecided, reason: WhyRounded, match: *m}
		}
	}
	return compare(r, was, &d)
}

// scopes is what the policy makes of the token's words.
func (j *judge) scopes(r *decisions.Record) *policy.ScopeSet {
	if known := j.known[r.ScopesText()]; known != nil {
		return known
	}
	if len(j.known) == mostKnown {
		clear(j.known)
	}
	set := j.policy.Scopes(r.Scopes())
	j.known[strings.Clone(r.ScopesText())] = set
	return set
}

// claims are those of the line that can be relied on. full is false if one of those that the
// rule reads is not there, or may have been cut.
func claims(r *decisions.Record, names []string) (all map[string]any, full bool) {
	all, full = r.Claims(), true
	for _, name := range names {
		value, there := all[name]
		whole := there
		switch v := value.(type) {
		case string:
			if whole = !decisions.MaybeCut(v); !whole {
				delete(all, name)
			}
		case []any:
			whole = len(v) < decisions.MaxListed && !slices.ContainsFunc(v, cut)
			all[name] = slices.DeleteFunc(v, cut)
		}
		full = full && whole
	}
	return all, full
}

func cut(v any) bool {
	text, ok := v.(string)
	return ok && decisions.MaybeCut(text)
}

// compare holds a decision against the recorded one.
func compare(r *decisions.Record, was class, d *policy.Decision) verdict {
	return changed(r, was, d.Allow, d.Reason.String(), &d.Match)
}

func changed(r *decisions.Record, was class, allow bool, reason string, m *policy.Match) verdict {
	v := verdict{reason: reason, match: *m}
	switch {
	case allow && !r.Allow:
		v.kind = allowsNow
	case !allow && r.Allow:
		v.kind = deniesNow
	case was != apart && reason != r.Reason:
		v.kind = otherReason
	}
	return v
}
