package differential

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// attack is what is read of the collections in deploy/attacks: bytes with the
// escapes of a Go string.
type attack struct {
	Send   string `yaml:"send"`
	Answer string `yaml:"answer"`
	Method string `yaml:"method"`
}

// attacks reads the published collections of one kind.
func attacks(t testing.TB, kind string) (all []attack) {
	t.Helper()
	files, err := filepath.Glob("../../deploy/attacks/testdata/" + kind + "*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in deploy/attacks: %v", kind, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var some []attack
		if err := yaml.Unmarshal(text, &some); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, some...)
	}
	return all
}

// octets undoes the escapes.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("the escapes of %s: %v", text, err)
	}
	return []byte(out)
}

// behind follows a seed: whatever the lanes take for the end of the request,
// the other one is bound to show.
const behind = "GET /admin HTTP/1.1\r\nHost: $H\r\n\r\nGET /api/2 HTTP/1.1\r\nHost: $H\r\nAuthorization: Bearer $TOKEN\r\n\r\n"

// requestSeeds are the published attacks, and what RFC 9112 says that a server
// must refuse, may repair or has to understand.
func requestSeeds(t testing.TB) (all [][]byte) {
	for _, a := range attacks(t, "streams") {
		all = append(all, octets(t, a.Send))
	}
	for _, head := range requestHeads {
		all = append(all, []byte(head+behind))
	}
	for _, framing := range framings {
		for _, body := range []string{"", "body!", "5\r\nbody!\r\n0\r\n\r\n"} {
			all = append(all, []byte("POST /api/1 HTTP/1.1\r\nHost: $H\r\nAuthorization: Bearer $TOKEN\r\n"+framing+"\r\n\r\n"+body+behind))
		}
	}
	for _, body := range chunkings {
		all = append(all, []byte("POST /public/x HTTP/1.1\r\nHost: $H\r\nTransfer-Encoding: chunked\r\n\r\n"+body+behind))
	}
	for _, field := range fieldLines {
		all = append(all, []byte("GET /api/1?a=b HTTP/1.1\r\nHost: $H\r\nAuthorization: Bearer $TOKEN\r\n"+field+"\r\n\r\n"+behind))
	}
	return all
}

// requestHeads: sections 2.2, 3, 3.2 and 5 of RFC 9112.
var requestHeads = []string{
	"GET / HTTP/1.1\r\nHost: $H\r\n\r\n",
	"HEAD /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x HTTP/1.0\r\n\r\n",
	"GET /public/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: $H\r\nConnection: close\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: $H\r\nConnection: x, CLOSE\r\n\r\n",
	"\r\nGET /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"\nGET /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	" GET /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x HTTP/1.1\r\n Host: $H\r\n\r\n",
	"GET /public/x HTTP/1.1\nHost: $H\n\n",
	"GET /public/x HTTP/1.1\rHost: $H\r\r",
	"GET /public/x HTTP/1.1\r\nHost: $H\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: $H\r\n\n",
	"GET /public/x HTTP/1.1\r\nHost: $H\r\nA: b\rc\r\n\r\n",
	"GET  /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x  HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x HTTP/1.1 \r\nHost: $H\r\n\r\n",
	"GET\t/public/x\tHTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x y HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x\r\n\r\n",
	"GET /public/x HTTP/1.2\r\nHost: $H\r\n\r\n",
	"GET /public/x HTTP/2.0\r\nHost: $H\r\n\r\n",
	"GET /public/x HTTP/01.1\r\nHost: $H\r\n\r\n",
	"GET /public/x http/1.1\r\nHost: $H\r\n\r\n",
	"get /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"G\x00T /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x\x80 HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET http://$H/public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET http://$H/public/x HTTP/1.1\r\nHost: other.test\r\n\r\n",
	"GET http://$H/public/x HTTP/1.1\r\n\r\n",
	"GET http://$H/public/x HTTP/1.0\r\n\r\n",
	"GET http://$H HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET HTTP://$H:80/public/x?y HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET https://$H/public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET //$H/public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x#y HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/x? HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/../admin HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /public/%2e%2e/admin HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /files/a%2Fb;c HTTP/1.1\r\nHost: $H\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: $H\r\n\r\n",
	"CONNECT $H:443 HTTP/1.1\r\nHost: $H:443\r\n\r\n",
	"TRACE /public/x HTTP/1.1\r\nHost: $H\r\n\r\n",
	"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
	"GET /public/x HTTP/1.1\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost:\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: $H\r\nHost: $H\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: a b\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: $H/admin\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: user@$H\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: TARGET.test.:80\r\n\r\n",
	"POST /form?_method=DELETE HTTP/1.1\r\nHost: $H\r\n\r\n",
	"POST /form HTTP/1.1\r\nHost: $H\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
	"DELETE /form HTTP/1.1\r\nHost: $H\r\n\r\n",
	"GET /ws HTTP/1.1\r\nHost: $H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: $H\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
}

// framings: section 6 of RFC 9112.
var framings = []string{
	"Content-Length: 5", "Content-Length: 0", "Content-Length: 05", "Content-Length: +5", "Content-Length: -5", "Content-Length: 5 ", "Content-Length:\t5",
	"Content-Length: 5, 5", "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 0x5", "Content-Length: 5;",
	"Content-Length: 99999999999999999999", "Content-Length: 9223372036854775807", "Content-Length:", "Content-Length : 5", "Content_Length: 5", "content-length: 5",
	"Transfer-Encoding: chunked", "transfer-encoding: Chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: identity", "Transfer-Encoding: identity\r\nContent-Length: 5",
	"Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"",
	"Transfer-Encoding: xchunked", "Transfer-Encoding: ,chunked", "Transfer-Encoding:", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding: chunked\x00",
	"Transfer-Encoding:\r\n chunked", "Transfer-Encoding : chunked", "Transfer_Encoding: chunked\r\nContent-Length: 5", "Transfer-Encoding: gzip",
	"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length: 5\r\nConnection: content-length", "Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
	"Expect: 100-continue\r\nContent-Length: 5", "Expect: 100-continue\r\nTransfer-Encoding: chunked", "Expect: x\r\nContent-Length: 5", "Expect: 100-continue",
	"Transfer-Encoding: chunked\r\nTrailer: X-Auth-Subject", "Content-Length: 5000",
}

// chunkings: section 7.1 of RFC 9112.
var chunkings = []string{
	"0\r\n\r\n", "5\r\nbody!\r\n0\r\n\r\n", "1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "00005\r\nbody!\r\n000\r\n\r\n", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
	"5;x=y\r\nbody!\r\n0;z\r\n\r\n", "5;x=\"\r\n\"\r\nbody!\r\n0\r\n\r\n", "5;\nxx\r\nbody!\r\n0\r\n\r\n", "5;a\rb\r\nbody!\r\n0\r\n\r\n", "5 \r\nbody!\r\n0\r\n\r\n",
	" 5\r\nbody!\r\n0\r\n\r\n", "5\t;x\r\nbody!\r\n0\r\n\r\n", "+5\r\nbody!\r\n0\r\n\r\n", "-5\r\nbody!\r\n0\r\n\r\n", "0x5\r\nbody!\r\n0\r\n\r\n", "0_5\r\nbody!\r\n0\r\n\r\n",
	"5\nbody!\n0\n\n", "5\r\nbody!\n0\r\n\r\n", "5\r\nbody!0\r\n\r\n", "5\r\nbody!xx0\r\n\r\n", "5\r\nbody!\r\r\n0\r\n\r\n", "5\r\nbody!\r\n0\n\r\n", "5\r\nbody!\r\n0\r\n\n",
	"10000000000000005\r\nbody!\r\n0\r\n\r\n", "7fffffffffffffff\r\nbody!\r\n0\r\n\r\n", "5\r\nbody!\r\n0\r\nX: y\r\n\r\n", "5\r\nbody!\r\n0\r\nX-Auth-Subject: root\r\n\r\n",
	"5\r\nbody!\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n", "0\r\nGET / HTTP/1.1\r\n\r\n",
	"5\r\nbo", "5\r\nbody!\r\n", "5\r\nbody!\r\n0\r\n", "\r\n", "",
}

// fieldLines: section 5 of RFC 9112, and names that some service takes for others.
var fieldLines = []string{
	"A: b", "A:b", "A:  b \t", "A:", "a: 1\r\nA: 2\r\na: 3", "A : b", "A\t: b", " A: b", ": b", "A", "A\x00: b", "A: \x00", "A: \x7f", "A: \x80\xff", "A: b\r\n c", "A: b\r\n\tc",
	"A: b\r\n ", "(A): b", "A[0]: b", "\xc3\xa4: b", "A: b\nX-Auth-Subject: root", "A: b\rX-Auth-Subject: root",
	"X-Auth-Subject: root", "x_auth_subject: root", "X~Auth~Subject: root", "X.Auth.Scopes: all", "X-Auth-Anything: x", "X-Forwarded-For: 1.2.3.4", "X_Forwarded_Proto: https",
	"Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "X-Original-URL: /admin", "X-Request-Id: mine", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	"Connection: X-Auth-Subject, Host, Authorization", "Connection: close, A\r\nA: b", "Keep-Alive: 1", "Proxy-Connection: keep-alive", "TE: trailers", "TE: gzip", "Trailer: A",
	"Upgrade: h2c", "Proxy: x", "Cookie: a=b\r\nCookie: c=d", "Cookie\x0c: a", "User-Agent: x\r\nUser-Agent: y", "Authorization: Bearer x", "authorization: basic x",
	"Pragma: no-cache", "Idempotency-Key: 1", "Accept-Encoding: gzip", "If-Match: \"x\"", "Host: other.test", "X-HTTP-Method: DELETE", "Range: bytes=0-0", "Content-Type: application/grpc",
}

// answerSeeds are the published answers of broken and hostile services, and
// what RFC 9112 has to say of answers.
func answerSeeds(t testing.TB) (all [][]byte) {
	for _, a := range attacks(t, "answers") {
		all = append(all, octets(t, a.Answer))
	}
	for _, a := range answers {
		all = append(all, []byte(a))
	}
	for _, framing := range framings {
		for _, body := range []string{"", "body!", "5\r\nbody!\r\n0\r\n\r\n"} {
			all = append(all, []byte("HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n"+body))
		}
	}
	for _, body := range chunkings {
		all = append(all, []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+body))
	}
	return all
}

// answers: sections 4 and 6.3 of RFC 9112, and section 15 of RFC 9110.
var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
	"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\nok",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 O\xffK\r\nContent-Length: 2\r\nA: \x80\r\n\r\nok",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 099 x\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 000 x\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 1000 x\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 +20 x\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 999 x\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"ICY 200 OK\r\n\r\nok",
	"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2",
	"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: y\r\nKeep-Alive: 1\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n",
	"",
}
