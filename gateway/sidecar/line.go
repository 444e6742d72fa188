package sidecar

import (
	"log/slog"
	"math"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// line is one line of the decision log. Its strings may stand in a buffer that is used again
// once the exchange has ended, so that a line is written on the request's goroutine or never.
type line struct {
	at                         time.Time
	requestID, service, host   string
	method, path, route        string
	status                     int
	decision, reason, guard    string
	accepted                   policy.GuardRules
	issuer, subject, client    string
	scopes                     []string // as the token has them
	missing                    []string
	claims                     []claim
	authAge                    int64 // whole seconds, rounded up; negative where unknown
	acr                        string
	anonymous                  bool
	hash, rule                 string // of the policy; file and line
	took, upstream             time.Duration
	bytesIn, bytesOut, sampled int64

	// Of a request that the candidate policy decides otherwise; candidate is "" for all others,
	// whose lines then have none of these keys.
	candidate, candidateReason     string
	candidateMissing               []string
	candidatePolicy, candidateRule string
}

// claim is one that the service's policy reads, as the token has it; nil where it has none.
type claim struct {
	name  string
	value any
}

const (
	maxLogged = 512 // bytes of a value that a client chose
	maxListed = 64  // elements of a claim
)

// attributes are the keys of the decision log in their order, all of them in every line, so
// that whoever reads the log can tell "none" from "not written". time and msg come before.
// Text is made of them; appendJSON writes what slog's JSON handler would make of them.
func (l *line) attributes() []slog.Attr {
	claims := make(map[string]any, len(l.claims))
	for _, c := range l.claims {
		claims[c.name] = boundClaim(c.value)
	}
	var authAge any
	if l.authAge >= 0 {
		authAge = l.authAge
	}
	attrs := []slog.Attr{
		slog.String("request_id", clip(l.requestID, maxLogged)),
		slog.String("service", l.service),
		slog.String("host", clip(l.host, maxLogged)),
		slog.String("method", l.method),
		slog.String("path", clip(l.path, maxLogged)),
		slog.String("route", l.route),
		slog.Int("status", l.status),
		slog.String("decision", l.decision),
		slog.String("reason", l.reason),
		slog.String("guard", l.guard),
		slog.Any("accepted", append([]string{}, l.accepted.Names()...)),
		slog.String("issuer", l.issuer),
		slog.String("subject", clip(l.subject, maxLogged)),
		slog.String("client", clip(l.client, maxLogged)),
		slog.Any("scopes", append([]string{}, l.scopes...)),
		slog.Any("missing", append([]string{}, l.missing...)),
		slog.Any("claims", claims),
		slog.Any("auth_age", authAge),
		slog.String("acr", clip(l.acr, maxLogged)),
		slog.Bool("anonymous", l.anonymous),
		slog.String("policy", l.hash),
		slog.String("rule", l.rule),
		slog.Float64("duration_ms", milliseconds(l.took)),
		slog.Float64("upstream_ms", milliseconds(l.upstream)),
		slog.Int64("bytes_in", l.bytesIn),
		slog.Int64("bytes_out", l.bytesOut),
		slog.Int64("sampled", l.sampled),
	}
	if l.candidate == "" {
		return attrs
	}
	return append(attrs,
		slog.String("candidate", l.candidate),
		slog.String("candidate_reason", l.candidateReason),
		slog.Any("candidate_missing", append([]string{}, l.candidateMissing...)),
		slog.String("candidate_policy", l.candidatePolicy),
		slog.String("candidate_rule", l.candidateRule),
	)
}

// boundClaim keeps one claim from filling the log.
func boundClaim(v any) any {
	switch v := v.(type) {
	case string:
		return clip(v, maxLogged)
	case []any:
		out := make([]any, 0, min(len(v), maxListed))
		for _, e := range v[:min(len(v), maxListed)] {
			out = append(out, boundClaim(e))
		}
		return out
	case map[string]any:
		return nil // an object never matches, so that its contents say nothing
	}
	return v
}

// milliseconds rounds to microseconds.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
