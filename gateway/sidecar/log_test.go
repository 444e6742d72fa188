package sidecar

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

func TestServerErrorsGoThroughTheLimitedLog(t *testing.T) {
	var w bytes.Buffer
	errorLog := serverLog(slog.New(newHandler(newLogQueue(&w), false, nil)), newLimiter(3, httpServer))
	for i := range 10 {
		errorLog.Printf("http: TLS handshake error %d: %s", i, strings.Repeat("x", 2000))
	}
	lines := strings.Split(strings.TrimSpace(w.String()), "\n")
	if len(lines) != 3 || len(lines[0]) > maxLogged+200 {
		t.Errorf("%d lines, the first of %d bytes", len(lines), len(lines[0]))
	}
}

func TestClipKeepsUTF8Whole(t *testing.T) {
	for n := range 10 {
		got := clip("aé漢字", n)
		if len(got) > n || !utf8.ValidString(got) {
			t.Errorf("clip to %d bytes: %q", n, got)
		}
	}
}

func TestFormatsOfTheLog(t *testing.T) {
	for format, want := range map[string]string{"json": `{"time"`, "auto": `{"time"`, "text": "time="} {
		var w bytes.Buffer
		slog.New(newHandler(&w, isText(&w, format), nil)).Info("x")
		if !strings.HasPrefix(w.String(), want) {
			t.Errorf("%s: %s", format, w.String())
		}
	}
}

func TestDistanceAndHints(t *testing.T) {
	for _, c := range []struct {
		wrote string
		known []string
		want  string
	}{
		{"lisen", []string{"listen", "limits"}, `did you mean "listen"?`},
		{"Listen", []string{"listen"}, `did you mean "listen"?`},
		{"trusted-proxies", []string{"trusted_proxies"}, `did you mean "trusted_proxies"?`},
		{"foo", []string{"bar", "ab"}, ""},
		{strings.Repeat("x", 1000), []string{"listen"}, ""},
	} {
		if got := meant(c.wrote, c.known); got != c.want {
			t.Errorf("%.20s: %q, want %q", c.wrote, got, c.want)
		}
	}
}

func FuzzSizes(f *testing.F) {
	for _, s := range []string{"0", "1KiB", "9223372036854775807", "9007199254740992TiB", "-1", "+1", "1 KiB", "B", "", "0x10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseSize(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q is %d", s, n)
		}
		if again, err := parseSize(fmt.Sprint(n)); err != nil || again != n {
			t.Fatalf("%q is %d, and that is %d, %v", s, n, again, err)
		}
	})
}

// Preflights need no token, so that strangers must not be able to fill the log with them.
func TestLinesOfPreflightsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // all within one second
		p, findings := policy.Load("p.yaml", []byte("version: 1\nservice: s\nroutes: { /x: { GET: public } }\n"))
		if p == nil {
			t.Fatal(findings)
		}
		service := &gate.Service{Policy: p, CORS: &gate.CORS{Origins: []string{"https://app.example"}}}
		service.Meter = newMeter(service)
		snapshot, err := gate.NewSnapshot([]*gate.Service{service}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		r := newRecorder(newTraffic(), newLogQueue(&log), false, slog.New(slog.DiscardHandler))
		for range 3 * refusedLines {
			var x gate.Exchange
			gate.New(snapshot, r).Begin(&x, &gate.Request{
				Method: "OPTIONS", Target: "/x", Hosts: []string{"s.test"}, ProtoMajor: 1, ProtoMinor: 1,
				Header: fields{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"GET"}},
			})
			x.End(gate.Outcome{Status: x.Refuse(t.Context(), x.Admit(t.Context())).Status})
			if x.Reason() != gate.ReasonPreflight {
				t.Fatal(x.Refusal())
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines != refusedLines {
			t.Errorf("%d lines in one second", lines)
		}
	})
}

type fields map[string][]string

func (f fields) Values(name string) []string { return f[name] }
