package sidecar

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

func mustPolicy(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, findings := policy.Load("p.yaml", []byte(text))
	if p == nil {
		t.Fatal(findings)
	}
	return p
}

// However many lines of allowed requests and of strangers' refusals are left out, those of requests
// that a candidate decides otherwise are there, as many as they may be, and nobody is counted twice:
// the sum of sampled is the number of requests.
func TestLinesOfDifferencesAreNotSampledAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &gate.Service{
			Policy:    mustPolicy(t, "version: 1\nservice: s\nroutes: { /same: { GET: public }, /closes: { GET: public }, /opens: { GET: nobody } }\n"),
			Candidate: mustPolicy(t, "version: 1\nservice: s\nroutes: { /same: { GET: public }, /closes: { GET: nobody }, /opens: { GET: public }, /new: { GET: public } }\n"),
		}
		service.Meter = newMeter(service)
		snapshot, err := gate.NewSnapshot([]*gate.Service{service}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var log, events bytes.Buffer
		r := newRecorder(newTraffic(), newLogQueue(&log), false, slog.New(slog.NewJSONHandler(&events, nil)))
		r.sample.Store(1000)
		ask := func(path string) {
			var x gate.Exchange
			gate.New(snapshot, r).Begin(&x, &gate.Request{Method: "GET", Target: path, Hosts: []string{"s.test"}, ProtoMajor: 1, ProtoMinor: 1, Header: fields{}})
			status := 200
			if err := x.Admit(t.Context()); err != nil {
				status = x.Refuse(t.Context(), err).Status
			}
			x.End(gate.Outcome{Status: status})
		}
		const seconds, each = 3, 200
		for range seconds {
			for range each {
				ask("/same")
				ask("/closes")
				ask("/opens") // 403: every such refusal has its line
				ask("/new")   // 404: strangers'
			}
			time.Sleep(time.Second)
		}
		r.flush()

		lines, stand := map[string]int{}, map[string]int{}
		for line := range bytes.Lines(append(log.Bytes(), events.Bytes()...)) {
			var l struct {
				Msg, Path, Route, Candidate string
				Sampled                     int
			}
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatal(err)
			}
			if l.Msg == "requests without a line" {
				stand[l.Route] += l.Sampled
				continue
			}
			lines[l.Path]++
			stand[l.Path] += l.Sampled
			if (l.Candidate == "") != (l.Path == "/same") {
				t.Errorf("%s", line)
			}
		}
		for path, most := range map[string]int{"/closes": seconds * comparedLines, "/new": seconds * comparedLines, "/opens": seconds * each} {
			if lines[path] != most || stand[path] != seconds*each {
				t.Errorf("%s: %d lines for %d requests, want %d for %d", path, lines[path], stand[path], most, seconds*each)
			}
		}
		if n := lines["/same"]; n == 0 || n > 1+len(r.pens.stripes) {
			t.Errorf("%d lines of requests on which both agree", n)
		}
	})
}
