package sidecar

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

const (
	refusedLines = 100 // a second and reason
	causeLines   = 10  // a second and reason
)

// recorder turns every exchange into one set of observations and one line of the decision
// log. It runs on the request's goroutine, keeps nothing of the exchange, and never waits. An
// allowed request shares with others no memory that is written, but for the copy of its line
// into the queue.
type recorder struct {
	pens    *pens
	traffic *traffic
	nowhere slot // for requests to no service
	queue   *logQueue
	text    slog.Handler // for lines that are not JSON; nil: they are
	events  *slog.Logger
	refused *limiter
	causes  *limiter
	sample  atomic.Int64 // every n-th allowed line

	differed allowance // of lines about differences, in all
}

// decisionOptions drops the level: a line of the decision log has the keys of its contract
// and no others.
var decisionOptions = &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}}

func newRecorder(t *traffic, q *logQueue, text bool, events *slog.Logger) *recorder {
	r := &recorder{
		pens:    newPens(t.stripes),
		traffic: t,
		nowhere: slot{place: place{unmatched, unmatched}},
		queue:   q,
		events:  events,
		refused: newLimiter(refusedLines, reasons()...),
		causes:  newLimiter(causeLines, reasons()...),
	}
	if text {
		r.text = newHandler(q, true, decisionOptions)
	}
	r.sample.Store(1)
	return r
}

// reasons are all values of the key and label.
func reasons() []string {
	all := []string{string(gate.ReasonAllowed), string(gate.ReasonPublic)}
	for _, reason := range gate.Reasons() {
		all = append(all, string(reason))
	}
	return all
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
	r.flushCompared()
}

// Record implements [gate.Recorder].
func (r *recorder) Record(x *gate.Exchange, o gate.Outcome) {
	now := time.Now()
	took := now.Sub(x.Started())
	at, f := r.slotOf(x), fate{methodLabel(x), string(x.Reason()), o.Status}
	pn := r.pens.take()
	r.traffic.observe(at.in(r.traffic), pn.stripe, f, &o, now, took)
	differs := r.compare(x, at, pn.stripe, now)
	r.cause(x, &o, f.reason, now)
	if sampled := r.sampled(x, at, f, pn, differs.lines, now); sampled > 0 {
		l := line{
			at: now, service: at.service, route: at.route, status: f.status, reason: f.reason, sampled: sampled,
			took: took, upstream: o.Upstream, bytesIn: o.BytesIn, bytesOut: o.BytesOut,
		}
		l.describe(x)
		l.identify(x, pn)
		if differs.lines != nil {
			l.differ(&differs.Candidate, x.Service().Candidate.Hash())
		}
		r.write(&l, pn)
	}
	r.pens.back(pn)
}

// sampled says for how many requests the line of this one stands; 0 means that it gets none.
// What a stranger can cause without a token is limited, what is allowed is sampled as
// configured, and every other refusal has its line. Instead of either, what a candidate decides
// otherwise is limited for itself, by differing, so that there are lines of it.
func (r *recorder) sampled(x *gate.Exchange, at *slot, f fate, pn *pen, differing *allowance, now time.Time) int64 {
	refused := x.Refusal() != nil
	limited := refused && (at.service == unmatched || slices.Contains(strangers, f.status) || isPreflight(x) || isMetadata(x))
	n := r.sample.Load()
	switch {
	case refused && !limited, !refused && n == 1:
		return 1
	case differing != nil:
		return r.differing(differing, now)
	case limited:
		return r.refused.allow(f.reason, now)
	case r.pens.stripes[pn.stripe].allowed.Add(1)%uint64(n) != 1:
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

// isMetadata reports the gateway's own document about a service, which needs no token either.
func isMetadata(x *gate.Exchange) bool {
	f := x.Refusal()
	return f != nil && f.Reason == gate.ReasonResourceMetadata
}

// strangers are the statuses of refusals that need no token.
var strangers = []int{400, 401, 404, 405}

// cause writes what the caller must not see: why an upstream could not be reached, why keys
// are missing, what an internal fault was, which issuer was nearly meant.
func (r *recorder) cause(x *gate.Exchange, o *gate.Outcome, reason string, now time.Time) {
	err := o.Err
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

// describe fills in what was asked for and what the answer is.
func (l *line) describe(x *gate.Exchange) {
	l.requestID, l.host, l.path = x.RequestID(), x.Request().Host, x.Request().Path
	l.method = methodOf(x)
	l.decision = decisionOf(x)
	l.anonymous = x.Anonymous()
	if f := x.Refusal(); f != nil {
		l.guard = f.Guard.String()
	}
	if l.reason == string(gate.ReasonInsufficientScope) {
		l.missing = x.Decision().Missing()
	}
	if s := x.Service(); s != nil {
		l.hash = s.Policy.Hash()
	}
	l.accepted = x.Accepted()
	if rule := x.Match().Rule; rule != nil {
		l.rule = rule.Position()
	}
}

// identify fills in who asked.
func (l *line) identify(x *gate.Exchange, pn *pen) {
	l.authAge = -1
	t := x.Token()
	if t == nil {
		return
	}
	l.issuer, l.subject, l.client, l.acr = t.Issuer, t.Subject, t.Client, t.ACR
	l.scopes = t.Scopes
	if age, known := x.AuthAge(); known {
		// Up, so that a limit of whole seconds is exceeded in the log where it was in fact.
		l.authAge = int64((age + time.Second - 1) / time.Second)
	}
	for _, name := range x.Service().Meter.(*meter).claims {
		pn.claims = append(pn.claims, claim{name, policy.Claim(x.Claims(), name)})
	}
	l.claims = pn.claims
}

// differ fills in what the candidate says.
func (l *line) differ(c *gate.Candidate, hash string) {
	l.candidate, l.candidateReason, l.candidatePolicy = c.Verdict.String(), string(c.Reason), hash
	if c.Reason == gate.ReasonInsufficientScope {
		l.candidateMissing = c.Decision.Missing()
	}
	if rule := c.Decision.Match.Rule; rule != nil {
		l.candidateRule = rule.Position()
	}
}

// write puts the line into the queue.
func (r *recorder) write(l *line, pn *pen) {
	if r.text != nil {
		record := slog.NewRecord(l.at, slog.LevelInfo, "request", 0)
		record.AddAttrs(l.attributes()...)
		_ = r.text.Handle(context.Background(), record)
		return
	}
	pn.line = l.appendJSON(pn.line[:0])
	_, _ = r.queue.Write(pn.line)
}

// decisionOf is the policy's verdict: allow also where the service then failed to answer. A
// preflight's is whether the page may send what it announces, which is then judged by itself.
func decisionOf(x *gate.Exchange) string {
	if isPreflight(x) {
		return map[bool]string{true: allow, false: deny}[x.Reason() == gate.ReasonPreflight]
	}
	m := x.Match()
	if isMetadata(x) {
		return allow
	}
	if m.Rule != nil && m.Reason == policy.ReasonNone && (m.Public() || x.Decision().Allow) {
		return allow
	}
	return deny
}

// The values of decision.
const (
	allow = "allow"
	deny  = "deny"
)

// methodOf is the method that was judged: the one received, or the overriding one where the
// route accepts that; nothing where it was not even a method.
func methodOf(x *gate.Exchange) string {
	if m := cmp.Or(x.Method(), x.Request().Method); m != "" {
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
