package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/sidecar"
)

// BenchmarkRefusal is a whole request but for its sockets: handler, gate, metrics and log.
func BenchmarkRefusal(b *testing.B) {
	w := newWorld(b)
	g, err := sidecar.New(mustLoad(b, sidecar.Source{File: w.dir + "/gateway.yaml"}), io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	h := g.DataHandler()
	r := httptest.NewRequest("GET", "/billing/", strings.NewReader(""))
	r.Header = http.Header{"Accept": {"*/*"}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// header shows fields to the gate as a lane does.
type header map[string][]string

func (h header) Values(name string) []string { return h[name] }

// recorded is a gateway without sockets whose exchanges are recorded one by one.
type recorded struct {
	gateway *sidecar.Sidecar
	token   string
}

// newRecorded makes a gateway that writes the line of one of so many allowed requests, and
// believes request ids from 192.0.2.0/24. candidate is the text of one, "" for none.
func newRecorded(t testing.TB, sampleAllowed int, candidate string, log io.Writer) *recorded {
	w := newLoneWorld(t)
	keys := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(w.jwks()), `{"keys":`), "}"))
	text := strings.Replace(w.config(""), "    jwks_uri: "+w.issuer.URL+"/jwks\n", "", 1)
	text = strings.Replace(text, "jwks: { min_refresh: 1s }", "jwks: { keys: "+keys+" }", 1)
	text = strings.Replace(text, "log: { format: json }", fmt.Sprintf("log: { format: json, sample_allowed: %d }", sampleAllowed), 1)
	if candidate != "" {
		text = strings.Replace(text, "policies/billing.yaml\n", "policies/billing.yaml\n    candidate: policies/next.yaml\n", 1)
		w.write("policies/next.yaml", candidate)
	}
	w.write("gateway.yaml", text+"trusted_proxies: [192.0.2.0/24]\n")
	g, err := sidecar.New(mustLoad(t, sidecar.Source{File: w.dir + "/gateway.yaml"}), log)
	if err != nil {
		t.Fatal(err)
	}
	return &recorded{g, w.issuer.token(t, "example_service.billing.read", map[string]any{"org_id": "acme"})}
}

// admitted is an exchange that was judged and not yet recorded.
func (r *recorded) admitted(t testing.TB, method, target string, withToken bool) (*gate.Exchange, gate.Outcome) {
	fields := header{}
	if withToken {
		fields["Authorization"] = []string{"Bearer " + r.token}
	}
	in := &gate.Request{Method: method, Target: target, Hosts: []string{"billing.example"}, ProtoMajor: 1, ProtoMinor: 1, Header: fields}
	x := &gate.Exchange{}
	r.gateway.Gate().Begin(x, in)
	outcome := gate.Outcome{Status: 200, BytesOut: 512, Upstream: 153 * time.Microsecond}
	if err := x.Admit(context.Background()); err != nil {
		outcome = gate.Outcome{Status: x.Refuse(context.Background(), err).Status}
	}
	x.RequestID()
	return x, outcome
}

// BenchmarkRecord is what metrics and log cost a request, alone and on all cores.
func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name           string
		sample         int
		method, target string
		token          bool
		candidate      string
	}{
		{"allowed and logged", 1, "GET", "/billing/acme/invoices", true, ""},
		{"allowed, sampled out", 1_000_000, "GET", "/billing/acme/invoices", true, ""},
		{"refused and logged", 1, "POST", "/billing/", true, ""},
		{"refused, beyond the limit", 1, "POST", "/billing/", false, ""},
		{"allowed, sampled out, a candidate agrees", 1_000_000, "GET", "/billing/acme/invoices", true, worldPolicy},
		{"allowed, sampled out, a candidate differs", 1_000_000, "GET", "/billing/acme/invoices", true, nextPolicy},
	} {
		r := newRecorded(b, c.sample, c.candidate, io.Discard)
		measure := func(name string, run func(b *testing.B)) {
			b.Run(name, func(b *testing.B) {
				end, before := r.gateway.RunLog(), r.gateway.LostLines()
				b.ReportAllocs()
				run(b)
				b.StopTimer()
				end()
				b.ReportMetric(float64(r.gateway.LostLines()-before)/float64(b.N), "lost/op") // those were cheaper
			})
		}
		measure(c.name, func(b *testing.B) {
			x, outcome := r.admitted(b, c.method, c.target, c.token)
			for b.Loop() {
				r.gateway.Recorder().Record(x, outcome)
			}
		})
		measure(c.name+", parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				x, outcome := r.admitted(b, c.method, c.target, c.token)
				for pb.Next() {
					r.gateway.Recorder().Record(x, outcome)
				}
			})
		})
	}
}
