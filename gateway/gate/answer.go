package gate

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Answer is a refusal as the caller sees it.
//
// It lives until [Exchange.End]; nothing of it may be changed or kept.
type Answer struct {
	Status int
	Fields []Field // in order, no name twice; Content-Type and Content-Length included
	Body   []byte  // none for a status of 204
	// Trailers is set for a gRPC caller: Fields then hold the status, and there
	// is no body (a trailers-only response).
	Trailers bool
}

// Refuse turns an error of [Exchange.Admit], or a lane's own, into the answer.
// It is the only place where an error becomes a status. The exchange remembers
// the refusal for its record.
func (x *Exchange) Refuse(ctx context.Context, err error) Answer {
	x.refusal = refusalOf(err)
	v := verdictOf[x.refusal.Reason]
	status := v.status
	if x.refusal.Status != 0 {
		status = x.refusal.Status
	}
	if x.fields == nil {
		x.fields = make([]Field, 0, 12)
	}
	a := Answer{Status: status, Fields: x.fields[:0]}
	a.set("X-Request-Id", x.RequestID())
	if x.refusal.Reason == ReasonResourceMetadata {
		x.answerMetadata(&a)
		return a
	}
	a.set("Cache-Control", "no-store")
	if c := x.challenge(v.challenge); c != "" {
		a.set("WWW-Authenticate", c)
	}
	if v.retry > 0 {
		a.set("Retry-After", strconv.Itoa(x.refusal.retryAfter(v.retry)))
	}
	if x.refusal.Reason == ReasonMethodNotAllowed {
		a.set("Allow", x.match.Route.Allow())
	}
	switch {
	case status == http.StatusNoContent:
		x.answerPreflight(&a)
		return a
	case x.seals():
		x.sealed = x.service.Sealer.Seal(x.sealed[:0], x, status)
		a.set(explanationField, x.explanation())
	}
	if x.fromGRPC() {
		x.shareRefusal(&a)
		a.grpc(v, x.message(v))
		return a
	}
	a.set("Vary", "Accept")
	x.shareRefusal(&a)
	x.writeBody(ctx, &a, v)
	return a
}

func (a *Answer) set(name, value string) { a.Fields = append(a.Fields, Field{name, value}) }

// merge is set for a list that may have begun.
func (a *Answer) merge(name, value string) {
	for i := range a.Fields {
		if a.Fields[i].Name == name {
			a.Fields[i].Value += ", " + value
			return
		}
	}
	a.set(name, value)
}

// grpc makes a trailers-only response of the answer.
func (a *Answer) grpc(v *verdict, message string) {
	a.Status, a.Trailers = http.StatusOK, true
	a.set("Content-Type", "application/grpc")
	a.set("Grpc-Status", strconv.Itoa(v.grpc))
	a.set("Grpc-Message", message)
}

// message is the reason's code, or what the bare body says.
func (x *Exchange) message(v *verdict) string {
	if x.explains() == ExplainScopes {
		return string(x.refusal.Reason)
	}
	return v.detail
}

// fromGRPC: the gRPC form answers HTTP/2 POSTs only, so that no browser can be
// made to see a 200 for a refusal.
func (x *Exchange) fromGRPC() bool {
	if x.in.ProtoMajor != 2 || x.in.Method != http.MethodPost {
		return false
	}
	v := x.in.Header.Values("Content-Type")
	return len(v) == 1 && isGRPC(v[0])
}

func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(contentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == '-')
}

// tells reports whether the caller may learn what the policy says: never
// before a valid token was seen, and never where the service's explain: is
// none.
func (x *Exchange) tells() bool {
	return x.token != nil && x.service.Explain == ExplainScopes
}

// explains is how much this caller's service tells.
func (x *Exchange) explains() Explain {
	if x.service != nil {
		return x.service.Explain
	}
	return x.snapshot.explain
}

// explanationField carries what was sealed.
const explanationField = "Scopegate-Explanation"

// seals reports whether the answer carries an explanation for operators. It
// needs no token: what is wrong with a token is asked most.
func (x *Exchange) seals() bool { return x.service != nil && x.service.Explain == ExplainSealed }

// explanation is what was sealed; "" where nothing was.
func (x *Exchange) explanation() string {
	return unsafe.String(unsafe.SliceData(x.sealed), len(x.sealed))
}

// quoted escapes a quoted-string (RFC 9110 section 5.6.4): an acr value is any
// string of the policy's.
var quoted = strings.NewReplacer(`"`, `\"`, `\`, `\\`)

// challenge writes WWW-Authenticate (RFC 6750 section 3, RFC 9470 section 3).
func (x *Exchange) challenge(c challenge) string {
	if c == noChallenge {
		return ""
	}
	b := append(x.challenged[:0], "Bearer"...)
	if x.service != nil {
		b = append(b, ` realm="`...)
		b = append(b, x.service.Name()...)
		b = append(b, '"')
	}
	switch c {
	case challengeRequest:
		b = appendParam(b, "error", "invalid_request")
	case challengeToken:
		b = appendParam(b, "error", "invalid_token")
	case challengeScope:
		b = appendParam(b, "error", "insufficient_scope")
		if x.tells() {
			b = appendParam(b, "scope", strings.Join(x.decision.Required(), " "))
		}
	case challengeStepUp:
		b = appendParam(b, "error", "insufficient_user_authentication")
		if x.tells() {
			age, acr := x.decision.StepUp()
			if age > 0 {
				b = appendParam(b, "max_age", strconv.FormatInt(int64(age/time.Second), 10))
			}
			if len(acr) > 0 {
				b = appendParam(b, "acr_values", strings.Join(acr, " "))
			}
		}
	}
	if x.service != nil && x.service.document != nil {
		b = appendParam(b, "resource_metadata", x.service.document.url) // RFC 9728 section 5.1
	}
	x.challenged = b
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// appendParam appends an auth-param (RFC 9110 section 11.2).
func appendParam(b []byte, name, value string) []byte {
	if len(b) > len("Bearer") {
		b = append(b, ',')
	}
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, `="`...)
	b = append(b, quoted.Replace(value)...)
	return append(b, '"')
}

// bare is the demo's body. The guard's rule is there for an ambiguous request only: it is
// about the request's own bytes and gives nothing of the policy away, and a
// bare 400 would leave its sender without a clue.
type bare struct {
	Detail string `json:"detail"`
	Guard  string `json:"guard,omitempty"`
}

// problem is RFC 9457 with the demo's detail.
type problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	Reason    Reason   `json:"reason,omitempty"`
	Guard     string   `json:"guard,omitempty"`
	Required  []string `json:"required,omitempty"`
	Missing   []string `json:"missing,omitempty"`
	MaxAge    int64    `json:"max_age,omitempty"`
	ACRValues []string `json:"acr_values,omitempty"`
	Hint      string   `json:"hint,omitempty"`
	Sealed    string   `json:"sealed,omitempty"` // as in Scopegate-Explanation
	RequestID string   `json:"request_id"`
}

func (x *Exchange) writeBody(ctx context.Context, a *Answer, v *verdict) {
	guard := ""
	if x.refusal.Reason == ReasonAmbiguous && x.explains() != ExplainNone {
		guard = x.refusal.Guard.String()
	}
	detail := v.detail
	if a.Status != v.status {
		detail = http.StatusText(a.Status)
	}
	kind := "application/json"
	switch {
	case x.accepts("application/problem+json"):
		kind = "application/problem+json"
		a.Body = marshal(x.problem(ctx, a.Status, detail, guard))
	case guard == "" && a.Status == v.status:
		a.Body = v.body
	default:
		a.Body = marshal(bare{detail, guard})
	}
	a.set("Content-Type", kind)
	a.set("Content-Length", strconv.Itoa(len(a.Body)))
}

func (x *Exchange) problem(ctx context.Context, status int, detail, guard string) problem {
	p := problem{Type: "about:blank", Title: title(status), Status: status, Detail: detail, Guard: guard, Sealed: x.explanation(), RequestID: x.RequestID()}
	if x.explains() != ExplainScopes {
		return p
	}
	p.Reason = x.refusal.Reason
	switch {
	case x.refusal.Reason == ReasonNoRoute:
		p.Hint = x.hint(ctx)
	case !x.tells():
	case x.refusal.Reason == ReasonInsufficientScope:
		p.Required, p.Missing = x.decision.Required(), x.decision.Missing()
	case x.refusal.Reason == ReasonStepUpRequired:
		age, acr := x.decision.StepUp()
		p.MaxAge, p.ACRValues = int64(age/time.Second), acr
	}
	return p
}

// hint names the route that was probably meant, to callers with a valid token.
// A 404 comes before the token is looked at, so it is looked at here, for the
// few requests that ask for a problem document and have a near route.
func (x *Exchange) hint(ctx context.Context) string {
	if x.service == nil {
		return ""
	}
	near := x.service.Policy.Hint(&x.request)
	if near == "" {
		return ""
	}
	if x.token == nil && x.service.Policy.NeedsTokens() && x.identify(ctx) != nil {
		return ""
	}
	return "there is a route " + near
}

func title(status int) string {
	if t := http.StatusText(status); t != "" {
		return t
	}
	return "Client Closed Request"
}

// accepts reports whether an Accept field names the media type outright; a
// wildcard does not ask for anything but the default.
func (x *Exchange) accepts(mediaType string) bool {
	for _, v := range x.in.Header.Values("Accept") {
		for part := range strings.SplitSeq(v, ",") {
			name, parameters, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) && !refusesByWeight(parameters) {
				return true
			}
		}
	}
	return false
}

// refusesByWeight: q=0 means "not acceptable" (RFC 9110 section 12.4.2).
func refusesByWeight(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			return strings.Trim(value, "0.") == ""
		}
	}
	return false
}

func marshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("gate: a refusal's body cannot be written: " + err.Error()) // strings and numbers only
	}
	return body
}
