package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/token"
)

var (
	errNotAuthenticated = errors.New("no bearer token")
	errBadToken         = errors.New("token is not valid here")
	errClientGone       = errors.New("client closed the request")
)

// challenge is how WWW-Authenticate is worded (RFC 6750 section 3).
type challenge string

const (
	noChallenge       challenge = ""
	plainChallenge    challenge = `Bearer`
	invalidToken      challenge = `Bearer error="invalid_token"`
	insufficientScope challenge = `Bearer error="insufficient_scope"`
)

// verdict is how one error looks from outside. An empty detail means the
// sentence that the refusal carries.
type verdict struct {
	is        error
	status    int
	reason    string // stable, for the log
	detail    string
	challenge challenge
}

// verdicts is the only place where an error of the packages below becomes a
// status. What is not in it is a 500 whose cause only the log knows.
var verdicts = []verdict{
	{errNotAuthenticated, 401, "token_missing", "Not authenticated", plainChallenge},
	{errBadToken, 401, "token_invalid", "Could not validate credentials", invalidToken},
	{account.ErrUnknownCaller, 401, "caller_unknown", "Could not validate credentials", invalidToken},
	{account.ErrCredentials, 401, "credentials", "", plainChallenge},

	{account.ErrInactive, 403, "caller_inactive", "", invalidToken},
	{account.ErrForbidden, 403, "insufficient_scope", "", insufficientScope},
	{account.ErrDelegation, 403, "delegation", "", insufficientScope},
	{account.ErrOwnersOnly, 403, "owners_only", "", insufficientScope},
	{account.ErrScopesNotGranted, 403, "scopes_not_granted", "", noChallenge},
	{account.ErrSignupClosed, 403, "signup_closed", "", noChallenge},
	{account.ErrServiceForeign, 403, "service_foreign", "", noChallenge},
	{account.ErrServiceReserved, 403, "service_reserved", "", noChallenge},
	{account.ErrServiceOperator, 403, "service_operator", "", noChallenge},
	{account.ErrLimit, 403, "limit", "", noChallenge},

	{errBodyBroken, 400, "malformed", "There was an error parsing the body", noChallenge},
	{errBodyTooLarge, 413, "body_too_large", "Request body is larger than 64 KiB", noChallenge},
	{token.ErrTooLarge, 400, "token_too_large", "The token would be too large; ask for fewer scopes", noChallenge},

	{echo.ErrNotFound, 404, "no_route", "Not Found", noChallenge},
	{echo.ErrMethodNotAllowed, 405, "method_not_allowed", "Method Not Allowed", noChallenge},
	{account.ErrRoleNotFound, 404, "role_not_found", "", noChallenge},
	{account.ErrPermissionNotFound, 404, "permission_not_found", "", noChallenge},
	{account.ErrUserNotFound, 404, "user_not_found", "", noChallenge},
	{account.ErrServiceNotFound, 404, "service_not_found", "", noChallenge},

	{account.ErrUsernameTaken, 409, "username_taken", "", noChallenge},
	{account.ErrEmailTaken, 409, "email_taken", "", noChallenge},
	{account.ErrRoleExists, 409, "role_exists", "", noChallenge},
	{account.ErrPermissionExists, 409, "permission_exists", "", noChallenge},
	{account.ErrConflict, 409, "conflict", "The resource was changed by somebody else", noChallenge},

	{account.ErrThrottled, 429, "throttled", "", noChallenge},
	{account.ErrBusy, 503, "busy", "", noChallenge},
	{account.ErrStoreUnavailable, 503, "store_unavailable", "Service Unavailable", noChallenge},
	{token.ErrNoSigner, 503, "no_signing_key", "Service Unavailable", noChallenge},

	{errClientGone, 499, "client_closed", "", noChallenge},
}

// answer is a refusal, ready to be written.
type answer struct {
	status  int
	reason  string
	detail  any // a sentence, or the list of faults
	header  http.Header
	unknown bool // a 500: the cause goes to the log
}

// judge finds the answer for an error.
func judge(err error) answer {
	var f faults
	var rules *account.InvalidError
	if errors.As(err, &rules) {
		err = ruleFaults(rules.Faults)
	}
	if errors.As(err, &f) {
		return answer{status: http.StatusUnprocessableEntity, reason: "invalid", detail: f, header: http.Header{}}
	}
	for _, v := range verdicts {
		if errors.Is(err, v.is) {
			return v.answer(err)
		}
	}
	return answer{
		status: http.StatusInternalServerError, reason: "internal",
		detail: "Internal Server Error", header: http.Header{}, unknown: true,
	}
}

func (v verdict) answer(err error) answer {
	a := answer{status: v.status, reason: v.reason, detail: v.detail, header: http.Header{}}
	var refusal *account.Refusal
	if errors.As(err, &refusal) {
		if v.detail == "" {
			a.detail = refusal.Detail
		}
		if refusal.RetryAfter > 0 {
			a.header.Set("Retry-After", seconds(refusal.RetryAfter))
		}
	}
	if a.detail == "" {
		a.detail = http.StatusText(v.status)
	}
	var later *retryLater
	switch {
	case errors.As(err, &later):
		a.header.Set("Retry-After", seconds(later.after))
	case v.is == account.ErrStoreUnavailable:
		a.header.Set("Retry-After", seconds(storeRetry))
	}
	switch {
	case v.challenge == insufficientScope && refusal != nil && len(refusal.Scopes) > 0:
		a.header.Set("WWW-Authenticate", fmt.Sprintf(`%s, scope=%q`, v.challenge, refusal.Scopes[0]))
	case v.challenge != noChallenge:
		a.header.Set("WWW-Authenticate", string(v.challenge))
	}
	return a
}

// storeRetry is when a client may come back to a store that was locked or full.
const storeRetry = 5 * time.Second

// retryLater adds to an error when it is worth trying again.
type retryLater struct {
	err   error
	after time.Duration
}

func (r *retryLater) Error() string { return r.err.Error() }
func (r *retryLater) Unwrap() error { return r.err }

// seconds rounds up: a client that comes back a moment too early comes twice.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// handleError is echo's only error handler.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if c.Request().Context().Err() != nil && errors.Is(err, context.Canceled) {
		err = errClientGone
	}
	a := judge(err)
	exchangeOf(c).refused(a, err)
	header := c.Response().Header()
	for name, values := range a.header {
		header[name] = values
	}
	if allow := s.allow[c.Path()]; a.status == http.StatusMethodNotAllowed && allow != "" {
		header.Set("Allow", allow) // echo's own list names OPTIONS
	}
	if werr := writeJSON(c, a.status, map[string]any{"detail": a.detail}); werr != nil {
		exchangeOf(c).writeFailed(werr)
	}
}
