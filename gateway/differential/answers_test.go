package differential

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// FuzzAnswers: for any bytes that a service answers with, the client gets what
// net/http's client reads in them, with that status and body; or a 502; or an
// answer that is visibly cut off. What is an answer beyond doubt it gets whole.
// And its next request gets its own answer, whatever the service sent behind
// the first.
//
// The service sends its bytes in pieces. It then waits for the next request, or
// ends the connection: where end says so, and where net/http takes the end of
// the connection for the end of the answer or waits for more. The second request
// is sent when all the bytes are: what a service sends behind its answer and
// behind the beginning of the next request no reader can tell from an answer.
// The standard lane is not asked for it where something stands behind the first
// answer: net/http's client finds that out by chance. The third gateway is how
// HTTP/2's requests go, see newMixed.
func FuzzAnswers(f *testing.F) {
	for i, a := range answerSeeds(f) {
		f.Add(a, uint8(i), uint8(i%3))
		f.Add(a, uint8(i%len(asked)), uint8(0))
	}
	fast, mixed, standard := newFast(f), newMixed(f), newStandard(f)
	log.SetOutput(io.Discard) // net/http's client complains of bytes behind an answer
	f.Cleanup(func() { log.SetOutput(os.Stderr) })
	f.Fuzz(func(t *testing.T, a []byte, how, piece uint8) {
		if len(a) > 4*headMax {
			return
		}
		q := asked[int(how)%len(asked)]
		want := readDirectly(a, q.method)
		s := script{answer: a, piece: int(piece), end: how >= 128 || want.needsEnd}
		fast.asks(t, q, s, &want)
		mixed.asks(t, q, s, &want)
		standard.asks(t, q, s, &want)
		if n := runtime.NumGoroutine(); n > mostGoroutines {
			t.Fatalf("%d goroutines: a lane leaks them", n)
		}
	})
}

// asked are the requests to which the service answers.
var asked = []struct{ method, bytes string }{
	{"GET", "GET /public/x HTTP/1.1\r\nHost: target.test\r\n\r\n"},
	{"HEAD", "HEAD /public/x HTTP/1.1\r\nHost: target.test\r\n\r\n"},
	{"POST", "POST /public/x HTTP/1.1\r\nHost: target.test\r\nContent-Length: 5\r\n\r\nbody!"},
	{"POST", "POST /public/x HTTP/1.1\r\nHost: target.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody!\r\n0\r\n\r\n"},
	{"GET", "GET /ws HTTP/1.1\r\nHost: target.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"},
}

// direct is what net/http's client reads without a gateway.
type direct struct {
	status   int // 0: no answer
	header   http.Header
	body     []byte
	complete bool
	needsEnd bool // it waits for more, or for the end of the connection
	strict   bool // it is an answer to every reader, with nothing behind it
	stray    bool // something stands behind it
}

func readDirectly(a []byte, method string) (d direct) {
	d.needsEnd = true
	r := bufio.NewReader(bytes.NewReader(a))
	res, err := readLeniently(r, method)
	if err != nil {
		return d
	}
	d.status, d.header = res.StatusCode, res.Header
	d.body, err = io.ReadAll(res.Body)
	d.complete = err == nil
	d.needsEnd = err != nil || untilEnd(res, method)
	_, err = r.ReadByte()
	d.stray = err == nil
	r = bufio.NewReader(bytes.NewReader(a))
	m, interim, err := readAnswer(r, method)
	d.strict = err == nil && interim == 0 && m.status() >= 200 && r.Buffered() == 0 && m.length < mostLength
	return d
}

// mostLength is what the fast lane takes for a length, in bytes.
const mostLength = 1e18

// untilEnd: RFC 9112 section 6.3.
func untilEnd(res *http.Response, method string) bool {
	bare := method == "HEAD" || res.StatusCode == 204 || res.StatusCode == 304
	return !bare && res.ContentLength < 0 && len(res.TransferEncoding) == 0
}

// script is what the service does with the first request.
type script struct {
	answer []byte
	piece  int // bytes at a time; 0: all at once
	end    bool
}

// play returns whether the connection goes on.
func (s script) play(c net.Conn) bool {
	for piece := range slices.Chunk(s.answer, max(1, cmp.Or(s.piece, len(s.answer)))) {
		if _, err := c.Write(piece); err != nil {
			break // the lane has read enough
		}
	}
	return !s.end
}

// asks sends the request, and another one, and looks at both answers.
func (g *gateway) asks(t *testing.T, q struct{ method, bytes string }, s script, want *direct) {
	t.Helper()
	about := fmt.Sprintf("the %s lane, %s, %q in pieces of %d, then end=%t", g.lane, q.method, s.answer, s.piece, s.end)
	settled := false
	defer func() {
		if !settled {
			g.settle(t) // for the next run
		}
	}()
	sent := make(chan struct{})
	g.scripted(func(c net.Conn) bool {
		defer close(sent)
		return s.play(c)
	})
	c := g.dial(t)
	defer c.Close()
	r := bufio.NewReader(c)
	io.WriteString(c, q.bytes)
	m, _, err := readAnswer(r, q.method)
	switch {
	case err == io.EOF && g.lane != "fast" && !want.strict:
		// net/http had not written the head yet when the body was cut off.
	case err != nil && !errors.Is(err, errCut):
		t.Fatalf("%v in the client's answer %+v: %s", err, m, about)
	default:
		judge(t, m, want, about)
	}
	<-sent
	if g.lane == "standard" && want.stray {
		c.CloseWrite()
		io.ReadAll(r) // its end comes after the record
		return        // package proxy says in reuse.go what of this net/http's client cannot be kept from
	}
	if err != nil || m.closes() {
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Fatalf("%q, %v behind an answer that ends the connection: %s", rest, err, about)
		}
		c = g.dial(t)
		defer c.Close()
		r = bufio.NewReader(c)
	}
	io.WriteString(c, "GET /public/second HTTP/1.1\r\nHost: target.test\r\n\r\n")
	second, interim, err := readAnswer(r, "GET")
	if err != nil || interim > 0 || second.status() != 200 || second.body != "1" {
		t.Fatalf("the next request is answered with %+v, %v: %s", second, err, about)
	}
	c.CloseWrite()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 { // its end comes after the record
		t.Fatalf("%q, %v behind the second answer: %s", rest, err, about)
	}
	settled = true
	received, records := g.settle(t)
	if len(received) != 2 || received[1].start[1] != "/public/second" {
		t.Fatalf("the service received %d requests: %s", len(received), about)
	}
	if len(records) != 2 || len(m.start) > 0 && records[0].status != m.status() || m.complete == (records[0].cut != nil) {
		t.Fatalf("%+v record the answers %+v and %+v: %s", records, m, second, about)
	}
}

// judge holds the client's view against net/http's.
func judge(t *testing.T, m *message, want *direct, about string) {
	t.Helper()
	if len(m.start) < 2 {
		t.Fatalf("no answer: %s", about)
	}
	refused := m.status() == 502 && m.complete && strings.Join(m.values("cache-control"), ",") == "no-store" && m.values("x-request-id") != nil
	switch {
	case refused && want.strict:
		t.Fatalf("refused what is well formed: %s", about)
	case refused:
		return
	case m.status() != want.status:
		t.Fatalf("the client reads %+v, net/http %d: %s", m, want.status, about)
	case m.complete && (!want.complete || m.body != string(want.body)), !strings.HasPrefix(string(want.body), m.body):
		t.Fatalf("the client reads the body %q, net/http %q: %s", m.body, want.body, about)
	case !m.complete && want.strict:
		t.Fatalf("cut off what is well formed: %s", about)
	}
	for _, f := range m.fields {
		switch f.name {
		case "content-length", "transfer-encoding", "connection", "date", "trailer":
			continue
		}
		if !slices.Contains(want.header.Values(f.name), f.value) {
			t.Fatalf("%s: %q, which the service did not say: %s", f.name, f.value, about)
		}
	}
}

// scripted sets what answers the next request.
func (s *service) scripted(play func(net.Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = play
}
