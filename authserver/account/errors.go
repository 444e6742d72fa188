package account

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What an operation may be refused for. A server gives each its status in one
// table; errors.Is finds them inside a *Refusal.
var (
	ErrInvalid            = errors.New("invalid input")                                // a *InvalidError: the input's faults
	ErrSignupClosed       = errors.New("signup is by invitation")                      // signup mode is invite
	ErrCredentials        = errors.New("incorrect username or password")               // unknown, inactive, locked or wrong alike
	ErrScopesNotGranted   = errors.New("requested scopes not granted")                 // asked for scopes, holds none of them
	ErrThrottled          = errors.New("too many attempts")                            // a budget is empty; RetryAfter is set
	ErrBusy               = errors.New("password hashing is busy")                     // the hash queue is full; RetryAfter is set
	ErrUnknownCaller      = errors.New("the token's user or organization is gone")     // could not validate credentials
	ErrInactive           = errors.New("inactive user")                                // the token's user is switched off
	ErrForbidden          = errors.New("not enough permissions")                       // Scopes names what would do
	ErrDelegation         = errors.New("nobody hands out what they do not hold")       // attach beyond one's own rights
	ErrOwnersOnly         = errors.New("only owners touch owners")                     // a change to the owner role
	ErrUsernameTaken      = errors.New("username is taken")                            // in any organization, in any case
	ErrEmailTaken         = errors.New("e-mail address is taken in this organization") // in any case
	ErrRoleExists         = errors.New("role exists")                                  // in this organization, in any case
	ErrPermissionExists   = errors.New("permission exists")                            // the slug is in the catalogue
	ErrRoleNotFound       = errors.New("role not found")                               // unknown or foreign
	ErrPermissionNotFound = errors.New("permission not found")                         // unknown, or nothing of this organization
	ErrUserNotFound       = errors.New("user not found")                               // unknown or foreign
	ErrServiceNotFound    = errors.New("service not found")                            // nobody claimed the name
	ErrServiceForeign     = errors.New("service belongs to another organization")      // or its name is retired
	ErrServiceReserved    = errors.New("service name is reserved")                     // built in or by configuration
	ErrServiceOperator    = errors.New("services are registered by the operator")      // claim mode is operator
	ErrLimit              = errors.New("limit reached")                                // claims or permissions per organization
	ErrKeyGeneration      = errors.New("the key ring changed since it was read")       // read it again and decide again
	ErrKeyNotFound        = errors.New("signing key not found")                        // no row with this kid
	ErrKeyExists          = errors.New("a signing key with this id exists")            // kid is a thumbprint: the same key
	ErrStoreUnavailable   = errors.New("the store cannot do this now")                 // locked by another process, disk full: it may pass
	ErrConflict           = errors.New("the row changed since it was read")            // a compare-and-set lost
)

// Refusal is one sentinel with what a client may be told about it. It never
// holds a secret, and never a name of another organization.
type Refusal struct {
	Reason     error         // a sentinel of this package
	Detail     string        // one sentence for the client
	RetryAfter time.Duration // for ErrBusy and ErrThrottled: at least a second
	Scopes     []string      // for ErrForbidden: any one of these would do
}

// Error is the client's sentence.
func (r *Refusal) Error() string { return r.Detail }

// Unwrap is the sentinel.
func (r *Refusal) Unwrap() error { return r.Reason }

func refuse(reason error, format string, args ...any) error {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// FaultKind says in which way a field is wrong; a closed set.
type FaultKind string

// The kinds of fault. Limit is set for the two lengths.
const (
	TooShort    FaultKind = "too_short"   // shorter than Limit
	TooLong     FaultKind = "too_long"    // longer than Limit
	BadForm     FaultKind = "bad_form"    // outside the field's grammar
	NotAllowed  FaultKind = "not_allowed" // well-formed, but refused
	NotOneOf    FaultKind = "not_one_of"  // not one of the words in Allowed
	Unavailable FaultKind = "unavailable" // a switch for what does not exist yet
)

// Fault is one wrong field of an input. It never repeats the value.
type Fault struct {
	Path    []string // the members that lead to the field: user, username
	Kind    FaultKind
	Message string   // a phrase that reads after the field's name or alone
	Limit   int      // characters; bytes for a password's upper limit
	Allowed []string // for NotOneOf
}

// InvalidError lists every fault of an input, in the order of its fields.
type InvalidError struct{ Faults []Fault }

// Error joins the faults for a log; a server shows them one by one.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = strings.Join(f.Path, ".") + ": " + f.Message
	}
	return strings.Join(lines, "; ")
}

// Unwrap is ErrInvalid.
func (e *InvalidError) Unwrap() error { return ErrInvalid }
