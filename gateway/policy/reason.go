package policy

// Reason is the stable code that says why a request was let through or
// refused. Its text stands in logs, metrics, answers and test files.
type Reason uint8

// The reasons that the policy itself can give. Reasons about tokens, limits and
// the service behind belong to the gate.
const (
	// ReasonNone means that nothing has been decided yet.
	ReasonNone Reason = iota
	// ReasonAllowed means that the caller fulfils the rule.
	ReasonAllowed
	// ReasonPublic means that the rule asks for nothing.
	ReasonPublic
	// ReasonAmbiguousRequest means that a gateway and a service could read the
	// request in two ways.
	ReasonAmbiguousRequest
	// ReasonMalformed means that the request breaks the protocol.
	ReasonMalformed
	// ReasonNoRoute means that no pattern matches the path.
	ReasonNoRoute
	// ReasonMethodNotAllowed means that the winning path does not list the method.
	ReasonMethodNotAllowed
	// ReasonForbidden means that the rule is `nobody`.
	ReasonForbidden
	// ReasonTokenMissing means that the rule needs a token and there is none.
	ReasonTokenMissing
	// ReasonInsufficientScope means that the scopes do not do, whatever the
	// conditions say.
	ReasonInsufficientScope
	// ReasonClaimMismatch means that an `issuer:` or `claims:` condition fails.
	ReasonClaimMismatch
	// ReasonStepUpRequired means that a `max_age:` or `acr:` condition fails.
	ReasonStepUpRequired

	reasonCount
)

var reasonNames = [reasonCount]string{
	ReasonNone:              "",
	ReasonAllowed:           "allowed",
	ReasonPublic:            "public",
	ReasonAmbiguousRequest:  "ambiguous_request",
	ReasonMalformed:         "malformed",
	ReasonNoRoute:           "no_route",
	ReasonMethodNotAllowed:  "method_not_allowed",
	ReasonForbidden:         "forbidden",
	ReasonTokenMissing:      "token_missing",
	ReasonInsufficientScope: "insufficient_scope",
	ReasonClaimMismatch:     "claim_mismatch",
	ReasonStepUpRequired:    "step_up_required",
}

// String returns the stable code, "" for ReasonNone.
func (r Reason) String() string {
	if r >= reasonCount {
		return "unknown"
	}
	return reasonNames[r]
}

// Allows reports whether the reason is one for letting a request through.
func (r Reason) Allows() bool {
	return r == ReasonAllowed || r == ReasonPublic
}

// MarshalText writes the stable code, so that JSON shows the name.
func (r Reason) MarshalText() ([]byte, error) {
	return []byte(r.String()), nil
}

// Reasons lists every reason, for tables that must have a row for each.
func Reasons() []Reason {
	var all []Reason
	for r := ReasonNone + 1; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}

// reasonByName finds a reason by its code. ReasonNone has no name.
func reasonByName(name string) (Reason, bool) {
	for r := ReasonNone + 1; r < reasonCount; r++ {
		if reasonNames[r] == name {
			return r, true
		}
	}
	return ReasonNone, false
}
