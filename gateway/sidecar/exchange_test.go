package sidecar_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"
)

// wire is one client's connection to a gateway that serves as it does in production, with its
// metrics and with a line of the log for each request. Client and service allocate nothing, so
// that what is counted is the gateway's.
type wire struct {
	net.Conn
	request []byte
	answer  []byte
}

func newWire(t testing.TB, path string, authorized bool, candidate string) *wire {
	w := newLoneWorld(t)
	w.service.Close()
	service := listen(t)
	w.service.URL = "http://" + service.Addr().String()
	t.Cleanup(func() { service.Close() })
	go plainService(service)
	w.write("gateway.yaml", w.config(""))
	if candidate != "" {
		w.candidate(candidate)
	}
	w.ready()
	c, err := net.Dial("tcp", w.data[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	authorization := ""
	if authorized {
		authorization = "Authorization: Bearer " + w.issuer.token(t, "example_service.billing.read", nil) + "\r\n"
	}
	return &wire{c, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test/1.0\r\nAccept: */*\r\n%s\r\n", path, authorization), make([]byte, 4096)}
}

// plainService answers every request on every connection.
func plainService(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
			for buf := make([]byte, 4096); ; {
				if _, err := c.Read(buf); err != nil {
					return
				}
				if _, err := c.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

// exchange sends the request and reads the answer, which fits into one segment.
func (w *wire) exchange(t testing.TB, status string) {
	if _, err := w.Write(w.request); err != nil {
		t.Fatal(err)
	}
	n, err := w.Read(w.answer)
	if err != nil || !bytes.HasPrefix(w.answer[len("HTTP/1.1 "):n], []byte(status)) {
		t.Fatalf("%q, %v", w.answer[:n], err)
	}
}

var exchanges = []struct {
	name, path string
	authorized bool
	status     string
	most       float64 // allocations
	candidate  string
}{
	{"allowed", "/billing/", true, "200", 0, ""},
	{"public", "/healthz", false, "200", 0, ""},
	{"refused without a token", "/billing/", false, "401", 2, ""},
	{"allowed, a candidate agrees", "/billing/", true, "200", 0, worldPolicy},
	{"allowed, a candidate differs", "/billing/", true, "200", 0, nextPolicy},
	{"public, a candidate is undecided", "/healthz", true, "200", 0, nextPolicy},
}

// TestAnExchangeAllocatesNothing: from the first byte of a request to the last of its answer,
// with a remembered token, its metrics and its line in the log.
func TestAnExchangeAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool forgets at random; the plain run asks")
	}
	for _, c := range exchanges {
		w := newWire(t, c.path, c.authorized, c.candidate)
		for range 100 { // buffers grow, the token is verified, the connection to the service is made
			w.exchange(t, c.status)
		}
		if got := testing.AllocsPerRun(500, func() { w.exchange(t, c.status) }); got > c.most {
			t.Errorf("%s: %v allocations, at most %v", c.name, got, c.most)
		}
	}
}

// BenchmarkExchange is what a client of a real gateway sees, sockets and all.
func BenchmarkExchange(b *testing.B) {
	for _, c := range exchanges {
		b.Run(c.name, func(b *testing.B) {
			w := newWire(b, c.path, c.authorized, c.candidate)
			for range 100 {
				w.exchange(b, c.status)
			}
			b.ReportAllocs()
			for b.Loop() {
				w.exchange(b, c.status)
			}
		})
	}
}
