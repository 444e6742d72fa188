package sidecar

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

// gateWriter holds every write back until it is opened.
type gateWriter struct {
	open chan struct{}
	mu   sync.Mutex
	got  bytes.Buffer
}

func (w *gateWriter) Write(p []byte) (int, error) {
	<-w.open
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.Write(p)
}

// A disk that hangs must not hold a request up: lines beyond the queue are dropped and
// counted, and what was queued is written when the process ends in order.
func TestTheLogNeverBlocksAndLosesNothingThatItQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &gateWriter{open: make(chan struct{})}
		q := &logQueue{}
		log := slog.New(queued{q, newHandler(w, "json", nil)})
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() { q.run(stop); close(ended) }()
		synctest.Wait()

		const extra = 100
		log.Info("line", "n", 0)
		synctest.Wait() // the writer holds the first line, and is stuck with it
		for i := range logQueueLength + extra {
			log.Info("line", "n", i+1)
		}
		if got := q.dropped.Load(); got != extra {
			t.Errorf("dropped %d, want %d", got, extra)
		}
		close(stop)
		close(w.open)
		<-ended
		if got := strings.Count(w.got.String(), "\n"); got != logQueueLength+1 {
			t.Errorf("wrote %d lines, want %d", got, logQueueLength+1)
		}
		log.Info("after the end")
		if !strings.Contains(w.got.String(), "after the end") {
			t.Error("a line after the end is lost")
		}
	})
}

// A hundred lines a second and reason; the next line that is written stands for those that
// were held back, so that the sum of sampled is the number of requests.
func TestRefusalsAreLimitedPerReasonAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(100)
		written, stands := 0, int64(0)
		ask := func(reason string) {
			if n := l.allow(reason, time.Now()); n > 0 {
				written++
				stands += n
			}
		}
		for range 1000 {
			ask("token_missing")
		}
		if written != 100 || stands != 100 {
			t.Fatalf("in the first second: %d lines for %d requests", written, stands)
		}
		if n := l.allow("no_route", time.Now()); n != 1 {
			t.Errorf("another reason is held back too: %d", n)
		}
		time.Sleep(time.Second)
		ask("token_missing")
		if written != 101 || stands != 1001 {
			t.Errorf("then: %d lines for %d requests", written, stands)
		}
		for range 250 {
			ask("token_missing")
		}
		var left int64
		for _, n := range l.left() {
			left += n
		}
		if stands+left != 1251 {
			t.Errorf("%d accounted for, %d at the end, of 1251", stands, left)
		}
	})
}

func TestServerErrorsGoThroughTheLimitedLog(t *testing.T) {
	var w bytes.Buffer
	log := slog.New(queued{&logQueue{}, newHandler(&w, "json", nil)})
	errorLog := serverLog(log, newLimiter(3))
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
		slog.New(newHandler(&w, format, nil)).Info("x")
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
	p, findings := policy.Load("p.yaml", []byte("version: 1\nservice: s\nroutes: { /x: { GET: public } }\n"))
	if p == nil {
		t.Fatal(findings)
	}
	service := &gate.Service{Policy: p, CORS: &gate.CORS{Origins: []string{"https://app.example"}}}
	snapshot, err := gate.NewSnapshot([]*gate.Service{service}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{refused: newLimiter(refusedLines)}
	now, lines := time.Now(), 0
	for range 3 * refusedLines {
		var x gate.Exchange
		gate.New(snapshot, nil).Begin(&x, &gate.Request{
			Method: "OPTIONS", Target: "/x", Hosts: []string{"s.test"}, ProtoMajor: 1, ProtoMinor: 1,
			Header: fields{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"GET"}},
		})
		a := x.Refuse(t.Context(), x.Admit(t.Context()))
		if x.Reason() != gate.ReasonPreflight {
			t.Fatal(x.Refusal())
		}
		if r.sampled(&x, &labels{"s", "/x", string(x.Reason())}, gate.Outcome{Status: a.Status}, now) > 0 {
			lines++
		}
	}
	if lines != refusedLines {
		t.Errorf("%d lines in one second", lines)
	}
}

type fields map[string][]string

func (f fields) Values(name string) []string { return f[name] }
