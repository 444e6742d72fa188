package fastlane

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// listenFor is a service on a socket.
func listenFor(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serveH2C runs h as a service that speaks HTTP/2 without TLS.
func serveH2C(t *testing.T, h http.HandlerFunc) upstream.Config {
	l := listenFor(t)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return upstream.Config{Scheme: "h2c", Address: l.Addr().String()}
}

// All clients of an h2c service share a connection to it. One that does not read
// its interim answer must not keep the others waiting.
func TestAnInterimAnswerThatNobodyReadsHoldsNobodyUp(t *testing.T) {
	cfg := serveH2C(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/open/hints" {
			w.Header().Set("Link", "</style>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(w, req.URL.Path)
	})
	cfg.Timeouts = gate.Timeouts{WriteIdle: time.Hour, Upstream: time.Hour}
	r := newRig(t, cfg, nil)
	for range 3 {
		r.client().send("GET /open/hints HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	c := r.client()
	for range 20 { // some of them after the hints
		c.send("GET /open/other HTTP/1.1\r\nHost: a\r\n\r\n")
		c.expect("GET", 200, "/open/other")
	}
	reader := r.client()
	reader.send("GET /open/hints HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := reader.answer("GET"); res.StatusCode != http.StatusEarlyHints || res.Header.Get("Link") == "" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	reader.expect("GET", 200, "/open/hints")
}

// The watch over a stream runs beside the body that goes up.
func TestABodyGoesUpAStream(t *testing.T) {
	cfg := serveH2C(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		w.Write(body)
	})
	cfg.Timeouts = gate.Timeouts{BodyIdle: 50 * time.Millisecond} // the watch looks as often
	r := newRig(t, cfg, nil)
	c := r.client()
	c.send("POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
	c.send("3\r\nllo\r\n0\r\n\r\n")
	c.expect("POST", 200, "hello")
	c.send("POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
	c.expect("POST", 408, "")
}
