package fastlane

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/upstream"
)

// certificate is one for 127.0.0.1, which is its own authority.
var certificate = sync.OnceValues(func() (tls.Certificate, string) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0], string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
})

// batch is a socket that sends what was written when it is flushed, at once.
type batch struct {
	net.Conn
	held  bytes.Buffer
	holds bool
}

func (b *batch) Write(p []byte) (int, error) {
	if b.holds {
		return b.held.Write(p)
	}
	return b.Conn.Write(p)
}

func (b *batch) flush() error {
	b.Conn.SetWriteDeadline(time.Time{}) // TLS has ended the time for writing with its close_notify
	_, err := b.held.WriteTo(b.Conn)
	return err
}

// Of what comes behind an answer TLS may have read a record already. The socket
// does not show it, and the next request must not be answered by it.
func TestWhatTLSHasReadBehindAnAnswerAnswersNobody(t *testing.T) {
	pair, ca := certificate()
	l := listenFor(t)
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				b := &batch{Conn: raw}
				c := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{pair}})
				if c.Handshake() != nil {
					return
				}
				b.holds = true
				serving(func(w io.Writer, _ *http.Request) {
					answerWith(w, "good")
					answerWith(w, "evil")
					b.flush()
				})(c)
			}()
		}
	}()
	r := newRig(t, upstream.Config{Scheme: "https", Address: l.Addr().String(), TLS: upstream.TLS{CA: ca}}, nil)
	c := r.client()
	for range 3 {
		c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
		c.expect("GET", 200, "good")
	}
}

// A clean connection over TLS is used again.
func TestAConnectionOverTLSIsUsedAgain(t *testing.T) {
	pair, ca := certificate()
	l := listenFor(t)
	var accepted atomic.Int64
	s := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, req.URL.Path) }),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				accepted.Add(1)
			}
		},
	}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
	r := newRig(t, upstream.Config{Scheme: "https", Address: l.Addr().String(), TLS: upstream.TLS{CA: ca}}, nil)
	c := r.client()
	for range 5 {
		c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
		c.expect("GET", 200, "")
	}
	if n := accepted.Load(); n != 1 {
		t.Errorf("%d connections for 5 requests in turn", n)
	}
}

// What an answer without a body says of one may follow later.
func TestAnAnswerThatAnnouncesABodyItCannotHaveEndsItsConnection(t *testing.T) {
	for head, want := range map[string]int64{
		"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n":   2,
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n":            2,
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n":            1,
		"HTTP/1.1 204 No Content\r\n\r\n":                                 1,
		"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n": 2,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n":          1,
	} {
		r := newRig(t, upstream.Config{}, serving(func(w io.Writer, _ *http.Request) { io.WriteString(w, head) }))
		c := r.client()
		for range 2 {
			c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
			c.answer("GET")
		}
		if n := r.dialled.Load(); n != want {
			t.Errorf("%q: %d connections for 2 requests, want %d", head, n, want)
		}
	}
}

// A forwarder in front of a service that is down accepts and closes at once. That
// is an answer to one request, not a reason to dial for as long as it lasts.
func TestAConnectionThatIsClosedAtOnceIsNotDialledAgainAndAgain(t *testing.T) {
	l := listenFor(t)
	r := newRig(t, upstream.Config{}, nil)
	r.up.dial = func(context.Context) (net.Conn, error) {
		r.dialled.Add(1)
		near, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		far, err := l.Accept()
		if err == nil {
			err = far.Close() // seen before anything is sent
		}
		return near, err
	}
	c := r.client()
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		r.dialled.Store(0)
		c.send(method + " /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
		c.expect(method, 502, "")
		if n := r.dialled.Load(); n != 1 {
			t.Errorf("%s: dialled %d times", method, n)
		}
	}
}
