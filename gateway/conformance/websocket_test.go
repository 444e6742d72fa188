package conformance_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// The two frames of these tests (RFC 6455 section 5.7): "Hello" from a client,
// masked, and from a server.
const (
	helloMasked = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
	hello       = "\x81\x05Hello"
	key         = "dGhlIHNhbXBsZSBub25jZQ=="
)

const handshake = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"

// socketService greets and answers every masked Hello with a plain one.
func socketService(t testing.TB) upstream.Config {
	return rawService(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") != "websocket" || req.Header.Get("X-Refuse") != "" {
			status := req.Header.Get("X-Refuse")
			if status == "" {
				status = "200 OK"
			}
			fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: 8\r\n\r\nordinary", status)
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\nX-Subject: %s\r\nAccess-Control-Allow-Origin: *\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]), req.Header.Get("X-Auth-Subject"))
		frame := make([]byte, len(helloMasked))
		for {
			if _, err := io.ReadFull(r, frame); err != nil || string(frame) != helloMasked {
				if err == io.EOF && req.Header.Get("X-Last-Word") != "" {
					io.WriteString(c, hello)
				}
				return
			}
			io.WriteString(c, hello)
		}
	})
}

// openSocket does the handshake over HTTP/1.1.
func (r *rig) openSocket(t *testing.T, path, fields string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c := r.wire(t)
	send(t, c, "GET "+path+" HTTP/1.1\r\nHost: shop.test\r\n"+fields+handshake+"\r\n")
	b := bufio.NewReader(c)
	res, err := http.ReadResponse(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, b, res
}

func expectHello(t *testing.T, c io.Writer, r io.Reader) {
	t.Helper()
	io.WriteString(c, helloMasked)
	got := make([]byte, len(hello))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != hello {
		t.Fatalf("%q %v", got, err)
	}
}

func TestWebSocket(t *testing.T) { inBothLanes(t, checkWebSocket) }

func checkWebSocket(t *testing.T, l lane) {
	r := newRig(t, l, rigConfig{upstream: socketService(t)})
	t.Run("over HTTP/1.1", func(t *testing.T) {
		c, b, res := r.openSocket(t, "/socket", "Authorization: Bearer reader\r\nX-Auth-Subject: evil\r\n")
		if res.StatusCode != 101 || res.Header.Get("X-Subject") != "alice" || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatalf("%+v", res)
		}
		for range 3 {
			expectHello(t, c, b)
		}
		if n := r.port.Connections(); n.Tunnel != 1 {
			t.Errorf("%+v", n)
		}
		c.Close()
		x := r.next(t, "the tunnel", func(x record) bool { return x.Status == 101 })
		if x.BytesOut != 3*int64(len(hello)) || x.BytesIn != 3*int64(len(helloMasked)) || x.Err != nil {
			t.Errorf("%+v", x)
		}
	})
	t.Run("over HTTP/1.1, the service has the last word", func(t *testing.T) {
		c, b, _ := r.openSocket(t, "/socket", "Authorization: Bearer reader\r\nX-Last-Word: 1\r\n")
		expectHello(t, c, b)
		c.(interface{ CloseWrite() error }).CloseWrite()
		if last, err := io.ReadAll(b); string(last) != hello || err != nil {
			t.Errorf("after the client's last byte came %q, %v", last, err)
		}
		if x := r.next(t, "the tunnel", func(x record) bool { return x.Status == 101 }); x.Err != nil {
			t.Errorf("recorded as cut: %v", x.Err)
		}
	})
	t.Run("needs the token of its route", func(t *testing.T) {
		if _, _, res := r.openSocket(t, "/socket", ""); res.StatusCode != 401 {
			t.Error(res.Status)
		}
	})
	t.Run("frames behind the handshake are not lost", func(t *testing.T) {
		c := r.wire(t)
		send(t, c, "GET /open-socket HTTP/1.1\r\nHost: shop.test\r\n"+handshake+"\r\n"+helloMasked)
		b := bufio.NewReader(c)
		if res, err := http.ReadResponse(b, nil); err != nil || res.StatusCode != 101 {
			t.Fatal(res, err)
		}
		got := make([]byte, len(hello))
		if _, err := io.ReadFull(b, got); err != nil || string(got) != hello {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("a service that declines gives an ordinary answer", func(t *testing.T) {
		_, _, res := r.openSocket(t, "/open-socket", "X-Refuse: 403 Forbidden\r\n")
		text, _ := io.ReadAll(res.Body)
		if res.StatusCode != 403 || string(text) != "ordinary" {
			t.Errorf("%s %s", res.Status, text)
		}
	})
	t.Run("over HTTP/2", func(t *testing.T) {
		f := r.openFrames(t)
		if f.settings[http2.SettingEnableConnectProtocol] != 1 {
			t.Fatalf("extended CONNECT is not offered: %v", f.settings)
		}
		f.head(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/socket", ":authority", "shop.test",
			"sec-websocket-version", "13", "authorization", "Bearer reader")
		s := f.await(1, func(s *streamEnd) bool { return len(s.heads) == 1 })
		if s.heads[0][":status"] != "200" || s.heads[0]["x-subject"] != "alice" || s.heads[0]["sec-websocket-accept"] != "" {
			t.Fatalf("%+v", s)
		}
		for range 3 {
			f.must(f.WriteData(1, false, []byte(helloMasked)))
			if s := f.await(1, func(s *streamEnd) bool { return len(s.body) >= len(hello) }); s.body != hello {
				t.Fatalf("%+v", s)
			}
		}
		f.must(f.WriteData(1, true, nil))
		if s := f.await(1, nil); !s.ended || s.reset != nil {
			t.Errorf("the end of the stream is %+v", s)
		}
	})
	for _, x := range []struct {
		name, path, protocol, version, token, refuse, status string
	}{
		{"over HTTP/2 without a token", "/socket", "websocket", "13", "", "", "401"},
		{"over HTTP/2 on a route without upgrade", "/open/x", "websocket", "13", "", "", "501"},
		{"over HTTP/2 with another protocol", "/open-socket", "connect-udp", "13", "", "", "501"},
		{"over HTTP/2 with another version", "/open-socket", "websocket", "8", "", "", "400"},
		{"over HTTP/2, declined with what would open it", "/open-socket", "websocket", "13", "", "200 OK", "502"},
		{"over HTTP/2, declined", "/open-socket", "websocket", "13", "", "403 Forbidden", "403"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := r.openFrames(t)
			f.head(1, false, ":method", "CONNECT", ":protocol", x.protocol, ":scheme", "http", ":path", x.path, ":authority", "shop.test",
				"sec-websocket-version", x.version, "x-refuse", x.refuse)
			if s := f.await(1, nil); len(s.heads) == 0 || s.heads[0][":status"] != x.status {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestHandshakeIsChecked: what makes no WebSocket opens nothing.
func TestHandshakeIsChecked(t *testing.T) { inBothLanes(t, checkHandshakeIsChecked) }

func checkHandshakeIsChecked(t *testing.T, l lane) {
	s, up := newStrictService(t)
	r := newRig(t, l, rigConfig{upstream: up})
	const begin = "GET /open-socket HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	for name, fields := range map[string]string{
		"no version":        "Sec-WebSocket-Key: " + key + "\r\n\r\n",
		"another version":   "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: " + key + "\r\n\r\n",
		"two versions":      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: " + key + "\r\n\r\n",
		"no key":            "Sec-WebSocket-Version: 13\r\n\r\n",
		"a short key":       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
		"a key of no base":  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: !!!!\r\n\r\n",
		"two keys":          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Key: " + key + "\r\n\r\n",
		"a body":            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\nContent-Length: 4\r\n\r\nbody",
		"a chunked body":    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"loose base64 bits": "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := r.wire(t)
			send(t, c, begin+fields)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != 400 {
				t.Errorf("%v %v", res, err)
			}
		})
	}
	if got := s.text(); strings.Contains(got, "GET") {
		t.Errorf("the service received %s", got)
	}
}

// TestFalse101: a 101 that does not answer the handshake opens no tunnel.
func TestFalse101(t *testing.T) { inBothLanes(t, checkFalse101) }

func checkFalse101(t *testing.T, l lane) {
	const good = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for name, fields := range map[string]string{
		"no accept":        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
		"another's accept": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n",
		"two accepts":      "Connection: Upgrade\r\nUpgrade: websocket\r\n" + good + good,
		"another protocol": "Connection: Upgrade\r\nUpgrade: h2c\r\n" + good,
		"no upgrade":       "Connection: Upgrade\r\n" + good,
		"no connection":    "Upgrade: websocket\r\n" + good,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, l, rigConfig{upstream: rawService(t, func(c net.Conn) {
				http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n"+fields+"\r\n")
				io.Copy(io.Discard, c)
			})})
			if _, _, res := r.openSocket(t, "/open-socket", ""); res.StatusCode != 502 {
				t.Error(res.Status)
			}
		})
	}
}

// TestTunnelEnds: a tunnel is not a way to stay when the right to be there has
// gone.
func TestTunnelEnds(t *testing.T) { inBothLanes(t, checkTunnelEnds) }

func checkTunnelEnds(t *testing.T, l lane) {
	expectEnd := func(t *testing.T, r *rig, b io.Reader) {
		t.Helper()
		if rest, err := io.ReadAll(b); len(rest) != 0 {
			t.Errorf("%q %v", rest, err)
		}
		if x := r.next(t, "the tunnel", func(x record) bool { return x.Status == 101 }); x.Err == nil {
			t.Error("recorded as if it had ended by itself")
		}
	}
	start := func(t *testing.T, path, fields string, c rigConfig) (*rig, *bufio.Reader) {
		timeouts := c.upstream.Timeouts
		c.upstream = socketService(t)
		c.upstream.Timeouts = timeouts
		r := newRig(t, l, c)
		conn, b, res := r.openSocket(t, path, fields)
		if res.StatusCode != 101 {
			t.Fatal(res.Status)
		}
		expectHello(t, conn, b)
		return r, b
	}
	const reader = "Authorization: Bearer reader\r\n"
	t.Run("with its token", func(t *testing.T) {
		t.Parallel()
		r, b := start(t, "/socket", "Authorization: Bearer "+tokenFor("carol", 4*time.Second, "shop.items.read")+"\r\n", rigConfig{})
		expectEnd(t, r, b)
	})
	t.Run("with its key", func(t *testing.T) {
		t.Parallel()
		r, b := start(t, "/socket", reader, rigConfig{})
		r.gate.Publish(r.snapshot(policyText, false))
		expectEnd(t, r, b)
	})
	t.Run("with its route", func(t *testing.T) {
		t.Parallel()
		r, b := start(t, "/open-socket", "", rigConfig{})
		r.gate.Publish(r.snapshot(strings.ReplaceAll(policyText, "/open-socket:", "/elsewhere:"), true))
		expectEnd(t, r, b)
	})
	t.Run("with its route's upgrade", func(t *testing.T) {
		t.Parallel()
		r, b := start(t, "/socket", reader, rigConfig{})
		r.gate.Publish(r.snapshot(strings.ReplaceAll(policyText, "    upgrade: [websocket]\n", ""), true))
		expectEnd(t, r, b)
	})
	t.Run("when nothing moves", func(t *testing.T) {
		t.Parallel()
		r, b := start(t, "/open-socket", "", rigConfig{upstream: upstream.Config{Timeouts: gate.Timeouts{TunnelIdle: 300 * time.Millisecond}}})
		expectEnd(t, r, b)
	})
	t.Run("on a public route after tunnel_max", func(t *testing.T) {
		t.Parallel()
		r, b := start(t, "/open-socket", "", rigConfig{upstream: upstream.Config{Timeouts: gate.Timeouts{TunnelMax: 300 * time.Millisecond}}})
		expectEnd(t, r, b)
	})
	t.Run("at the end of a drain", func(t *testing.T) {
		t.Parallel()
		r, b := start(t, "/open-socket", "", rigConfig{})
		if err := r.port.Drain(t.Context(), dataport.Grace{Work: 200 * time.Millisecond}); err != dataport.ErrCut {
			t.Errorf("Drain: %v", err)
		}
		expectEnd(t, r, b)
	})
}

// TestStreamEnds: what holds for tunnels holds for event streams and gRPC.
func TestStreamEnds(t *testing.T) { inBothLanes(t, checkStreamEnds) }

func checkStreamEnds(t *testing.T, l lane) {
	for _, kind := range []string{"text/event-stream", "application/grpc"} {
		t.Run(kind, func(t *testing.T) { streamEnds(t, l, kind) })
	}
}

func streamEnds(t *testing.T, l lane, kind string) {
	r := newRig(t, l, rigConfig{upstream: service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, "first")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))})
	bearer := "Authorization: Bearer " + tokenFor("dave", 4*time.Second, "shop.items.read")
	var all sync.WaitGroup
	for _, client := range r.clients() {
		all.Go(func() {
			res, err := client.Do(client.request(t, "GET", "/items/1", nil, bearer))
			if err != nil {
				t.Errorf("%s: %v", client.name, err)
				return
			}
			defer res.Body.Close()
			if text, err := io.ReadAll(res.Body); string(text) != "first" || err == nil {
				t.Errorf("%s: %q %v", client.name, text, err)
			}
		})
	}
	all.Wait()
	for _, x := range r.wait(t, len(r.clients())) {
		if x.Err == nil || x.reason != gate.ReasonAllowed {
			t.Errorf("%+v", x)
		}
	}
}
