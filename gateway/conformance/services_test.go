package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/fastlane"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/proxy"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// TestNeverTwice: http.Transport sends a request again when a kept-alive
// connection dies under it, and takes Idempotency-Key for leave to do that with
// a POST. The service here reads the second request of a connection and closes,
// as one does that crashes after it has booked the order.
func TestNeverTwice(t *testing.T) { inBothLanes(t, checkNeverTwice) }

func checkNeverTwice(t *testing.T, l lane) {
	for _, c := range []struct {
		name, method, body, field string
		times                     int32
	}{
		{"POST without a body", "POST", "", "Idempotency-Key: 1", 1},
		{"POST with a body", "POST", "order", "Idempotency-Key: 1", 1},
		{"POST with the X- spelling", "POST", "", "X-Idempotency-Key: 1", 1},
		{"PUT", "PUT", "", "Idempotency-Key: 1", 1},
		{"POST without a key", "POST", "", "X-Other: 1", 1},
		{"GET is sent again", "GET", "", "Idempotency-Key: 1", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var orders atomic.Int32
			var field atomic.Value
			up := rawService(t, func(conn net.Conn) {
				for r := bufio.NewReader(conn); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if req.URL.Path == "/items/1" {
						field.Store(req.Header.Get(strings.Split(c.field, ":")[0]))
						if orders.Add(1) == 1 {
							return
						}
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			client := newRig(t, l, rigConfig{upstream: up}).clients()[0]
			client.ask(t, "GET", "/open/warm", nil) // leaves a connection in the pool
			res, _ := client.ask(t, c.method, "/items/1", strings.NewReader(c.body), "Authorization: Bearer writer", c.field)
			if orders.Load() != c.times || field.Load() != "1" {
				t.Errorf("sent %d times, field %q", orders.Load(), field.Load())
			}
			if want := map[int32]int{1: 502, 2: 200}[c.times]; res.StatusCode != want {
				t.Errorf("answer %s, want %d", res.Status, want)
			}
		})
	}
}

// TestStrayAnswer: a service that sends a body after the head of a HEAD's answer
// must not have those bytes taken for the next caller's answer (measured with
// http.Transport).
func TestStrayAnswer(t *testing.T) { inBothLanes(t, checkStrayAnswer) }

func checkStrayAnswer(t *testing.T, l lane) {
	up := rawService(t, func(conn net.Conn) {
		for r := bufio.NewReader(conn); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Method == "HEAD" {
				stray := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(stray), stray)
				continue
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nown!")
		}
	})
	client := newRig(t, l, rigConfig{upstream: up}).clients()[0]
	for range 50 {
		client.ask(t, "HEAD", "/open/x", nil)
		if _, text := client.ask(t, "GET", "/open/x", nil); text != "own!" {
			t.Fatalf("another's answer: %q", text)
		}
	}
}

// TestUpstreamFaults: what a service can do wrong, and what its caller sees.
func TestUpstreamFaults(t *testing.T) { inBothLanes(t, checkUpstreamFaults) }

func checkUpstreamFaults(t *testing.T, l lane) {
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		name, answer string // "" closes, "-" says nothing
		status       int
		reason       gate.Reason
	}{
		{"closes without an answer", "", 502, gate.ReasonUpstreamBroken},
		{"says nothing", "-", 504, gate.ReasonUpstreamTimeout},
		{"stops within the head", "HTTP/1.1 200 OK\r\nX-A: b\r\n-", 504, gate.ReasonUpstreamTimeout},
		{"sends no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", 502, gate.ReasonUpstreamBroken},
		{"sends two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, gate.ReasonUpstreamBroken},
		{"sends a head without end", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 1<<20), 502, gate.ReasonUpstreamBroken},
		{"switches protocols unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502, gate.ReasonUpstreamBroken},
		{"switches to nothing", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 502, gate.ReasonUpstreamBroken},
		{"sends eight interim answers", strings.Repeat(interim, 8) + ok, 200, gate.ReasonPublic},
		{"sends nine interim answers", strings.Repeat(interim, 9) + ok, 502, gate.ReasonUpstreamBroken},
		{"sends interim answers for ever", strings.Repeat(interim, 1000) + "-", 502, gate.ReasonUpstreamBroken},
		{"speaks HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nbody", 200, gate.ReasonPublic},
		{"gives no reason phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, gate.ReasonPublic},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := rawService(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				answer, silent := strings.CutSuffix(c.answer, "-")
				io.WriteString(conn, answer)
				if silent {
					io.Copy(io.Discard, conn)
				}
			})
			up.Timeouts.Upstream = 300 * time.Millisecond
			r := newRig(t, l, rigConfig{upstream: up})
			res, text := r.clients()[0].ask(t, "GET", "/open/x", nil)
			if res.StatusCode != c.status {
				t.Errorf("%s %s", res.Status, text)
			}
			r.next(t, "the exchange", func(x record) bool { return x.reason == c.reason && x.Status == c.status })
		})
	}
	t.Run("is not there", func(t *testing.T) {
		// A client's end of a connection: nobody listens there, nor can while it stands.
		gone := dial(t, newRig(t, l, rigConfig{upstream: upstream.Config{Scheme: "unix", Address: "none"}}).plain).LocalAddr().String()
		for _, up := range []upstream.Config{{Scheme: "http", Address: gone}, {Scheme: "unix", Address: t.TempDir() + "/none"}} {
			r := newRig(t, l, rigConfig{upstream: up})
			for _, client := range r.clients() {
				if res, text := client.ask(t, "GET", "/open/x", nil); res.StatusCode != 502 || !strings.Contains(text, "Bad Gateway") {
					t.Errorf("%s: %s %s", client.name, res.Status, text)
				}
			}
			r.next(t, "the exchange", func(x record) bool { return x.reason == gate.ReasonUpstreamUnreachable })
		}
	})
	t.Run("has a certificate of nobody we know", func(t *testing.T) {
		up := service(t, "https", echo())
		up.TLS.CA = ""
		r := newRig(t, l, rigConfig{upstream: up})
		r.clients()[0].ask(t, "GET", "/open/x", nil)
		r.next(t, "the exchange", func(x record) bool { return x.reason == gate.ReasonUpstreamUnreachable })
	})
}

// TestCutShows: an answer that ends early looks ended early in every protocol,
// HTTP/1.0 included, where the end of the connection is the end of the answer.
func TestCutShows(t *testing.T) { inBothLanes(t, checkCutShows) }

func checkCutShows(t *testing.T, l lane) {
	up := rawService(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	})
	r := newRig(t, l, rigConfig{upstream: up})
	conn := r.wire(t)
	send(t, conn, "GET /open/x HTTP/1.0\r\nHost: shop.test\r\n\r\n")
	if text, err := io.ReadAll(conn); err == nil {
		t.Errorf("HTTP/1.0 took %q for the whole answer", text)
	}
	x := r.next(t, "the exchange", func(record) bool { return true })
	if x.Status != 200 || x.Err == nil {
		t.Errorf("recorded as %+v", x)
	}
}

// TestUpstreamConfig: what cannot work is refused when it is configured.
func TestUpstreamConfig(t *testing.T) {
	for _, c := range []upstream.Config{
		{}, {Scheme: "http"}, {Scheme: "ftp", Address: "a:1"},
		{Scheme: "https", Address: "a:1", TLS: upstream.TLS{CA: "nonsense"}},
		{Scheme: "https", Address: "a:1", TLS: upstream.TLS{Cert: "nonsense", Key: "nonsense"}},
	} {
		_, standard := proxy.NewUpstream(c, nil)
		_, fast := fastlane.NewUpstream(c)
		if standard == nil || fast == nil {
			t.Errorf("%+v was accepted: %v, %v", c, standard, fast)
		}
	}
}

// TestClientCertificate: a service behind mutual TLS gets the configured
// certificate.
func TestClientCertificate(t *testing.T) { inEachLane(t, checkClientCertificate) }

func checkClientCertificate(t *testing.T, l lane) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not be looked at
	up := service(t, "https", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d certificate for %s", len(r.TLS.PeerCertificates), r.TLS.ServerName)
	}))
	up.TLS.Cert, up.TLS.Key, up.TLS.ServerName = certificate(t).cert, certificate(t).key, "shop.test"
	if _, text := newRig(t, l, rigConfig{upstream: up}).clients()[0].ask(t, "GET", "/open/x", nil); text != "1 certificate for shop.test" {
		t.Error(text)
	}
}

// TestStaleConnection: a service that closes its connections without saying so
// costs no POST, since nothing is written to a connection that has ended.
func TestStaleConnection(t *testing.T) { inBothLanes(t, checkStaleConnection) }

func checkStaleConnection(t *testing.T, l lane) {
	closed := make(chan struct{})
	up := rawService(t, func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		conn.Close()
		closed <- struct{}{}
	})
	client := newRig(t, l, rigConfig{upstream: up}).clients()[0]
	for range 200 {
		res, text := client.ask(t, "POST", "/open/x", strings.NewReader("order"))
		if res.StatusCode != 200 || text != "order" {
			t.Fatalf("%s %q", res.Status, text)
		}
		<-closed
	}
}
