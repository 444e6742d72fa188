package fastlane

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// A client that stops in the middle of a small body is told so, however long the
// limit for bodies is beside the one for writing.
func TestAClientIsToldThatItsBodyIsTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, upstream.Config{Timeouts: gate.Timeouts{BodyIdle: time.Minute}}, serving(naming))
		c := r.client()
		c.send("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
		c.expect("POST", 408, "")
		if got := r.record(); got.reason != gate.ReasonRequestTimeout || got.Status != 408 {
			t.Errorf("%+v", got)
		}
	})
}

// The time that a service has for its answer begins when it has been asked.
func TestASlowBodyDoesNotTakeTheServicesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, upstream.Config{}, serving(func(w io.Writer, req *http.Request) {
			time.Sleep(50 * time.Second)
			naming(w, req)
		}))
		c := r.client()
		for range 2 { // over a new connection to the service, and over one that is used again
			c.send("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
			for range 10 {
				time.Sleep(20 * time.Second)
				c.send("x")
			}
			c.expect("POST", 200, "/open/a")
		}
	})
}

// What TLS could not write within a time limit it can never write. A service that
// stops reading must not make the lane try for as long as it may answer: in the
// bubble that would be for ever.
func TestAServiceThatStopsReadingTLSIsLeft(t *testing.T) {
	pair, _ := certificate()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, upstream.Config{}, nil)
		r.up.dial = func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			t.Cleanup(func() { far.Close() })
			go tls.Server(far, &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}).Handshake()
			c := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
			return c, c.Handshake()
		}
		c := r.client()
		c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
		c.expect("GET", 504, "")
	})
}

// A client may read slowly as long as it reads.
func TestAReaderThatIsSlowButReadsIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 200 << 10
		r := newRig(t, upstream.Config{}, serving(func(w io.Writer, _ *http.Request) { answerWith(w, strings.Repeat("a", size)) }))
		c := r.client()
		c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
		res, err := http.ReadResponse(c.Reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		for left := size; left > 0; left -= 1 << 10 {
			time.Sleep(2 * time.Second) // 64 KiB then take two minutes
			if _, err := io.CopyN(io.Discard, res.Body, 1<<10); err != nil {
				t.Fatalf("%d bytes before the end: %v", left, err)
			}
		}
		if got := r.record(); got.Err != nil || got.BytesOut != size {
			t.Errorf("%+v", got)
		}
	})
}

// One that stops reading is not waited for longer than the limit and its slack.
func TestAReaderThatStopsIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, upstream.Config{}, serving(func(w io.Writer, _ *http.Request) { answerWith(w, strings.Repeat("a", 200<<10)) }))
		c := r.client()
		began := time.Now()
		c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
		got := r.record()
		if took := time.Since(began); got.reason != gate.ReasonPublic || got.Err != gate.ErrSlowReader || took < 30*time.Second || took > 62*time.Second {
			t.Errorf("%+v after %v", got, took)
		}
		if n := r.inFlight.Load(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// A trailer section that is too large is a head that is too large, wherever the
// body that stands before it has gone.
func TestATrailerSectionThatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, upstream.Config{}, serving(naming))
		c := r.client()
		go io.WriteString(c.Conn, "POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: "+strings.Repeat("x", mostTrailer)+"\r\n\r\n")
		c.expect("POST", 431, "")
		if got := r.record(); got.reason != gate.ReasonHeadTooLarge {
			t.Errorf("%+v", got)
		}
	})
}
