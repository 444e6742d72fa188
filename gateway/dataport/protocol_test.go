package dataport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// serve opens a listener for r's port and returns its address.
func (r *rig) serve(t *testing.T, c *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := r.port.Serve(l, c); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	return l.Addr().String()
}

// TestFirstBytesChooseTheLane: the whole preface and nothing else is HTTP/2, however it is cut
// into segments, and the lane reads every byte from the first one.
func TestFirstBytesChooseTheLane(t *testing.T) {
	for name, c := range map[string]struct{ bytes, lane string }{
		"the preface":                     {preface, "two"},
		"the preface and a frame":         {preface + "and a frame\n", "two"},
		"an ordinary request":             {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "one"},
		"a request shorter than it":       {"GET /\n", "one"},
		"a single line end":               {"\n", "one"},
		"its first byte":                  {"P", "one"},
		"a POST":                          {"POST / HTTP/1.1\r\n\r\n", "one"},
		"all but the last byte":           {preface[:23], "one"},
		"another last byte":               {preface[:23] + "x", "one"},
		"a lower-case name":               {"pri * HTTP/2.0\r\n\r\nSM\r\n\r\n", "one"},
		"bare line feeds":                 {"PRI * HTTP/2.0\n\nSM\n\n", "one"},
		"white space before it":           {" " + preface, "one"},
		"a line end before it":            {"\r\n" + preface, "one"},
		"a request before it":             {"GET / HTTP/1.1\r\n\r\n" + preface, "one"},
		"HTTP/2 in an ordinary request":   {"GET / HTTP/2.0\r\n\r\n", "one"},
		"PRI as a request of HTTP/1.1":    {"PRI * HTTP/1.1\r\n\r\n", "one"},
		"a TLS handshake to a plain port": {"\x16\x03\x01\x00\x05hello", "one"},
	} {
		for step, size := range map[string]int{"at once": len(c.bytes), "byte by byte": 1, "in threes": 3} {
			for over, pair := range map[string]func(*testing.T) (client, server net.Conn){"TCP": tcpPair, "a pipe": pipe} {
				t.Run(name+" "+step+" over "+over, func(t *testing.T) {
					client, server := pair(t)
					port := dataport.New(dataport.Config{}, &whole{name: "one"}, &whole{name: "two"})
					defer port.Close()
					go port.Serve(&once{conn: server, done: make(chan struct{})}, nil)
					read := make(chan string)
					go func() {
						text, _ := io.ReadAll(client)
						read <- string(text)
					}()
					for rest := c.bytes; rest != ""; rest = rest[min(size, len(rest)):] {
						if _, err := io.WriteString(client, rest[:min(size, len(rest))]); err != nil {
							t.Fatal(err)
						}
					}
					io.WriteString(client, "\xff") // the end, for whole
					client.SetReadDeadline(time.Now().Add(10 * time.Second))
					if got := <-read; got != c.lane+":"+c.bytes {
						t.Errorf("%q, want lane %s", got, c.lane)
					}
				})
			}
		}
	}
}

// pipe is a connection without a socket, so that its bytes cannot be looked at before they are taken.
func pipe(*testing.T) (client, server net.Conn) { return net.Pipe() }

func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l := listen(t)
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestALaneFindsAllThatCame in its first read: were a part of it left in the socket, a lane that
// refuses and closes would reset the connection, and the client lose the refusal.
func TestALaneFindsAllThatCame(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a socket cannot be looked into without taking")
	}
	request := "GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 1000) + "\r\n\r\n"
	client, server := tcpPair(t)
	lane := &firstRead{got: make(chan string, 1)}
	port := dataport.New(dataport.Config{}, lane, lane)
	defer port.Close()
	go port.Serve(&once{conn: server, done: make(chan struct{})}, nil)
	io.WriteString(client, request)
	if got := <-lane.got; got != request {
		t.Errorf("%d bytes of %d", len(got), len(request))
	}
	client.SetReadDeadline(time.Now().Add(10 * time.Second))
	if rest, err := io.ReadAll(client); err != nil {
		t.Errorf("%q %v, want an orderly end", rest, err)
	}
}

// firstRead reads once and closes.
type firstRead struct {
	whole
	got chan string
}

func (l *firstRead) ServeConn(c *dataport.Conn) {
	var b [4096]byte
	n, _ := c.Read(b[:])
	l.got <- string(b[:n])
	c.Close()
}

// whole reads until the byte that UTF-8 never has and answers with all of it, half of the times through Early.
type whole struct{ name string }

func (l *whole) ServeConn(c *dataport.Conn) {
	defer c.Close()
	text := []byte(l.name + ":")
	if l.name == "one" {
		text = append(text, c.Early()...)
	}
	var b [5]byte
	for !strings.HasSuffix(string(text), "\xff") {
		n, err := c.Read(b[:])
		text = append(text, b[:n]...)
		if err != nil {
			break
		}
	}
	c.Write(text[:len(text)-1])
}

func (*whole) EndIdle(*dataport.Conn)         {}
func (*whole) Shutdown(context.Context) error { return nil }
func (*whole) Close() error                   { return nil }

// once is a listener of one connection.
type once struct {
	conn net.Conn
	done chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return c, nil
	}
	<-o.done
	return nil, net.ErrClosed
}

func (o *once) Close() error {
	select {
	case <-o.done:
	default:
		close(o.done)
	}
	return nil
}

func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

// TestALPNChoosesTheLane: over TLS the negotiated name decides, and the preface without it is
// not HTTP/2 (RFC 9113 section 3.2).
func TestALPNChoosesTheLane(t *testing.T) {
	r := newRig(t, dataport.Config{})
	address := r.serve(t, serverTLS(t))
	for _, c := range []struct {
		name  string
		offer []string
		send  string
		want  string
	}{
		{"h2", []string{"h2"}, "hello\n", "two hello"},
		{"h2 before HTTP/1.1", []string{"http/1.1", "h2"}, "hello\n", "two hello"},
		{"HTTP/1.1", []string{"http/1.1"}, "hello\n", "one hello"},
		{"HTTP/1.0", []string{"http/1.0"}, "hello\n", "one hello"},
		{"nothing", nil, "hello\n", "one hello"},
		{"nothing, and the preface", nil, "PRI * HTTP/2.0\n", "one PRI * HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: c.offer})
			if err != nil {
				t.Fatal(err)
			}
			p := newPeer(t, conn)
			p.send(c.send)
			p.expect(c.want)
		})
	}
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"spdy/3"}}); err == nil {
		conn.Close()
		t.Error("a client that speaks nothing of ours was let in")
	}
}

// TestATLSConnectionCounts: as one that it is, until its TLS ends.
func TestATLSConnectionCounts(t *testing.T) {
	r := newRig(t, dataport.Config{})
	conn, err := tls.Dial("tcp", r.serve(t, serverTLS(t)), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	p.send("hello\n")
	p.expect("one hello")
	waitFor(t, "idle connection", func() bool { return r.port.Connections() == dataport.Counts{Idle: 1} })
	conn.Close()
	waitFor(t, "end", func() bool { return r.port.Connections() == dataport.Counts{} })
}

// TestSilentClients: who says nothing is let go without a word, and no lane hears of it; nor does
// who begins a handshake and does not go on.
func TestSilentClients(t *testing.T) {
	r := newRig(t, dataport.Config{HeadTimeout: 100 * time.Millisecond})
	secure := r.serve(t, serverTLS(t))
	for name, c := range map[string]struct{ address, send string }{
		"nothing":                   {r.serve(t, nil), ""},
		"nothing, and TLS expected": {secure, ""},
		"half a TLS record":         {secure, "\x16\x03\x01\x02\x00\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, c.address)
			p.send(c.send)
			p.expectEnd()
		})
	}
	if len(r.http1.first)+len(r.http2.first) != 0 {
		t.Error("a lane was told")
	}
	waitFor(t, "end", func() bool { return r.port.Connections() == dataport.Counts{} })
}

// TestHalfAPreface: what stops in the middle is the HTTP/1 lane's to answer.
func TestHalfAPreface(t *testing.T) {
	r := newRig(t, dataport.Config{HeadTimeout: 100 * time.Millisecond})
	address := r.serve(t, nil)
	p := dial(t, address)
	p.send("PRI * HT")
	waitFor(t, "lane", func() bool { return r.http1.begun.Load() == 1 })
	p.send("XX\n")
	if got := <-r.http1.first; got != "PRI * HTXX\n" {
		t.Errorf("%q", got)
	}
	q := dial(t, address)
	q.send("PRI")
	q.Conn.(*net.TCPConn).CloseWrite()
	if got := <-r.http1.first; got != "PRI" {
		t.Errorf("%q", got)
	}
}

// TestHTTPToATLSPort is told so, in HTTP.
func TestHTTPToATLSPort(t *testing.T) {
	r := newRig(t, dataport.Config{})
	p := dial(t, r.serve(t, serverTLS(t)))
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if text, _ := io.ReadAll(p); !strings.HasPrefix(string(text), "HTTP/1.1 400 ") || !strings.HasSuffix(string(text), `{"detail":"Bad Request"}`) {
		t.Errorf("%q", text)
	}
	waitFor(t, "log line", func() bool { return strings.Contains(r.log.String(), "speaks HTTP without TLS") })
}

// TestAFaultInALane ends one connection, not the process.
func TestAFaultInALane(t *testing.T) {
	r := newRig(t, dataport.Config{})
	address := r.serve(t, nil)
	p := dial(t, address)
	p.send("panic\n")
	p.expectEnd()
	waitFor(t, "log line", func() bool { return strings.Contains(r.log.String(), "a fault in a lane") })
	q := dial(t, address)
	q.send("hello\n")
	q.expect("one hello")
}

func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
