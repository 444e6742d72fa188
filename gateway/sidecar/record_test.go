package sidecar_test

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/gate"
)

// The benchmark's claim about allocations, as a test: it does not depend on the machine's speed.
func TestRecordingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool forgets at random; the plain run asks")
	}
	for _, c := range []struct {
		name           string
		sample         int
		method, target string
		token          bool
		candidate      string
	}{
		{"an allowed request that is logged", 1, "GET", "/billing/acme/invoices", true, ""},
		{"an allowed request that sampling leaves out", 1_000_000, "GET", "/billing/acme/invoices", true, ""},
		{"a public one", 1, "GET", "/healthz", false, ""},
		{"a refusal for one scope", 1, "POST", "/billing/", true, ""},
		{"a refusal that strangers can cause", 1, "GET", "/billing/", false, ""},
		{"one on which a candidate agrees", 1, "GET", "/billing/acme/invoices", true, worldPolicy},
		{"one on which a candidate differs by a claim", 1, "GET", "/billing/acme/invoices", true, nextPolicy},
		{"one on which a candidate differs by a scope, logged by sampling's exception", 1_000_000, "GET", "/billing/", true, nextPolicy},
		{"a refusal on which a candidate differs", 1, "POST", "/billing/", true, nextPolicy},
		{"a route that only a candidate has", 1, "GET", "/new/x", false, nextPolicy},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecorded(t, c.sample, c.candidate, io.Discard)
			x, outcome := r.admitted(t, c.method, c.target, c.token)
			if n := testing.AllocsPerRun(1000, func() { r.gateway.Recorder().Record(x, outcome) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// What a lane hands to the gate may stand in a buffer that the next request overwrites. What
// was logged and counted must be the request that was, and nothing of it may be looked at
// later: the lines are still in the queue when the buffer changes.
func TestNothingOfTheBufferIsKept(t *testing.T) {
	var log buffer
	r := newRecorded(t, 1, "", &log)
	end := r.gateway.RunLog()

	type asked struct{ method, path, host, id, reason string }
	var want []asked
	var x gate.Exchange
	ask := func(a asked) {
		want = append(want, a)
		bearer := "Bearer " + r.token
		buffer := []byte(a.method + a.path + a.host + a.id + bearer)
		rest := buffer
		view := func(s string) string {
			part := rest[:len(s)]
			rest = rest[len(s):]
			return unsafe.String(&part[0], len(part))
		}
		in := &gate.Request{Method: view(a.method), Target: view(a.path), Hosts: []string{view(a.host)}, ProtoMajor: 1, ProtoMinor: 1,
			Header: header{"X-Request-Id": {view(a.id)}, "Authorization": {view(bearer)}}, Peer: netip.MustParseAddrPort("192.0.2.1:1234")}
		r.gateway.Gate().Begin(&x, in)
		outcome := gate.Outcome{Status: 200}
		if err := x.Admit(t.Context()); err != nil {
			outcome.Status = x.Refuse(t.Context(), err).Status
		}
		x.End(outcome)
		for i := range buffer {
			buffer[i] = '#'
		}
	}
	ask(asked{"GET", "/billing/acme/invoices", "billing.example:8001", "id-of-the-first", "allowed"})
	ask(asked{"POST", "/billing/", "other.example", "id-of-the-second", "insufficient_scope"})
	ask(asked{"GET", "/nowhere", "third.example", "id-of-the-third", "no_route"})
	ask(asked{"PURGE", "/billing/", "fourth.example", "id-of-the-fourth", "method_not_allowed"})
	ask(asked{"PATCH", "/any", "fifth.example", "id-of-the-fifth", "public"})
	end()

	var got []asked
	for _, l := range log.lines(t) {
		text := func(key string) string { return fmt.Sprint(l[key]) }
		got = append(got, asked{text("method"), text("path"), text("host"), text("request_id"), text("reason")})
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(asked{})); d != "" {
		t.Error(d)
	}
	families, err := r.gateway.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), "#") {
					t.Errorf("%s has the label %s=%q", f.GetName(), l.GetName(), l.GetValue())
				}
				if l.GetName() == "method" {
					methods = append(methods, l.GetValue())
				}
			}
		}
	}
	slices.Sort(methods)
	if d := cmp.Diff([]string{"GET", "GET", "PATCH", "POST", "other"}, methods); d != "" {
		t.Error(d)
	}
}
