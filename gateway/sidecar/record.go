package sidecar

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

const (
	maxLogged    = 512 // bytes of a value that a client chose
	refusedLines = 100 // a second and reason
	causeLines   = 10  // a second and reason
)

// recorder turns every exchange into one set of observations and one line of the decision
// log. It runs on the request's goroutine, keeps nothing of the exchange, and never waits.
type recorder struct {
	traffic   *traffic
	pens      *pens
	nowhere   slot         // for requests to no service
	decisions slog.Handler // through the queue
	events    *slog.Logger
	refused   *limiter
	causes    *limiter
	sample    atomic.Int64 // every n-th allowed line
	allowed   atomic.Int64
}

// decisionOptions drops the level: a line of the decision log has the keys of its contract
// and no others.
var decisionOptions = &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}}

func newRecorder(t *traffic, decisions slog.Handler, events *slog.Logger) *recorder {
	r := &recorder{traffic: t, pens: newPens(t.stripes), nowhere: slot{place: place{unmatched, unmatched}}, decisions: decisions, events: events, refused: newLimiter(refusedLines), causes: newLimiter(causeLines)}
	r.sample.Store(1)
	return r
}

// describe tells the recorder what is served from now on.
func (r *recorder) describe(n *state) {
	r.sample.Store(int64(n.config.Log.SampleAllowed))
	r.traffic.keep(n.places(), n.loaded)
}

// flush accounts, at the end, for the lines that were held back and that no later line has
// counted.
func (r *recorder) flush() {
	for reason, n := range r.refused.left() {
		r.events.Info("requests without a line", "reason", reason, "sampled", n)
	}
}

// Record implements [gate.Recorder].
func (r *recorder) Record(x *gate.Exchange, o gate.Outcome) {
	now := time.Now()
	took := now.Sub(x.Started())
	at, reason := r.slotOf(x), string(x.Reason())

	pn := r.pens.take()
	r.traffic.observe(at.in(r.traffic), pn.stripe, fate{methodLabel(x), reason, o.Status}, &o, now, took)
	r.pens.back(pn)

	r.cause(x, o, now)
	l := labels{at.service, at.route, reason}
	sampled := r.sampled(x, &l, o, now)
	if sampled == 0 {
		return
	}
	line := slog.NewRecord(now, slog.LevelInfo, "request", 0)
	line.AddAttrs(r.attributes(x, &l, o, took, sampled)...)
	_ = r.decisions.Handle(context.Background(), line)
}

type labels struct{ service, route, reason string }

// sampled says for how many requests the line of this one stands; 0 means that it gets none.
// What a stranger can cause without a token is limited, what is allowed is sampled as
// configured, and every other refusal has its line.
func (r *recorder) sampled(x *gate.Exchange, l *labels, o gate.Outcome, now time.Time) int64 {
	if x.Refusal() != nil {
		if l.service == unmatched || slices.Contains(strangers, o.Status) || isPreflight(x) {
			return r.refused.allow(l.reason, now)
		}
		return 1
	}
	n := r.sample.Load()
	if n > 1 && r.allowed.Add(1)%n != 1 {
		return 0
	}
	return n
}

// isPreflight reports what the gateway answered a browser before the page's own request; it
// needs no token.
func isPreflight(x *gate.Exchange) bool {
	f := x.Refusal()
	return f != nil && (f.Reason == gate.ReasonPreflight || f.Reason == gate.ReasonPreflightRefused)
}

// strangers are the statuses of refusals that need no token.
var strangers = []int{400, 401, 404, 405}

// cause writes what the caller must not see: why an upstream could not be reached, why keys
// are missing, what an internal fault was, which issuer was nearly meant.
func (r *recorder) cause(x *gate.Exchange, o gate.Outcome, now time.Time) {
	err, reason := o.Err, string(x.Reason())
	if f := x.Refusal(); f != nil && f.Err != nil {
		err = f.Err
	}
	if err == nil || reason == string(gate.ReasonAmbiguous) || reason == string(gate.ReasonClientClosed) {
		return
	}
	n := r.causes.allow(reason, now)
	if n == 0 {
		return
	}
	level := slog.LevelWarn
	switch {
	case reason == string(gate.ReasonInternal):
		level = slog.LevelError
	case strings.HasPrefix(reason, "token_"), isPreflight(x):
		level = slog.LevelInfo // a client's doing
	}
	r.events.Log(context.Background(), level, "request cause",
		"request_id", clip(x.RequestID(), maxLogged), "reason", reason, "error", clip(err.Error(), maxLogged), "sampled", n)
}

// attributes are the keys of the decision log in their order, all of them in every line, so
// that whoever reads the log can tell "none" from "not written". time and msg come before.
func (r *recorder) attributes(x *gate.Exchange, l *labels, o gate.Outcome, took time.Duration, sampled int64) []slog.Attr {
	who := r.caller(x, l)
	return []slog.Attr{
		slog.String("request_id", clip(x.RequestID(), maxLogged)),
		slog.String("service", l.service),
		slog.String("host", clip(x.Request().Host, maxLogged)),
		slog.String("method", methodOf(x)),
		slog.String("path", clip(x.Request().Path, maxLogged)),
		slog.String("route", l.route),
		slog.Int("status", o.Status),
		slog.String("decision", decisionOf(x)),
		slog.String("reason", l.reason),
		slog.String("guard", guardOf(x)),
		slog.String("issuer", who.issuer),
		slog.String("subject", clip(who.subject, maxLogged)),
		slog.String("client", clip(who.client, maxLogged)),
		slog.Any("scopes", who.scopes),
		slog.Any("missing", missingOf(x)),
		slog.Any("claims", who.claims),
		slog.Any("auth_age", who.authAge),
		slog.String("acr", clip(who.acr, maxLogged)),
		slog.Bool("anonymous", x.Anonymous()),
		slog.String("policy", who.policy),
		slog.String("rule", ruleOf(x)),
		slog.Float64("duration_ms", milliseconds(took)),
		slog.Float64("upstream_ms", milliseconds(o.Upstream)),
		slog.Int64("bytes_in", o.BytesIn),
		slog.Int64("bytes_out", o.BytesOut),
		slog.Int64("sampled", sampled),
	}
}

// caller is what the log says of whoever asked.
type caller struct {
	issuer, subject, client, acr, policy string
	scopes                               []string
	claims                               map[string]any
	authAge                              any // whole seconds, nil where unknown
}

func (r *recorder) caller(x *gate.Exchange, l *labels) caller {
	c := caller{scopes: []string{}, claims: map[string]any{}}
	s := x.Service()
	if s == nil {
		return c
	}
	c.policy = s.Policy.Hash()
	t := x.Token()
	if t == nil {
		return c
	}
	c.issuer, c.subject, c.client, c.acr = t.Issuer, t.Subject, t.Client, t.ACR
	if words := x.Scopes().Words(); len(words) > 0 {
		c.scopes = words
	}
	if !t.AuthTime.IsZero() {
		c.authAge = int64(max(0, x.Started().Sub(t.AuthTime)-t.Skew()) / time.Second)
	}
	for _, name := range s.Meter.(*meter).claims {
		if v := policy.Claim(x.Claims(), name); v != nil {
			c.claims[name] = boundClaim(v)
		}
	}
	return c
}

// boundClaim keeps one claim from filling the log.
func boundClaim(v any) any {
	switch v := v.(type) {
	case string:
		return clip(v, maxLogged)
	case []any:
		const most = 64
		out := make([]any, 0, min(len(v), most))
		for _, e := range v[:min(len(v), most)] {
			out = append(out, boundClaim(e))
		}
		return out
	case map[string]any:
		return nil // an object never matches, so that its contents say nothing
	}
	return v
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// decisionOf is the policy's verdict: allow also where the service then failed to answer. A
// preflight's is whether the page may send what it announces, which is then judged by itself.
func decisionOf(x *gate.Exchange) string {
	if isPreflight(x) {
		return map[bool]string{true: "allow", false: "deny"}[x.Reason() == gate.ReasonPreflight]
	}
	m := x.Match()
	if m.Rule != nil && m.Reason == policy.ReasonNone && (m.Public() || x.Decision().Allow) {
		return "allow"
	}
	return "deny"
}

func missingOf(x *gate.Exchange) []string {
	if x.Reason() != gate.ReasonInsufficientScope {
		return []string{}
	}
	if m := x.Decision().Missing(); m != nil {
		return m
	}
	return []string{}
}

// guardOf is the name of the guard's rule that an ambiguous request broke.
func guardOf(x *gate.Exchange) string {
	if f := x.Refusal(); f != nil {
		return f.Guard.String()
	}
	return ""
}

func ruleOf(x *gate.Exchange) string {
	m := x.Match()
	if m.Rule == nil {
		return ""
	}
	return m.Rule.Position()
}

// methodOf is the method as it was received, unless it was not even one.
func methodOf(x *gate.Exchange) string {
	if m := x.Request().Method; m != "" {
		return m
	}
	m := x.In().Method
	if len(m) > 32 {
		return ""
	}
	for _, c := range []byte(m) {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return ""
		}
	}
	return m
}
