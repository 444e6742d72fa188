package gate

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Reason is the stable code of an outcome, the same in log, metrics and
// problem documents.
type Reason string

const (
	ReasonAllowed             Reason = "allowed"
	ReasonPublic              Reason = "public"
	ReasonAmbiguous           Reason = "ambiguous_request"
	ReasonMalformed           Reason = "malformed"
	ReasonRequestTimeout      Reason = "request_timeout"
	ReasonHeadTooLarge        Reason = "head_too_large"
	ReasonBodyTooLarge        Reason = "body_too_large"
	ReasonNoRoute             Reason = "no_route"
	ReasonMethodNotAllowed    Reason = "method_not_allowed"
	ReasonForbidden           Reason = "forbidden"
	ReasonTokenAmbiguous      Reason = "token_ambiguous"
	ReasonTokenMissing        Reason = "token_missing"
	ReasonInsufficientScope   Reason = "insufficient_scope"
	ReasonClaimMismatch       Reason = "claim_mismatch"
	ReasonStepUpRequired      Reason = "step_up_required"
	ReasonKeysUnavailable     Reason = "keys_unavailable"
	ReasonUpstreamUnreachable Reason = "upstream_unreachable"
	ReasonUpstreamBroken      Reason = "upstream_broken"
	ReasonUpstreamTimeout     Reason = "upstream_timeout"
	ReasonOverloaded          Reason = "overloaded"
	ReasonInternal            Reason = "internal"
	ReasonClientClosed        Reason = "client_closed"
	ReasonPreflight           Reason = "preflight"         // the page may send what it announces
	ReasonPreflightRefused    Reason = "preflight_refused" // its browser will not send it
	ReasonResourceMetadata    Reason = "resource_metadata" // the gateway's own document about the service
)

// Refusal is why a request is not forwarded, or why its answer is not the
// service's; the gateway answers a preflight with 204, and what asks for the
// service's metadata with 200. Lanes make one for what only they can see (limits, time, the
// upstream); the gate makes the others.
type Refusal struct {
	Reason Reason
	// Status overrides the status of Reason's row where a reason has several:
	// malformed is 400, 417, 501 or 505, head_too_large 414 or 431.
	Status int
	Guard  policy.GuardRule // the rule that an ambiguous request broke
	Err    error            // the cause, for the log only

	methods string // of a preflight's answer: Access-Control-Allow-Methods
}

// Error names the reason and the cause; it is for logs, never for a caller.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("%s: %v", r.Reason, r.Err)
	}
	return string(r.Reason)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// retryAfter is when trying again makes sense, in whole seconds: as long as the
// verifier knows, else otherwise.
func (r *Refusal) retryAfter(otherwise int) int {
	var t *token.Error
	if errors.As(r.Err, &t) && t.RetryAfter > 0 {
		return int((t.RetryAfter + time.Second - 1) / time.Second)
	}
	return otherwise
}

// challenge says which WWW-Authenticate a refusal carries.
type challenge uint8

const (
	noChallenge      challenge = iota
	challengeBare              // no credential was sent: no error code (RFC 6750 section 3)
	challengeRequest           // error="invalid_request"
	challengeToken             // error="invalid_token"
	challengeScope             // error="insufficient_scope", scope="…"
	challengeStepUp            // RFC 9470: error="insufficient_user_authentication"
)

// verdict is what a row of the one table makes.
type verdict struct {
	row
	plain Refusal // for this reason, without a cause
	body  []byte  // the bare one: the demo's
}

// row is a row of the one table from a reason to what the caller sees.
type row struct {
	reason    Reason
	status    int
	detail    string // "" means the status's own phrase
	challenge challenge
	grpc      int // the code of google.rpc.Code that stands for it
	retry     int // Retry-After in seconds where the cause names no other; 0: none
}

const (
	grpcCancelled         = 1
	grpcInvalidArgument   = 3
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

const (
	detailToken  = "Invalid token"
	detailScopes = "Not enough permissions"
)

var verdicts = rows([]row{
	{ReasonAmbiguous, 400, "", noChallenge, grpcInvalidArgument, 0},
	{ReasonMalformed, 400, "", noChallenge, grpcInvalidArgument, 0},
	{ReasonRequestTimeout, 408, "", noChallenge, grpcDeadlineExceeded, 0},
	{ReasonHeadTooLarge, 431, "", noChallenge, grpcResourceExhausted, 0},
	{ReasonBodyTooLarge, 413, "", noChallenge, grpcResourceExhausted, 0},
	{ReasonNoRoute, 404, "", noChallenge, grpcUnimplemented, 0},
	{ReasonMethodNotAllowed, 405, "", noChallenge, grpcUnimplemented, 0},
	{ReasonForbidden, 403, detailScopes, noChallenge, grpcPermissionDenied, 0},
	{ReasonTokenAmbiguous, 400, "", challengeRequest, grpcInvalidArgument, 0},
	{ReasonTokenMissing, 401, "Not authenticated", challengeBare, grpcUnauthenticated, 0},
	{Reason(token.ReasonMalformed), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonSignature), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonExpired), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonNotYetValid), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonIssuer), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonAudience), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonType), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonAlgorithm), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonUnknownKey), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{Reason(token.ReasonBound), 401, detailToken, challengeToken, grpcUnauthenticated, 0},
	{ReasonKeysUnavailable, 503, "", noChallenge, grpcUnavailable, 5},
	{ReasonInsufficientScope, 403, detailScopes, challengeScope, grpcPermissionDenied, 0},
	{ReasonClaimMismatch, 403, detailScopes, noChallenge, grpcPermissionDenied, 0},
	{ReasonStepUpRequired, 401, "Login too old", challengeStepUp, grpcUnauthenticated, 0},
	{ReasonUpstreamUnreachable, 502, "", noChallenge, grpcUnavailable, 0},
	{ReasonUpstreamBroken, 502, "", noChallenge, grpcUnavailable, 0},
	{ReasonUpstreamTimeout, 504, "", noChallenge, grpcDeadlineExceeded, 0},
	{ReasonOverloaded, 503, "", noChallenge, grpcUnavailable, 1},
	{ReasonInternal, 500, "", noChallenge, grpcInternal, 0},
	{ReasonClientClosed, 499, "Client Closed Request", noChallenge, grpcCancelled, 0},
	{ReasonResourceMetadata, 200, "", noChallenge, 0, 0},
	{ReasonPreflight, 204, "", noChallenge, 0, 0},
	{ReasonPreflightRefused, 204, "", noChallenge, 0, 0}, // no 403: a browser that gets one says less of what is wrong
})

func rows(table []row) []verdict {
	all := make([]verdict, len(table))
	for i, r := range table {
		if r.detail == "" {
			r.detail = http.StatusText(r.status)
		}
		all[i] = verdict{row: r, plain: Refusal{Reason: r.reason}, body: marshal(bare{Detail: r.detail})}
	}
	return all
}

var verdictOf = func() map[Reason]*verdict {
	m := make(map[Reason]*verdict, len(verdicts))
	for i := range verdicts {
		m[verdicts[i].reason] = &verdicts[i]
	}
	return m
}()

// refused is a refusal for a reason that needs no more words: one value for
// each, so that a flood of refused requests allocates nothing.
func refused(r Reason) *Refusal { return &verdictOf[r].plain }

// Reasons lists every reason with which a request can be refused: the closed
// set of the metrics' label, beside allowed and public.
func Reasons() []Reason {
	all := make([]Reason, len(verdicts))
	for i := range verdicts {
		all[i] = verdicts[i].reason
	}
	return all
}

// refusalOf gives any error its reason. An error that nobody has named is our
// own fault, and its text stays in the log.
func refusalOf(err error) *Refusal {
	r, ok := err.(*Refusal) // nearly always
	if ok || errors.As(err, &r) {
		if verdictOf[r.Reason] == nil {
			return &Refusal{Reason: ReasonInternal, Err: err}
		}
		return r
	}
	var g *policy.GuardError
	if errors.As(err, &g) {
		return &Refusal{Reason: Reason(g.Reason.String()), Status: guardStatus[g.Kind], Guard: g.Rule, Err: err}
	}
	var t *token.Error
	if errors.As(err, &t) && verdictOf[Reason(t.Reason)] != nil {
		return &Refusal{Reason: Reason(t.Reason), Err: err}
	}
	return &Refusal{Reason: ReasonInternal, Err: err}
}

// guardStatus is the part of the table that the guard's kinds of error add to
// their reasons; 0 leaves the reason's own.
var guardStatus = [...]int{
	policy.KindBadRequest:     0,
	policy.KindNotImplemented: 501,
	policy.KindVersion:        505,
}
