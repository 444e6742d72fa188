package conformance_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/upstream"
)

// strictService reads HTTP/1.1 as strictly as RFC 9112 allows and complains of
// everything that could be read in two ways. It is what the claim "the service
// receives one well-formed request" is measured with.
type strictService struct {
	mu       sync.Mutex
	requests []wireRequest
	faults   []string
}

type wireRequest struct {
	line   string // "POST /path"
	fields []string
	body   string
}

func newStrictService(t testing.TB) (*strictService, upstream.Config) {
	s := &strictService{}
	return s, rawService(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := readStrictly(r)
			if errors.Is(err, io.EOF) && req.line == "" {
				return
			}
			s.mu.Lock()
			if err != nil {
				s.faults = append(s.faults, fmt.Sprintf("%v in %+v", err, req))
			} else {
				s.requests = append(s.requests, req)
			}
			s.mu.Unlock()
			if err != nil {
				return
			}
			body := "ok"
			if strings.HasPrefix(req.line, "HEAD ") {
				body = ""
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%s", body)
		}
	})
}

// lines returns what arrived, and fails on what was not well formed. A request
// that the client never finished may be cut off, and is not well formed then.
func (s *strictService) lines(t *testing.T) (lines []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if !strings.Contains(f, io.ErrUnexpectedEOF.Error()) && !strings.Contains(f, "EOF in") {
			t.Errorf("the service received something that is no request: %s", f)
		}
	}
	for _, r := range s.requests {
		lines = append(lines, r.line)
	}
	return lines
}

func (s *strictService) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%+v %v", s.requests, s.faults)
}

func readStrictly(r *bufio.Reader) (req wireRequest, err error) {
	line, err := strictLine(r)
	if err != nil {
		return req, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" || !strings.HasPrefix(parts[1], "/") {
		return req, fmt.Errorf("request line %q", line)
	}
	req.line = parts[0] + " " + parts[1]
	count := map[string]int{}
	length, chunked := 0, false
	for {
		line, err := strictLine(r)
		if err != nil {
			return req, err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ": ")
		if !ok || name == "" || strings.ContainsAny(name, " \t()<>@,;:\\\"/[]?={}") || strings.TrimSpace(value) != value {
			return req, fmt.Errorf("field line %q", line)
		}
		key := strings.ToLower(name)
		count[key]++
		req.fields = append(req.fields, key+": "+value)
		switch key {
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil || length < 0 || value != strconv.Itoa(length) {
				return req, fmt.Errorf("length %q", value)
			}
		case "transfer-encoding":
			if chunked = value == "chunked"; !chunked {
				return req, fmt.Errorf("coding %q", value)
			}
		case "upgrade", "http2-settings", "trailer", "expect", "keep-alive", "proxy-connection":
			return req, fmt.Errorf("%q ended up behind the gateway", line)
		}
	}
	if count["host"] != 1 || count["content-length"]+count["transfer-encoding"] > 1 {
		return req, fmt.Errorf("host or framing not once: %v", count)
	}
	if chunked {
		req.body, err = strictChunks(r)
	} else {
		body := make([]byte, length)
		_, err = io.ReadFull(r, body)
		req.body = string(body)
	}
	return req, err
}

func strictLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", fmt.Errorf("control in %q", line)
	}
	return line, nil
}

func strictChunks(r *bufio.Reader) (string, error) {
	var body strings.Builder
	for {
		line, err := strictLine(r)
		if err != nil {
			return body.String(), err
		}
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil {
			return body.String(), fmt.Errorf("chunk size %q", line)
		}
		if _, err := io.CopyN(&body, r, int64(size)); err != nil {
			return body.String(), err
		}
		if end, err := strictLine(r); err != nil || end != "" {
			return body.String(), fmt.Errorf("after a chunk: %q %v", end, err)
		}
		if size == 0 {
			return body.String(), nil
		}
	}
}

// TestContentWithoutMeaningGoesOnChunked: a service that leaves it unread meets a chunk size where its next
// request would begin, and not what a client wrote (CL.0, James Kettle 2022). The long one does not fit
// behind its head.
func TestContentWithoutMeaningGoesOnChunked(t *testing.T) {
	inBothLanes(t, func(t *testing.T, l lane) {
		short := "GET /items/2 HTTP/1.1\r\nHost: shop.test\r\n\r\n"
		for _, content := range []string{short, short + strings.Repeat("x", 100<<10)} {
			length := fmt.Sprintf("content-length: %d", len(content))
			for method, want := range map[string]string{"GET": "transfer-encoding: chunked", "HEAD": "transfer-encoding: chunked", "POST": length} {
				s, up := newStrictService(t)
				r := newRig(t, l, rigConfig{upstream: up})
				conn := r.wire(t)
				send(t, conn, fmt.Sprintf("%s /items/1 HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer writer\r\nConnection: close\r\n%s\r\n\r\n%s", method, length, content))
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				answer, _ := io.ReadAll(conn)
				if lines := s.lines(t); len(lines) != 1 || s.requests[0].body != content || !slices.Contains(s.requests[0].fields, want) {
					t.Errorf("%s of %d bytes: the service received %.300s, want it with %s; answer: %q", method, len(content), s.text(), want, answer)
				}
			}
		}
	})
}

// TestSmuggling sends bytes that one parser reads in one way and others in
// another. Whatever is sent, the service must receive well-formed requests, and
// of those only what want lists: each of them was judged. evil is a text that
// must not reach the service in any position but a body.
func TestSmuggling(t *testing.T) { inBothLanes(t, checkSmuggling) }

func checkSmuggling(t *testing.T, l lane) {
	const (
		host  = "Host: shop.test\r\n"
		auth  = host + "Authorization: Bearer writer\r\n"
		steal = "GET /items/2 HTTP/1.1\r\nHost: shop.test\r\n\r\n" // needs a token and has none

		// What the fast lane refuses beside that, and what allows it.
		bothFramings = "RFC 9112 section 6.1: a server MAY reject a message with both framings, and Transfer-Encoding in HTTP/1.0 is faulty framing"
		folded       = "RFC 9112 section 5.2: a server that receives an obs-fold MUST reject it or replace it by spaces"
		twice        = "RFC 9110 section 8.6: a recipient of equal lengths MUST reject them or take them for one"
		bareLF       = "RFC 9112 section 2.2: a recipient MAY take a bare LF for a line's end"
		otherHost    = "RFC 9112 section 3.2.2: a server ignores a Host beside an absolute target; one behind the gateway may not"
	)
	cases := []struct {
		name, bytes string
		want        []string // what the service may receive
		refused     string   // by the fast lane, although net/http finds one reading: why it may
	}{
		{"CL.TE: RFC 9112 section 6.1, PortSwigger 2019", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + steal, []string{"POST /items/1"}, bothFramings},
		{"TE.CL: the rest hidden in a chunk", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2a\r\n" + steal[:42] + "\r\n0\r\n\r\n", []string{"POST /items/1"}, bothFramings},
		{"TE.TE: a second coding", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + steal, nil, ""},
		{"TE with a vertical tab: CVE-2019-18277", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 5\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + steal, nil, ""},
		{"TE spelled with a space before the colon", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + steal, nil, ""},
		{"TE folded over two lines", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + steal, []string{"POST /items/1"}, folded},
		{"TE and an underscore alias", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", []string{"POST /items/1"}, ""},
		{"TE in HTTP/1.0", "POST /items/1 HTTP/1.0\r\n" + auth + "Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + steal, []string{"POST /items/1"}, bothFramings},
		{"two lengths that differ", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + steal, nil, ""},
		{"one length twice", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", []string{"POST /items/1"}, twice},
		{"a length with a sign", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: +4\r\n\r\nbody", nil, ""},
		{"a length in hex", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 0x4\r\n\r\nbody", nil, ""},
		{"a negative length", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: -4\r\n\r\nbody", nil, ""},
		{"a length beyond 64 bits", "POST /items/1 HTTP/1.1\r\n" + auth + "Content-Length: 18446744073709551620\r\n\r\nbody", nil, ""},
		{"a chunk size beyond 64 bits", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nbody\r\n0\r\n\r\n", nil, ""},
		{"a chunk extension with a bare LF: CVE-2025-22871", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n4;a\nbody\r\n0\r\n\r\n" + steal, nil, ""},
		{"a chunk not followed by CRLF", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n4\r\nbodyXX0\r\n\r\n" + steal, nil, ""},
		{"lines ending in a bare LF", "GET /items/1 HTTP/1.1\nHost: shop.test\nAuthorization: Bearer reader\nX-A: b\nX-Auth-Subject: evil\n\n", []string{"GET /items/1"}, bareLF},
		{"a bare CR in a value", "GET /items/1 HTTP/1.1\r\n" + auth + "X-A: b\rX-Auth-Subject: evil\r\n\r\n", nil, ""},
		{"a fold that hides a field", "GET /items/1 HTTP/1.1\r\n" + auth + "X-A: b\r\n\tX-Auth-Subject: evil\r\n\r\n", []string{"GET /items/1"}, folded},
		{"NUL in a value", "GET /items/1 HTTP/1.1\r\n" + auth + "X-A: b\x00\r\n\r\n", nil, ""},
		{"NUL in a name", "GET /items/1 HTTP/1.1\r\n" + auth + "X-A\x00: b\r\n\r\n", nil, ""},
		{"a space before the colon", "GET /items/1 HTTP/1.1\r\n" + auth + "X-Auth-Subject : evil\r\n\r\n", nil, ""},
		{"a line without a colon", "GET /items/1 HTTP/1.1\r\n" + auth + "X-Auth-Subject evil\r\n\r\n", nil, ""},
		{"a first field line that is folded", "GET /items/1 HTTP/1.1\r\n X-Auth-Subject: evil\r\n" + auth + "\r\n", nil, ""},
		{"two Host fields", "GET /items/1 HTTP/1.1\r\n" + auth + "Host: other.test\r\n\r\n", nil, ""},
		{"no Host", "GET /items/1 HTTP/1.1\r\nAuthorization: Bearer reader\r\n\r\n", nil, ""},
		{"a space in the target", "GET /items/1 /items/2 HTTP/1.1\r\n" + auth + "\r\n", nil, ""},
		{"a tab in the request line", "GET\t/items/1 HTTP/1.1\r\n" + auth + "\r\n", nil, ""},
		{"HTTP/0.9", "GET /items/1\r\n\r\n", nil, ""},
		{"HTTP/2.0 in a request line", "GET /items/1 HTTP/2.0\r\n" + auth + "\r\n", nil, ""},
		{"HTTP/1.2", "GET /items/1 HTTP/1.2\r\n" + auth + "\r\n", nil, ""},
		{"a request in the body of a refused one", "POST /items/1 HTTP/1.1\r\n" + host + "Content-Length: " + strconv.Itoa(len(steal)) + "\r\n\r\n" + steal, nil, ""},
		{"a request behind a refused one that waits for 100", "POST /items/1 HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\nGET /items/1 HTTP/1.1\r\n" + auth + "\r\n", nil, ""},
		{"pipelined requests are judged each", "GET /items/1 HTTP/1.1\r\n" + auth + "\r\n" + steal + "GET /open/x HTTP/1.1\r\n" + host + "\r\n", []string{"GET /items/1", "GET /open/x"}, ""},
		{"an absolute target that hides its Host", "GET http://shop.test/items/1 HTTP/1.1\r\nHost: other.test\r\nAuthorization: Bearer reader\r\n\r\n", []string{"GET /items/1"}, otherHost},
		{"a fragment in the target", "GET /open/x#/../../items/2 HTTP/1.1\r\n" + host + "\r\n", nil, ""},
		{"a lower-case method", "get /items/1 HTTP/1.1\r\n" + auth + "\r\n", nil, ""},
		{"CONNECT", "CONNECT shop.test:443 HTTP/1.1\r\n" + auth + "\r\n", nil, ""},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + auth + "\r\n", nil, ""},
		{"an h2c upgrade with a request in its tunnel: BishopFox 2020", "GET /open/x HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []string{"GET /open/x"}, ""},
		{"a WebSocket of a wrong version: its answer must not open a tunnel", "GET /socket HTTP/1.1\r\n" + auth + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + steal, nil, ""},
		{"Connection names framing", "POST /items/1 HTTP/1.1\r\n" + auth + "Connection: content-length, host, transfer-encoding\r\nContent-Length: 4\r\n\r\nbody", []string{"POST /items/1"}, ""},
		{"a GET with a body", "GET /items/1 HTTP/1.1\r\n" + auth + "Content-Length: " + strconv.Itoa(len(steal)) + "\r\n\r\n" + steal, []string{"GET /items/1"}, ""},
		{"a HEAD with a body", "HEAD /items/1 HTTP/1.1\r\n" + auth + "Content-Length: " + strconv.Itoa(len(steal)) + "\r\n\r\n" + steal, []string{"HEAD /items/1"}, ""},
		{"trailers with a credential and an identity", "POST /items/1 HTTP/1.1\r\n" + auth + "Transfer-Encoding: chunked\r\nTrailer: X-Auth-Subject\r\n\r\n4\r\nbody\r\n0\r\nX-Auth-Subject: evil\r\nContent-Length: 9\r\n\r\n", []string{"POST /items/1"}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, up := newStrictService(t)
			r := newRig(t, l, rigConfig{upstream: up})
			conn := r.wire(t)
			send(t, conn, c.bytes+"GET /open/last HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			answers, err := io.ReadAll(conn)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the gateway goes on waiting after %q", answers)
			}
			r.port.Close()
			got := slices.DeleteFunc(s.lines(t), func(l string) bool { return l == "GET /open/last" })
			want := c.want
			if l == fast && c.refused != "" {
				if want = nil; !bytes.HasPrefix(answers, []byte("HTTP/1.1 400 ")) {
					t.Errorf("not refused, though that is what is allowed (%s): %q", c.refused, answers)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("the service received %q, want %q; answers: %q", got, want, answers)
			}
			for _, q := range s.requests {
				for _, f := range q.fields {
					if strings.Contains(f, "evil") && strings.Contains(f, "auth") && !strings.HasPrefix(f, "x-a: ") {
						t.Errorf("%q reached the service", f)
					}
				}
			}
		})
	}
}
