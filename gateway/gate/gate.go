package gate

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Verifier checks an access token and says whether one that was checked may
// still be used. [token.Verifier] is the real one.
type Verifier interface {
	// Verify returns the token's contents if its signature, times, kind, issuer
	// and audience are what a accepts, and a *token.Error otherwise.
	Verify(ctx context.Context, raw string, a *token.Acceptance) (*token.Token, error)
	// Active reports whether t has not expired and its key is still published.
	Active(t *token.Token) bool
}

// Recorder receives every exchange once, when it is over. It must not keep x
// or anything reachable through x after it returns, and must not block.
type Recorder interface {
	Record(x *Exchange, o Outcome)
}

// Gate admits requests against the snapshot that is published at the moment
// when they begin.
type Gate struct {
	snapshot atomic.Pointer[Snapshot]
	recorder Recorder
}

// New returns a gate that serves s and tells r about every exchange.
func New(s *Snapshot, r Recorder) *Gate {
	g := &Gate{recorder: r}
	g.snapshot.Store(s)
	return g
}

// Publish replaces the snapshot. Exchanges that began before keep the old one.
func (g *Gate) Publish(s *Snapshot) { g.snapshot.Store(s) }

// Request is what a lane read, before anything is interpreted.
type Request struct {
	Method     string   // as received; GET for an extended CONNECT that asks for a WebSocket (RFC 8441)
	Target     string   // the request-target or :path, byte for byte
	Hosts      []string // every Host field; in HTTP/2 :authority first, then any host field
	ProtoMajor int
	ProtoMinor int
	Header     Header
	Overrides  []string       // the values of all fields for which IsOverride is true, as a lane finds them while it reads
	TLS        bool           // the client's connection is encrypted
	Peer       netip.AddrPort // the client's address; the zero value for a unix socket
}

// Header is how a lane shows the fields that it read.
type Header interface {
	// Values returns the values of the field called name, which is given in
	// canonical form ("Content-Type").
	Values(name string) []string
}

// Exchange is one request and what has been found out about it. The zero value
// is ready for [Gate.Begin] and may be used again after [Exchange.End].
type Exchange struct {
	gate     *Gate
	in       *Request
	started  time.Time
	snapshot *Snapshot
	service  *Service
	request  policy.Request
	match    policy.Match
	token    *token.Token
	grant    *grant
	person   *person
	subject  string // as a field value
	decision policy.Decision
	refusal  *Refusal
	bearer   bool  // a Bearer credential was found, whatever became of it
	tokenErr error // why the one token that was sent is none
	entered  bool  // counted in the service's requests in flight
	trusted  bool  // the peer is one of the trusted proxies
	id       string
	made     made
	peer     peerText

	// What is used again by the next exchange.
	fields     []Field // of an answer
	challenged []byte
	sealed     []byte
}

// Outcome is what a lane knows when an exchange is over.
type Outcome struct {
	Status   int           // as sent to the client
	BytesIn  int64         // body bytes read from the client
	BytesOut int64         // body bytes written to the client
	Upstream time.Duration // from sending the head to the service until its answer's head; 0 if it was not asked
	Err      error         // what cut a forwarded exchange short, if anything did
}

// Begin readies x for the request in: one clock reading, one snapshot.
func (g *Gate) Begin(x *Exchange, in *Request) {
	*x = Exchange{gate: g, in: in, started: time.Now(), snapshot: g.snapshot.Load(), peer: x.peer, fields: x.fields, challenged: x.challenged, sealed: x.sealed[:0]}
	x.trusted = x.snapshot.trusts(in.Peer.Addr())
}

// Admit asks the questions in the only order in which they may be asked. A nil
// error means that the request may be forwarded, as x describes it and not as
// it came; any other is for [Exchange.Refuse]. It waits only where the
// verifier has to fetch keys, and then no longer than ctx allows.
func (x *Exchange) Admit(ctx context.Context) error {
	if err := x.read(); err != nil {
		return err // 400: malformed, or more than one reading
	}
	if err := x.find(); err != nil {
		return err // 404, or 400 for what nobody accepts
	}
	if x.asksForMetadata() {
		return x.describe() // 200, by resource_metadata:
	}
	if method, ok := x.announced(); ok {
		return x.preflight(method) // 204, or the 400 and 404 of the request that is announced
	}
	if err := x.route(); err != nil {
		return x.conceal(ctx, err) // 404, 405, 400 for what the route does not accept, 403 for nobody
	}
	if !x.match.Public() {
		if err := x.identify(ctx); err != nil {
			return err // 401, 400 for two credentials, 503 without keys
		}
		if err := x.permit(); err != nil {
			return err // 403, or 401 for a step-up
		}
	}
	return x.enter() // 503: more in flight than the service may have
}

// read takes the request to its one reading.
func (x *Exchange) read() (err error) {
	received := policy.Received{
		Method:     x.in.Method,
		Target:     x.in.Target,
		Hosts:      x.in.Hosts,
		ProtoMajor: x.in.ProtoMajor,
		ProtoMinor: x.in.ProtoMinor,
		Overrides:  x.in.Overrides,
	}
	x.request, err = policy.NewRequest(&received)
	return err
}

// find finds the service by host.
func (x *Exchange) find() error {
	x.service = x.snapshot.Service(x.request.Host)
	switch {
	case x.service != nil:
		return nil
	case x.request.Broken != 0:
		return &Refusal{Reason: ReasonAmbiguous, Guard: x.request.Broken.First()}
	}
	return refused(ReasonNoRoute)
}

// route finds the rule by path and method.
func (x *Exchange) route() error {
	x.match = x.service.Policy.Match(&x.request)
	if x.match.Reason != policy.ReasonNone {
		if x.match.Guard == 0 {
			return refused(Reason(x.match.Reason.String()))
		}
		return &Refusal{Reason: ReasonAmbiguous, Guard: x.match.Guard}
	}
	return nil
}

// conceal keeps the map of routes from callers without a valid token, where
// the service hides it (hide_routes): they get the credential's
// error in place of the 404 or 405.
func (x *Exchange) conceal(ctx context.Context, err error) error {
	if !x.service.HideRoutes {
		return err
	}
	if r := x.match.Reason; r != policy.ReasonNoRoute && r != policy.ReasonMethodNotAllowed {
		return err
	}
	if hidden := x.identify(ctx); hidden != nil {
		return hidden
	}
	return err
}

// identify finds the one credential and has it verified.
func (x *Exchange) identify(ctx context.Context) error {
	raw, found, err := x.credential(x.match.Route)
	x.bearer = found
	if err != nil {
		return err
	}
	x.token, err = x.snapshot.verifier.Verify(ctx, raw, &x.service.Accept)
	if err != nil {
		x.token, x.tokenErr = nil, err
		return err
	}
	x.grant = x.snapshot.grantOf(x.service, x.token)
	x.person = x.snapshot.personOf(x.service, x.token)
	x.subject = encode(x.token.Subject)
	return nil
}

// permit puts the caller before the rule.
func (x *Exchange) permit() error {
	caller := x.caller(x.grant.scopes)
	x.decision = x.service.Policy.Permit(&x.match, &x.request, &caller)
	if !x.decision.Allow {
		return refused(Reason(x.decision.Reason.String()))
	}
	if len("X-Auth-Subject")+len(x.subject)+x.grant.size+x.person.size > x.service.identityMax() {
		return refused(ReasonHeadTooLarge)
	}
	return nil
}

// caller is the holder of the verified token, with the scopes as one policy numbers them.
func (x *Exchange) caller(scopes *policy.ScopeSet) policy.Caller {
	c := policy.Caller{Issuer: x.token.Issuer, Scopes: scopes, Claims: x.person.claims, ACR: x.token.ACR}
	c.AuthAge, c.AuthAgeKnown = x.AuthAge()
	return c
}

// AuthAge is how long ago the login behind the verified token was, the skew taken
// off. A login that lies ahead by more than the skew has no age: it must not
// count as a fresh one.
func (x *Exchange) AuthAge() (age time.Duration, known bool) {
	if x.token.AuthTime.IsZero() {
		return 0, false
	}
	age = x.started.Sub(x.token.AuthTime)
	return max(0, age-x.token.Skew()), age >= -x.token.Skew()
}

// enter counts the request among those in flight, unless the service has as
// many as it may have.
func (x *Exchange) enter() error {
	if !x.service.enter() {
		return refused(ReasonOverloaded)
	}
	x.entered = true
	return nil
}

// End records the exchange. It is called exactly once, after which x may be
// given to [Gate.Begin] again.
func (x *Exchange) End(o Outcome) {
	if x.entered {
		x.service.leave()
		x.entered = false
	}
	x.gate.recorder.Record(x, o)
}

// StillAllowed reports whether a stream or tunnel that x opened may go on, and
// which route it now has: the token has not ended, its key is still published,
// and the policy of this moment has a rule for it that its scopes and claims
// fulfil.
func (x *Exchange) StillAllowed() (route *policy.Route, ok bool) {
	now := x.gate.snapshot.Load()
	s := now.Service(x.request.Host)
	if s == nil {
		return nil, false
	}
	m := s.Policy.Match(&x.request)
	if m.Reason != policy.ReasonNone {
		return nil, false
	}
	if m.Public() {
		return m.Route, true
	}
	if x.token == nil || !now.verifier.Active(x.token) {
		return nil, false
	}
	caller := policy.Caller{
		Issuer: x.token.Issuer,
		Scopes: now.grantOf(s, x.token).scopes,
		Claims: now.personOf(s, x.token).claims,
		ACR:    x.token.ACR,
	}
	d := s.Policy.Permit(&m, &x.request, &caller)
	// The login was recent enough when the stream began; that it grows older is no reason to end it.
	if !d.Allow && d.Reason != policy.ReasonStepUpRequired {
		return nil, false
	}
	return m.Route, true
}

// Deadline returns when a stream that x opened must end at the latest: the
// token's expiry plus the allowed skew. The zero time means that no token was
// needed.
func (x *Exchange) Deadline() time.Time {
	if x.token == nil {
		return time.Time{}
	}
	return x.token.ExpiresAt.Add(x.token.Skew())
}

// Started is when the exchange began.
func (x *Exchange) Started() time.Time { return x.started }

// In is the request as the lane read it.
func (x *Exchange) In() *Request { return x.in }

// Service is the service that the request is for; nil where no host matched or
// the request could not be read.
func (x *Exchange) Service() *Service { return x.service }

// Request is the one reading of the request. Only its members may be sent on.
func (x *Exchange) Request() *policy.Request { return &x.request }

// Match is the route and the rule that were found.
func (x *Exchange) Match() *policy.Match { return &x.match }

// Token is the verified token; nil if none was needed or none was good.
func (x *Exchange) Token() *token.Token { return x.token }

// Anonymous reports that no access token was found, be it that none was sent
// or that none was looked for.
func (x *Exchange) Anonymous() bool { return !x.bearer }

// Scopes are the caller's scopes within the service's vocabulary, after
// implications; nil without a token.
func (x *Exchange) Scopes() *policy.ScopeSet {
	if x.grant == nil {
		return nil
	}
	return x.grant.scopes
}

// Claims are those of the caller's that the service's policy or its candidate
// reads; nil without a token.
func (x *Exchange) Claims() map[string]any {
	if x.person == nil {
		return nil
	}
	return x.person.claims
}

// Accepted holds the guard's rules that the request breaks and its route accepts
// (accept:), in its path, its method or its query.
func (x *Exchange) Accepted() policy.GuardRules {
	if x.match.Route == nil {
		return 0
	}
	broken := x.request.Broken
	if x.request.QueryToken {
		broken |= policy.RuleSet(policy.RuleQueryToken)
	}
	return broken & x.match.Route.Accepted()
}

// Decision is the policy's answer; its zero value where it was not asked.
func (x *Exchange) Decision() *policy.Decision { return &x.decision }

// Refusal is what the exchange was refused for; nil where it was not.
func (x *Exchange) Refusal() *Refusal { return x.refusal }

// Reason is the stable code of what became of the request, for log and metrics.
func (x *Exchange) Reason() Reason {
	switch {
	case x.refusal != nil:
		return x.refusal.Reason
	case x.match.Public():
		return ReasonPublic
	default:
		return ReasonAllowed
	}
}

// Method is the method to send on: the one that was judged.
func (x *Exchange) Method() string { return x.match.Method }

// Query is the query to send on, byte for byte as it was received, and whether
// there is a question mark before it. Only where a route accepts
// method_override and the query asked for another method, that pair is gone.
func (x *Exchange) Query() (raw string, has bool) {
	if x.request.Override != "" {
		_, raw, has = x.request.Overridden()
		return raw, has
	}
	return x.request.RawQuery, x.request.HasQuery
}

// Host is the host to send on, in canonical form; "" asks the lane for the
// upstream's own name.
func (x *Exchange) Host() string {
	if x.service.UpstreamHost != "" {
		return x.service.UpstreamHost
	}
	return x.request.Host
}
