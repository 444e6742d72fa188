package fastlane

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// listen lets clients come over TCP as well.
func (r *rig) listen() string {
	l := listenFor(r.T)
	go r.port.Serve(l, nil)
	return l.Addr().String()
}

// listenTLS is listen over TLS.
func (r *rig) listenTLS() string {
	pair, _ := certificate()
	l := listenFor(r.T)
	go r.port.Serve(l, &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}) // an unread ticket makes a reset of a client's end
	return l.Addr().String()
}

// dialTLS is a client over TLS 1.2, where a reader may get the last bytes together
// with the end, and the socket below, which holds back what it is told to.
func (r *rig) dialTLS(address string) (*peer, *batch) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		r.Fatal(err)
	}
	below := &batch{Conn: raw}
	c := tls.Client(below, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err := c.Handshake(); err != nil {
		r.Fatal(err)
	}
	return r.peer(c), below
}

// A client may say over TLS that nothing more will come, in one packet with its
// request.
func TestARequestThatComesWithTheEndOfTLSIsAnswered(t *testing.T) {
	r := newRig(t, upstream.Config{}, serving(naming))
	c, below := r.dialTLS(r.listenTLS())
	below.holds = true
	c.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Conn.(*tls.Conn).CloseWrite()
	below.flush()
	c.expect("GET", 200, "/open/a")
}

// The last words of a WebSocket's client may come in one packet with the end.
func TestTheLastWordsOverTLSAreCarried(t *testing.T) {
	heard := make(chan string, 1)
	r := newRig(t, upstream.Config{}, func(c net.Conn) {
		in := bufio.NewReader(c)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		b := new(bytes.Buffer)
		io.CopyN(b, in, int64(len("goodbye")))
		heard <- b.String()
	})
	c, below := r.dialTLS(r.listenTLS())
	c.send("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if res, err := http.ReadResponse(c.Reader, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	below.holds = true
	c.send("goodbye")
	c.Conn.(*tls.Conn).CloseWrite()
	below.flush()
	select {
	case got := <-heard:
		if got != "goodbye" {
			t.Errorf("%q", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing was carried")
	}
}

// A client that leaves is noticed over TLS too, where the first sign of it is a
// close_notify, and after a body that was carried.
func TestAClientThatLeavesReleasesTheService(t *testing.T) {
	asked, released := make(chan struct{}, 1), make(chan struct{}, 1)
	r := newRig(t, upstream.Config{}, func(c net.Conn) {
		in := bufio.NewReader(c)
		if req, err := http.ReadRequest(in); err == nil {
			io.Copy(io.Discard, req.Body)
			asked <- struct{}{}
			c.Read(make([]byte, 1)) // until the lane closes the connection
			released <- struct{}{}
		}
	})
	plain, secure := r.listen(), r.listenTLS()
	for name, body := range map[string]string{
		"without a body": "GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n",
		"after a body":   "POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		for _, over := range []string{"TCP", "TLS"} {
			t.Run(name+" over "+over, func(t *testing.T) {
				var c *peer
				if over == "TLS" {
					c, _ = r.dialTLS(secure)
				} else {
					raw, err := net.Dial("tcp", plain)
					if err != nil {
						t.Fatal(err)
					}
					c = r.peer(raw)
				}
				c.send(body)
				<-asked
				c.Close()
				select {
				case <-released:
				case <-time.After(20 * time.Second):
					t.Fatal("the service still works for a client that has left")
				}
				if got := r.record(); got.reason != gate.ReasonClientClosed {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}
