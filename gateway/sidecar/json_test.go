package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/policy"
)

// handled is the line as slog writes it: the format that readers of the log were promised.
func (l *line) handled(t testing.TB) string {
	t.Helper()
	var out bytes.Buffer
	record := slog.NewRecord(l.at, slog.LevelInfo, "request", 0)
	record.AddAttrs(l.attributes()...)
	if err := newHandler(&out, false, decisionOptions).Handle(context.Background(), record); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func (l *line) check(t testing.TB) {
	t.Helper()
	if d := cmp.Diff(l.handled(t), string(l.appendJSON(nil))); d != "" {
		t.Error(d)
	}
}

// nasty are texts that have undone encoders.
var nasty = []string{
	"", "plain", `"quoted" \ and / solidus`, "<script>&amp;</script>", "line\nfeed\r\ttab", "\x00\x01\x1f\x7f\b\f\v",
	"sep\u2028and\u2029", "\u2027\u202a", "\xff", "a\xc0\xafb", "\xed\xa0\x80", "\xe2\x80", "\xe2\x80\xa8\xe2\x80", "\ufffd", "漢字😀",
	"\xf4\x90\x80\x80", strings.Repeat("x", maxLogged-1) + "é", strings.Repeat("漢", 400), strings.Repeat("\x01", 600), "{\"a\":1}\n",
}

func TestTheEncoderWritesWhatSlogWould(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7_000_000, time.UTC)
	for i, s := range nasty {
		next := func(n int) string { return nasty[(i+n)%len(nasty)] }
		l := line{
			at: at.Add(time.Duration(i) * 1_234_567), requestID: s, service: next(1), host: next(2), method: next(3), path: next(4), route: next(5),
			status: 100 + i, decision: next(6), reason: next(7), guard: next(8), issuer: next(9), subject: next(10), client: next(11),
			scopes: []string{"a.b", s}, accepted: policy.GuardRules(i) & policy.Waivable, missing: []string{next(12), next(13)}, acr: next(14), authAge: int64(i) - 1, anonymous: i%2 == 0, hash: next(15), rule: next(16),
			claims:    []claim{{"a" + s, next(1)}, {"b", []any{next(2), json.Number("12e-3"), true, nil, map[string]any{"x": s}, []any{next(3), []any{}}}}},
			candidate: next(3), candidateReason: next(4), candidateMissing: []string{next(5), next(6)}, candidatePolicy: next(7), candidateRule: next(8),
			took: time.Duration(i) * 123_456_789, upstream: time.Duration(i), bytesIn: int64(i), bytesOut: math.MaxInt64, sampled: 1,
		}
		l.check(t)
	}
	(&line{at: at}).check(t)
	(&line{at: at.In(time.FixedZone("", -34567)), authAge: -1}).check(t)
}

func TestMillisecondsAreWrittenAsSlogWould(t *testing.T) {
	for _, d := range []time.Duration{
		0, 1, 499, 500, 501, 999, 1000, 1499, 1500, 9_999, 10_000, 99_500, 100_000, 999_499, 999_500, 1_000_000, 1_000_500, 1_001_000, 1_010_000, 1_100_000,
		123_456_789, time.Hour, 1000 * time.Hour, 1<<53 - 1, 1 << 53, 1<<60 + 499, math.MaxInt64, -1, -499, -500, -501, -1500, -time.Hour, math.MinInt64,
	} {
		(&line{at: time.Unix(0, 0), took: d, upstream: -d}).check(t)
	}
}

// Long lists and objects are cut as boundClaim cuts them, numbers keep the token's literal.
func TestClaimsAreWrittenAsSlogWould(t *testing.T) {
	long := make([]any, maxListed+1)
	for i := range long {
		long[i] = json.Number("9007199254740993")
	}
	for _, v := range []any{"text", true, false, nil, json.Number("-0.10"), long, []any{}, []any{long, long}, map[string]any{"secret": "x"}} {
		l := line{at: time.Unix(0, 0), claims: []claim{{"a", v}, {"b.c", v}}}
		l.check(t)
		if strings.Contains(string(l.appendJSON(nil)), "secret") {
			t.Error("an object of the token is in the log")
		}
	}
}

func FuzzTheEncoderWritesWhatSlogWould(f *testing.F) {
	for i, s := range nasty {
		f.Add(s, nasty[(i+1)%len(nasty)], `{"k":["v",1.50,{"x":null}],"\u2028":"\b\f"}`, int64(i)*1_000_003, int64(i-3))
	}
	f.Fuzz(func(t *testing.T, a, b, claims string, took, n int64) {
		l := line{
			at: time.Unix(n%(1<<37), took&0x3fffffff).UTC(), requestID: a, service: b, host: a, method: b, path: b, route: a, status: int(n), decision: a,
			reason: b, guard: a, issuer: a, subject: b, client: a, missing: []string{a, b}, acr: b, authAge: n, anonymous: n&1 == 0,
			hash: a, rule: b, took: time.Duration(took), upstream: time.Duration(n), bytesIn: n, bytesOut: took, sampled: n,
			scopes: strings.Fields(a), accepted: policy.GuardRules(n) & policy.Waivable, candidate: b, candidateReason: a, candidateMissing: []string{b, a}, candidatePolicy: a, candidateRule: b,
		}
		if y := l.at.Year(); y < 0 || y > 9999 {
			l.at = time.Unix(0, 0) // no clock shows such a year
		}
		var tree map[string]any
		decoder := json.NewDecoder(strings.NewReader(claims))
		decoder.UseNumber()
		if decoder.Decode(&tree) == nil {
			for k, v := range tree {
				l.claims = []claim{{k, v}}
				l.check(t)
			}
		}
		l.claims = []claim{{"a", a}, {"b", []any{b, a}}}
		l.check(t)
		line := l.appendJSON(nil)
		if !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Errorf("not one line of JSON: %q", line)
		}
	})
}
