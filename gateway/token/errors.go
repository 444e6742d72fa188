package token

import "time"

// Reason is the stable code of a refusal, as it stands in logs, metrics and answers. It is
// an error, so that errors.Is(err, token.ReasonExpired) holds for an [Error] with that code.
type Reason string

// The reasons that [Verifier.Verify] gives. All are the caller's fault (401) but
// ReasonKeysUnavailable, which is nobody's word on the token (503).
const (
	ReasonMalformed       Reason = "token_malformed"     // not one well-formed, unencrypted compact JWS with claims
	ReasonSignature       Reason = "token_signature"     // the key named does not verify it
	ReasonExpired         Reason = "token_expired"       // exp plus skew is over
	ReasonNotYetValid     Reason = "token_not_yet_valid" // nbf or iat lies ahead by more than the skew
	ReasonIssuer          Reason = "token_issuer"        // iss is no issuer of ours, or not one of this service
	ReasonAudience        Reason = "token_audience"      // aud is not what the service asks
	ReasonType            Reason = "token_type"          // an ID, refresh or logout token, or another typ
	ReasonAlgorithm       Reason = "token_algorithm"     // alg is not allowed, or does not fit the key
	ReasonUnknownKey      Reason = "token_unknown_key"   // the issuer has no such key, as a fresh fetch confirmed
	ReasonBound           Reason = "token_bound"         // bound to a sender (cnf), which is not checked here
	ReasonKeysUnavailable Reason = "keys_unavailable"    // the issuer's keys cannot be had at the moment
)

// Error makes a Reason usable as the target of errors.Is.
func (r Reason) Error() string { return string(r) }

// Reasons lists every reason, for tables that must have a row for each.
func Reasons() []Reason {
	return []Reason{
		ReasonMalformed, ReasonSignature, ReasonExpired, ReasonNotYetValid, ReasonIssuer,
		ReasonAudience, ReasonType, ReasonAlgorithm, ReasonUnknownKey, ReasonBound,
		ReasonKeysUnavailable,
	}
}

// Error is every error of [Verifier.Verify].
type Error struct {
	Reason Reason
	// Detail says what was wrong, for the log only. It may quote short pieces of the token's
	// header or claims; it never holds the token or its signature.
	Detail string
	// RetryAfter is when trying again makes sense, for ReasonKeysUnavailable; otherwise zero.
	RetryAfter time.Duration
}

// Error joins reason and detail.
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Detail }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

func refuse(reason Reason, detail string) *Error {
	return &Error{Reason: reason, Detail: detail}
}
