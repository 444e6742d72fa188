package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
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
		c := newComparing(t, "/same: { GET: public }, /closes: { GET: public }, /opens: { GET: nobody }",
			"/same: { GET: public }, /closes: { GET: nobody }, /opens: { GET: public }, /new: { GET: public }")
		const seconds, each = 3, 200
		for range seconds {
			for range each {
				c.ask("/same")
				c.ask("/closes")
				c.ask("/opens") // 403: every such refusal has its line
				c.ask("/new")   // 404: strangers'
			}
			time.Sleep(time.Second)
		}
		lines, stand := c.written()
		for path, most := range map[string]int{"/closes": seconds * comparedLines, "/new": seconds * comparedLines, "/opens": seconds * each} {
			if lines[path] != most || stand[path] != seconds*each {
				t.Errorf("%s: %d lines for %d requests, want %d for %d", path, lines[path], stand[path], most, seconds*each)
			}
		}
		if n := lines["/same"]; n == 0 || n > 1+len(c.recorder.pens.stripes) {
			t.Errorf("%d lines of requests on which both agree", n)
		}
	})
}

// Strangers cannot fill the log with differences, on however many routes there are some.
func TestLinesOfDifferencesAreLimitedInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var routes []string
		for i := range 300 {
			routes = append(routes, fmt.Sprintf("/new%d: { GET: public }", i))
		}
		c := newComparing(t, "/same: { GET: public }", strings.Join(routes, ", "))
		for range 3 {
			for i := range 300 {
				c.ask(fmt.Sprintf("/new%d", i))
			}
		}
		lines, stand := c.written()
		sum := 0
		for _, n := range stand {
			sum += n
		}
		if len(lines) != allComparedLines || sum != 900 {
			t.Errorf("lines of %d routes, for %d requests of 900", len(lines), sum)
		}
	})
}

// comparing is a recorder of a service with a candidate that writes the line of one of a thousand
// allowed requests.
type comparing struct {
	t           *testing.T
	gate        *gate.Gate
	recorder    *recorder
	log, events bytes.Buffer
}

func newComparing(t *testing.T, routes, candidate string) *comparing {
	service := &gate.Service{
		Policy:    mustPolicy(t, "version: 1\nservice: s\nroutes: { "+routes+" }\n"),
		Candidate: mustPolicy(t, "version: 1\nservice: s\nroutes: { "+candidate+" }\n"),
	}
	service.Meter = newMeter(service)
	snapshot, err := gate.NewSnapshot([]*gate.Service{service}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &comparing{t: t}
	c.recorder = newRecorder(newTraffic(), newLogQueue(&c.log), false, slog.New(slog.NewJSONHandler(&c.events, nil)))
	c.recorder.sample.Store(1000)
	c.gate = gate.New(snapshot, c.recorder)
	return c
}

func (c *comparing) ask(path string) {
	var x gate.Exchange
	c.gate.Begin(&x, &gate.Request{Method: "GET", Target: path, Hosts: []string{"s.test"}, ProtoMajor: 1, ProtoMinor: 1, Header: fields{}})
	status := 200
	if err := x.Admit(c.t.Context()); err != nil {
		status = x.Refuse(c.t.Context(), err).Status
	}
	x.End(gate.Outcome{Status: status})
}

// written counts lines, and the requests for which they stand, by path.
func (c *comparing) written() (lines, stand map[string]int) {
	c.t.Helper()
	c.recorder.flush()
	lines, stand = map[string]int{}, map[string]int{}
	for line := range bytes.Lines(append(c.log.Bytes(), c.events.Bytes()...)) {
		var l struct {
			Msg, Path, Route, Candidate string
			Sampled                     int
		}
		if err := json.Unmarshal(line, &l); err != nil {
			c.t.Fatal(err)
		}
		if l.Msg == "requests without a line" {
			stand[l.Route] += l.Sampled
			continue
		}
		lines[l.Path]++
		stand[l.Path] += l.Sampled
		if (l.Candidate == "") != (l.Path == "/same") {
			c.t.Errorf("%s", line)
		}
	}
	return lines, stand
}
