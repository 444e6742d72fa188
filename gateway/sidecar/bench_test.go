package sidecar_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
