package fastlane

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/policy"
)

// readHead takes one head off the front of b, as a turn does.
func readHead(b []byte) (h *requestHead, rest []byte, err error) {
	end, _, err := endOfHead(b, 0)
	if err != nil || end == 0 {
		return nil, nil, fmt.Errorf("no head: %w", err)
	}
	h = &requestHead{}
	if err := h.parse(b[:end:end]); err != nil {
		return nil, nil, err
	}
	return h, b[end:], nil
}

func TestAHeadIsReadAsItWasWritten(t *testing.T) {
	h, rest, err := readHead([]byte("POST /a/b?c=%20 HTTP/1.1\r\nHost: shop.test\r\nX-One:1\r\nx-one: \t two, \"three\" \t\r\nX-Empty:\r\nX-Bytes: caf\xc3\xa9 \xff\tx\r\n\r\nbody"))
	if err != nil {
		t.Fatal(err)
	}
	if h.method != "POST" || h.target != "/a/b?c=%20" || h.major != 1 || h.minor != 1 || string(rest) != "body" {
		t.Errorf("%+v, then %q", h, rest)
	}
	for name, want := range map[string][]string{
		"X-One": {"1", `two, "three"`}, "X-Empty": {""}, "X-Bytes": {"caf\xc3\xa9 \xff\tx"}, "X-Absent": nil, "Host": {"shop.test"},
	} {
		if got := h.Values(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestRequestHeadsThatAreNone: what RFC 9112 calls malformed, or lets a server
// repair, is refused. Each rule once; whole attacks are in deploy/attacks.
func TestRequestHeadsThatAreNone(t *testing.T) {
	const line = "GET / HTTP/1.1\r\n"
	for name, head := range map[string]string{
		"section 2.2: a bare LF ends a line":                 "GET / HTTP/1.1\nHost: a\n\n",
		"section 2.2: a bare LF ends a field line":           line + "Host: a\nX: b\r\n\r\n",
		"section 2.2: a bare LF is the empty line":           line + "Host: a\r\n\n",
		"section 2.2: a bare CR in a field line":             line + "Host: a\rX: b\r\n\r\n",
		"section 2.2: CR CR LF":                              line + "Host: a\r\r\n\r\n",
		"section 2.2: an empty line before the request line": "\r\n" + line + "Host: a\r\n\r\n",
		"section 2.2: white space before the first field":    line + " X: a\r\nHost: a\r\n\r\n",
		"section 2.3: HTTP in lower case":                    "GET / http/1.1\r\nHost: a\r\n\r\n",
		"section 2.3: a version of two digits":               "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
		"section 2.3: a version of one part":                 "GET / HTTP/1\r\nHost: a\r\n\r\n",
		"section 2.3: a comma in the version":                "GET / HTTP/1,1\r\nHost: a\r\n\r\n",
		"section 2.3: a sign in the version":                 "GET / HTTP/+.1\r\nHost: a\r\n\r\n",
		"section 3: no version (HTTP/0.9)":                   "GET /\r\n\r\n",
		"section 3: an empty target":                         "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
		"section 3: two spaces":                              "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"section 3: two spaces before the version":           "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
		"section 3: a tab for a space":                       "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
		"section 3: a space at the beginning":                " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"section 3: a space at the end":                      "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
		"section 3.2: a space in the target":                 "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
		"section 3: a control in the target":                 "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
		"section 3: NUL in the method":                       "GE\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
		"section 5: a line without a colon":                  line + "Host: a\r\nX\r\n\r\n",
		"section 5: an empty name":                           line + "Host: a\r\n: b\r\n\r\n",
		"section 5.1: a space before the colon":              line + "Host: a\r\nX : b\r\n\r\n",
		"section 5.1: a tab before the colon":                line + "Host: a\r\nX\t: b\r\n\r\n",
		"section 5.2: a line that goes on in the next":       line + "Host: a\r\nX: b\r\n c\r\n\r\n",
		"section 5.2: the same with a tab":                   line + "Host: a\r\nX: b\r\n\tc\r\n\r\n",
		"RFC 9110 section 5.1: a name with brackets":         line + "Host: a\r\nX[0]: b\r\n\r\n",
		"RFC 9110 section 5.1: a name with bytes above 127":  line + "Host: a\r\nX\xff: b\r\n\r\n",
		"RFC 9110 section 5.5: NUL in a value":               line + "Host: a\r\nX: b\x00c\r\n\r\n",
		"RFC 9110 section 5.5: a control in a value":         line + "Host: a\r\nX: b\x1bc\r\n\r\n",
		"RFC 9110 section 5.5: DEL in a value":               line + "Host: a\r\nX: 12345678\x7f\r\n\r\n",
		"RFC 9110 section 5.5: VT around a value":            line + "Host: a\r\nX:\x0bchunked\r\n\r\n",
		"hardening: more field lines than anybody needs":     line + strings.Repeat("X: y\r\n", mostFields+1) + "\r\n",
	} {
		if h, _, err := readHead([]byte(head)); err == nil {
			t.Errorf("%s: read as %s %q with %q", name, h.method, h.target, h.lines)
		}
	}
}

func TestRequestLength(t *testing.T) {
	for _, c := range []struct {
		lines string
		want  int64 // -9: refused
	}{
		{"", 0},
		{"Content-Length: 0", 0},
		{"Content-Length: 10", 10},
		{"content-length: 007", 7},
		{"Content-Length: 999999999999999999", 999999999999999999},
		{"Transfer-Encoding: chunked", chunked},
		{"transfer-encoding: CHUNKED", chunked},
		{"Content_Length: 5", 0}, // an alias is no length here, and is not sent on
		{"Content-Length: 9999999999999999999", -9},
		{"Content-Length: 18446744073709551617", -9},
		{"Content-Length:", -9},
		{"Content-Length: +5", -9},
		{"Content-Length: -5", -9},
		{"Content-Length: 0x5", -9},
		{"Content-Length: 5, 5", -9},
		{"Content-Length: 5 5", -9},
		{"Content-Length: 5;", -9},
		{"Content-Length: 5\r\nContent-Length: 5", -9},
		{"Content-Length: 5\r\nContent-Length: 6", -9},
		{"Content-Length: 5\r\nTransfer-Encoding: chunked", -9},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", -9},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", -9},
		{"Transfer-Encoding: chunked, chunked", -9},
		{"Transfer-Encoding: gzip, chunked", -9},
		{"Transfer-Encoding: chunked, identity", -9},
		{"Transfer-Encoding: chunked;q=1", -9},
		{"Transfer-Encoding: \"chunked\"", -9},
		{"Transfer-Encoding: xchunked", -9},
		{"Transfer-Encoding: ,chunked", -9},
		{"Transfer-Encoding: chun\u212Aed", -9}, // the Kelvin sign is no k
		{"Transfer-Encoding:", -9},
		{"Transfer-Encoding: gzip", -9},
		{"Transfer-Encoding: identity", -9},
	} {
		lines := c.lines
		if lines != "" {
			lines += "\r\n"
		}
		h, _, err := readHead([]byte("POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"))
		if err != nil {
			t.Fatalf("%q: %v", c.lines, err)
		}
		got, err := requestLength(h)
		if (err != nil) != (c.want == -9) || err == nil && got != c.want {
			t.Errorf("%q: %d, %v; want %d", c.lines, got, err, c.want)
		}
	}
	h, _, err := readHead([]byte("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := requestLength(h); err == nil {
		t.Errorf("chunked in HTTP/1.0 (RFC 9112 section 6.1): %d", n)
	}
}

// FuzzRequestHead holds the reader against net/http's, which is the more
// lenient: what this one reads and the gate takes, that one reads too, and alike.
func FuzzRequestHead(f *testing.F) {
	for _, head := range headSeeds {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := readHead(bytes.Clone(b))
		if err != nil {
			return
		}
		length, err := requestLength(h)
		if err != nil || h.major != 1 {
			return
		}
		if _, err := policy.NewRequest(&policy.Received{
			Method: h.method, Target: h.target, Hosts: h.Values("Host"), ProtoMajor: h.major, ProtoMinor: h.minor,
		}); err != nil {
			return
		}
		in := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
		r, err := http.ReadRequest(in)
		if err != nil {
			if isNetHTTPsOwn(err) {
				return
			}
			t.Fatalf("net/http does not read %q: %v", b, err)
		}
		if r.Method != h.method || r.RequestURI != h.target || r.ProtoMinor != h.minor {
			t.Fatalf("%s %q 1.%d here, %s %q %s in net/http", h.method, h.target, h.minor, r.Method, r.RequestURI, r.Proto)
		}
		if r.ContentLength != length && !(length == chunked && r.ContentLength < 0) {
			t.Fatalf("%d bytes of body here, %d in net/http: %q", length, r.ContentLength, b)
		}
		for name, values := range r.Header {
			if name == "Connection" && h.minor == 0 || name == "Cache-Control" || name == "Pragma" {
				continue // net/http edits these
			}
			if got := h.Values(name); !slices.Equal(got, values) {
				t.Fatalf("%s: %q here, %q in net/http", name, got, values)
			}
		}
		if length == 0 {
			behind, _ := in.Peek(in.Buffered())
			if !bytes.Equal(behind, rest) {
				t.Fatalf("the next request begins at %q here, at %q in net/http", rest, behind)
			}
		}
	})
}

// isNetHTTPsOwn are refusals of net/http's that the gate makes for other reasons
// or need not make.
func isNetHTTPsOwn(err error) bool {
	text := err.Error()
	return strings.Contains(text, "malformed Host") || // the gate's canonical form is narrower but for HTTP/1.0
		strings.Contains(text, "invalid method") // cannot be: kept apart so that a change shows
}

var headSeeds = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a?b HTTP/1.0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\n\r\nGET / HTTP/1.1\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: \t b \t\r\nX:c\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n",
	"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
}

func TestAnswerHeads(t *testing.T) {
	for _, c := range []struct {
		head   string
		status int // 0: refused
		reason string
	}{
		{"HTTP/1.1 200 OK\r\n\r\n", 200, "OK"},
		{"HTTP/1.1 200 \r\n\r\n", 200, ""},
		{"HTTP/1.1 200\r\n\r\n", 200, ""}, // without the space: old servers
		{"HTTP/1.0 404 Not  Found\r\nA: b\r\n\r\n", 404, "Not  Found"},
		{"HTTP/1.1 999 \xe9\r\n\r\n", 999, "\xe9"},
		{"HTTP/1.1 099 x\r\n\r\n", 0, ""},
		{"HTTP/1.1 000 x\r\n\r\n", 0, ""},
		{"HTTP/1.1 20 OK\r\n\r\n", 0, ""},
		{"HTTP/1.1 2000 OK\r\n\r\n", 0, ""},
		{"HTTP/1.1 +20 OK\r\n\r\n", 0, ""},
		{"HTTP/1.1  200 OK\r\n\r\n", 0, ""},
		{"HTTP/1.1\t200 OK\r\n\r\n", 0, ""},
		{"HTTP/2.0 200 OK\r\n\r\n", 0, ""},
		{"HTTP/1.2 200 OK\r\n\r\n", 0, ""},
		{"http/1.1 200 OK\r\n\r\n", 0, ""},
		{"ICY 200 OK\r\n\r\n", 0, ""},
		{"HTTP/1.1 200 OK\x00\r\n\r\n", 0, ""},
		{"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", 0, ""},
		{"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 0, ""},
	} {
		var h answerHead
		err := h.parse([]byte(c.head))
		if (err == nil) != (c.status != 0) || err == nil && (h.status != c.status || h.reason != c.reason) {
			t.Errorf("%q: %d %q, %v", c.head, h.status, h.reason, err)
		}
	}
}

func TestAnswerLength(t *testing.T) {
	for _, c := range []struct {
		method, head     string
		length, declared int64 // -9: refused
	}{
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 5, -1},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, -1},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunked, -1},
		{"GET", "HTTP/1.1 200 OK\r\n\r\n", untilClose, -1},
		{"GET", "HTTP/1.0 200 OK\r\n\r\n", untilClose, -1},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0, 5},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, -1},
		{"HEAD", "HTTP/1.1 200 OK\r\n\r\n", 0, -1},
		{"GET", "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", 0, 5},
		{"GET", "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", 0, -1},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -9, 0},
		{"GET", "HTTP/1.1 204 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -9, 0},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", -9, 0},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", -9, 0},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", -9, 0},
		{"GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -9, 0},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", -9, 0},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", -9, 0},
	} {
		var h answerHead
		if err := h.parse([]byte(c.head)); err != nil {
			t.Fatalf("%q: %v", c.head, err)
		}
		length, declared, err := answerLength(&h, c.method)
		if (err != nil) != (c.length == -9) || err == nil && (length != c.length || declared != c.declared) {
			t.Errorf("%s, %q: %d, %d, %v", c.method, c.head, length, declared, err)
		}
	}
}

// FuzzAnswerHead: what this reader takes for an answer, net/http takes for the same.
func FuzzAnswerHead(f *testing.F) {
	for _, head := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.0 404\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	} {
		f.Add([]byte(head), false)
		f.Add([]byte(head), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		end, _, err := endOfHead(b, 0)
		if err != nil || end == 0 {
			return
		}
		var h answerHead
		if h.parse(bytes.Clone(b[:end])) != nil {
			return
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		length, _, err := answerLength(&h, method)
		if err != nil {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http does not read %q: %v", b, err)
		}
		if res.StatusCode != h.status || res.ProtoMinor != h.minor {
			t.Fatalf("%d 1.%d here, %s %s in net/http", h.status, h.minor, res.Status, res.Proto)
		}
		if h.status < 200 || head || h.status == 304 || h.status == 204 {
			return // no body, whatever net/http says of its length
		}
		if want := max(length, -1); res.ContentLength != want {
			t.Fatalf("%d bytes of body here, %d in net/http: %q", length, res.ContentLength, b)
		}
	})
}

// TestValuesAreFoundByAnySpelling: the quick look must never miss a name.
func TestValuesAreFoundByAnySpelling(t *testing.T) {
	for _, name := range []string{"Authorization", "A", "Z-1", "_x", "~", "X-Forwarded-For"} {
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			h, _, err := readHead([]byte("GET / HTTP/1.1\r\n" + spelled + ": v\r\n\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Values(textproto.CanonicalMIMEHeaderKey(name)); len(got) != 1 || got[0] != "v" {
				t.Errorf("%s is not found as %s: %q", spelled, name, got)
			}
		}
	}
}

// benchmarkHead is what a client with a token of 900 bytes sends.
var benchmarkHead = "GET /billing/?page=2 HTTP/1.1\r\nHost: billing.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: application/json\r\n" +
	"Accept-Encoding: gzip\r\nAuthorization: Bearer " + strings.Repeat("e", 900) + "\r\nX-Request-Id: 1\r\n\r\n"

func BenchmarkRequestHead(b *testing.B) {
	head := []byte(benchmarkHead)
	var h requestHead
	b.Run("here", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			end, _, err := endOfHead(head, 0)
			if err != nil || h.parse(head[:end]) != nil {
				b.Fatal(err)
			}
			if _, err := requestLength(&h); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) {
		b.ReportAllocs()
		from := bytes.NewReader(head)
		in := bufio.NewReader(from)
		for b.Loop() {
			from.Reset(head)
			in.Reset(from)
			if _, err := http.ReadRequest(in); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAnswerHead(b *testing.B) {
	head := []byte("HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 20:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 120\r\nX-Note: something\r\n\r\n")
	var h answerHead
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := endOfHead(head, 0); err != nil || h.parse(head) != nil {
			b.Fatal(err)
		}
		if _, _, err := answerLength(&h, "GET"); err != nil {
			b.Fatal(err)
		}
	}
}
