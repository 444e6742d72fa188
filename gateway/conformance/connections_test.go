package conformance_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
)

// TestConnectionFate: after which exchanges an HTTP/1 connection goes on, and
// that an answer arrives also where it does not.
func TestConnectionFate(t *testing.T) { inBothLanes(t, checkConnectionFate) }

func checkConnectionFate(t *testing.T, l lane) {
	const (
		anon = "Host: shop.test\r\n"
		auth = anon + "Authorization: Bearer writer\r\n"
		big  = 8 << 20
	)
	for _, c := range []struct {
		name, bytes string
		more        int // bytes of body that are sent behind
		status      int
		closes      bool
		otherwise   string // why it is the other way round in the fast lane
	}{
		{"an ordinary request", "GET /items/1 HTTP/1.1\r\n" + auth + "\r\n", 0, 200, false, ""},
		{"a POST", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 4\r\n\r\nbody", 0, 200, false, ""},
		{"a refused request", "GET /items/1 HTTP/1.1\r\n" + anon + "\r\n", 0, 401, false, ""},
		{"a refused POST with a small body", "POST /items/1 HTTP/1.1\r\n" + anon + "Content-Length: 4\r\n\r\nbody", 0, 401, false, ""},
		{"a refused POST with a body that is still to come", "POST /items/1 HTTP/1.1\r\n" + anon + "Content-Length: 4\r\n\r\n", 0, 401, true, ""},
		{"a refused upload", "POST /items/1 HTTP/1.1\r\n" + anon + "Content-Length: " + strconv.Itoa(big) + "\r\n\r\n", 200 << 10, 401, true, ""},
		{"a refused request that waits for 100", "POST /items/1 HTTP/1.1\r\n" + anon + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", 0, 401, true, ""},
		{"an expectation without a body", "POST /items/1 HTTP/1.1\r\n" + auth + "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", 0, 417, false, "what is refused before its target was judged ends the connection: the target may be one that other readers stumble over"},
		{"two expectations", "POST /items/1 HTTP/1.1\r\n" + auth + "Expect: 100-continue, 100-continue\r\nContent-Length: 4\r\n\r\n", 4, 417, true, ""},
		{"an expectation in HTTP/1.0", "POST /items/1 HTTP/1.0\r\n" + auth + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", 0, 417, true, ""},
		{"chunked framing, beside which a length may have stood", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 0, 200, true, "RFC 9112 section 6.3: only what bears both framings has to end the connection, and this lane sees whether it does"},
		{"HTTP/1.0", "GET /items/1 HTTP/1.0\r\n" + auth + "\r\n", 0, 200, true, ""},
		{"HTTP/1.0 with keep-alive", "GET /items/1 HTTP/1.0\r\n" + auth + "Connection: keep-alive\r\n\r\n", 0, 200, false, "RFC 9112 section C.2.2: a proxy cannot rely on HTTP/1.0's keep-alive"},
		{"a client that says close", "GET /items/1 HTTP/1.1\r\n" + auth + "Connection: close\r\n\r\n", 0, 200, true, ""},
		{"an ambiguous request", "GET /open//x HTTP/1.1\r\n" + anon + "\r\n", 0, 400, false, "it may break HTTP's own grammar besides, and then other readers stop here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, up := newStrictService(t)
			r := newRig(t, l, rigConfig{upstream: up})
			conn := r.wire(t)
			send(t, conn, c.bytes)
			io.Copy(conn, &zeros{left: int64(c.more)})
			b := bufio.NewReader(conn)
			res, err := http.ReadResponse(b, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode != c.status {
				t.Errorf("%s, %v", res.Status, err)
			}
			if c.closes != (l == fast && c.otherwise != "") {
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				if rest, err := io.ReadAll(b); err != nil || len(rest) != 0 {
					t.Errorf("not the end: %q %v", rest, err)
				}
				return
			}
			send(t, conn, "GET /open/x HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			if res, err := http.ReadResponse(b, nil); err != nil || res.StatusCode != 200 {
				t.Errorf("the next request: %v %v", res, err)
			}
		})
	}
}

// TestContinue: the gateway says 100 once the request is allowed, and only then
// does the client send its body.
func TestContinue(t *testing.T) { inBothLanes(t, checkContinue) }

func checkContinue(t *testing.T, l lane) {
	s, up := newStrictService(t)
	r := newRig(t, l, rigConfig{upstream: up})
	conn := r.wire(t)
	send(t, conn, "POST /items/1 HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer writer\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	b := bufio.NewReader(conn)
	if line, err := b.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	b.ReadString('\n')
	send(t, conn, "body")
	if res, err := http.ReadResponse(b, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("%v %v", res, err)
	}
	if got := s.text(); !strings.Contains(got, "body:body") {
		t.Errorf("the service received %s", got)
	}
}

// TestWithoutHost: a load balancer's HTTP/1.0 health check names no host, and
// the service is told its own name.
func TestWithoutHost(t *testing.T) { inBothLanes(t, checkWithoutHost) }

func checkWithoutHost(t *testing.T, l lane) {
	s, up := newStrictService(t)
	up.Host = "service.internal"
	r := newRig(t, l, rigConfig{upstream: up})
	conn := r.wire(t)
	send(t, conn, "GET /open/x HTTP/1.0\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("%v %v", res, err)
	}
	if got := s.text(); !strings.Contains(got, "host: service.internal") {
		t.Errorf("the service received %s", got)
	}
}

// TestAClientThatLeaves while its request is in hand lets go of the service, and is recorded.
func TestAClientThatLeaves(t *testing.T) { inBothLanes(t, checkAClientThatLeaves) }

func checkAClientThatLeaves(t *testing.T, l lane) {
	for _, scheme := range []string{"http", "unix", "h2c", "https"} {
		entered, left := make(chan struct{}), make(chan struct{})
		r := newRig(t, l, rigConfig{upstream: service(t, scheme, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
		}))})
		ctx, leave := context.WithCancel(t.Context())
		clients := r.clients()
		for _, c := range clients {
			go c.Do(c.request(t, "POST", "/open/x", nil).WithContext(ctx))
			<-entered
		}
		leave()
		limit := time.After(15 * time.Second)
		for range clients {
			select {
			case <-left:
			case <-limit:
				t.Fatalf("%s: the service was not told", scheme)
			}
		}
		for _, x := range r.wait(t, len(clients)) {
			if x.reason != gate.ReasonClientClosed || x.Status != 499 || x.BytesOut != 0 {
				t.Errorf("%s: recorded as %+v", scheme, x)
			}
		}
	}
}
