package differential

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/scopegate/scopegate/gateway/gate"
)

// FuzzLanes: for any bytes of a client, what the fast lane forwards the standard
// lane forwards too, with the same method, target, host, fields, framing and
// body; the fast lane may refuse more, never less.
//
// The two lanes cannot be compared connection by connection: net/http closes one
// after requests after which the fast lane goes on (chunked ones, those of which
// something was not read). What makes the claim exact is that the fast lane
// leaves one record for each request that it finds, in their order, and that
// net/http's parser says, without a lane, where requests begin and end. So
//
//   - the fast lane gets all the bytes over one connection, which then ends;
//   - http.ReadRequest and the body that it returns cut the same bytes into
//     requests, up to the first that it does not read, or not to its end;
//   - the standard lane gets each of them over a connection of its own;
//   - and the n-th record of the fast lane is held against the n-th request.
//
// If the fast lane forwarded, there is an n-th request, the standard lane
// forwards it, and both services received the same. If the fast lane refused
// what the standard lane forwards, then for its form alone. A request that the
// fast lane began to forward and broke off, because its body was cut off or not
// well formed, reached the service visibly incomplete; it is held against
// what the standard lane makes of its head with a body that is whole, and what
// arrived of the body is a beginning of what net/http reads.
//
// That a lane forwarded request n and not n+1 shows in its answers: the service
// answers every request with its number.
func FuzzLanes(f *testing.F) {
	for i, b := range requestSeeds(f) {
		f.Add(b, uint8(i%3)) // 0: as much as there is; 1 and 2: bytes at a time
	}
	fast, standard := newFast(f), newStandard(f)
	f.Fuzz(func(t *testing.T, b []byte, most uint8) {
		b = filled(b)
		if len(b) > 4*headMax || bytes.HasPrefix(b, []byte("PRI * HTTP/2.0")) {
			return // HTTP/2 is another lane's
		}
		compare(t, fast.serve(t, b, int64(most)), standard, b)
		if n := runtime.NumGoroutine(); n > mostGoroutines {
			t.Fatalf("%d goroutines: a lane leaks them", n)
		}
	})
}

// mostGoroutines is far above what is in use: net/http holds a connection that
// it refused for half a second.
const mostGoroutines = 10_000

// served is what became of a client's bytes.
type served struct {
	records  []record
	answers  []*message
	received []*message // by the service
}

// serve sends b to the lane, ends the client's side, and reads all answers.
func (g *gateway) serve(t *testing.T, b []byte, most int64) (s served) {
	t.Helper()
	g.most.Store(most)
	c := g.dial(t)
	defer c.Close()
	c.Write(b) // the lane may have closed before it ends
	c.CloseWrite()
	text, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the lane goes on waiting for %q; it said %q: %v", b, text, err)
	}
	s.received, s.records = g.settle(t)
	s.answers = answersTo(t, text, s.records)
	return s
}

const goOn = "HTTP/1.1 100 Continue\r\n\r\n"

// answersTo reads the client's side of a connection: one answer for each record
// and nothing else.
func answersTo(t *testing.T, text []byte, records []record) (answers []*message) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(text))
	for _, rec := range records {
		if rec.status == 499 { // the client is gone: nobody is there to be told, but perhaps that it may go on
			if next, _ := r.Peek(len(goOn)); string(next) == goOn {
				r.Discard(len(goOn))
			}
			continue
		}
		m, _, err := readAnswer(r, rec.method)
		if err != nil {
			t.Fatalf("%v in the answer %q, of which the record says %+v", err, text, rec)
		}
		if m.status() != rec.status {
			t.Fatalf("the answer is %d, the record says %+v", m.status(), rec)
		}
		answers = append(answers, m)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Fatalf("%q behind the answers that %+v record", rest, records)
	}
	return answers
}

// found is a request as net/http's parser finds it.
type found struct {
	method, target      string
	start, headEnd, end int
	body                []byte
	whole               bool
	chunked             bool
	length              int64
}

// find cuts a client's bytes into requests. The last one may be cut off, or not
// well formed in its body.
func find(b []byte) (all []found) {
	for at := 0; at < len(b); {
		r, ok := read(b[at:])
		if !ok {
			return all
		}
		if r.whole {
			// Before it reads trailers net/http looks for an empty line however far
			// behind: what it reads only thanks to that is not whole.
			alone, _ := read(b[at : at+r.end])
			r.whole = alone.whole
		}
		r.start, r.headEnd, r.end = at, at+r.headEnd, at+r.end
		if all = append(all, r); !r.whole {
			return all
		}
		at = r.end
	}
	return all
}

// read reads the request that b begins with.
func read(b []byte) (r found, ok bool) {
	from := bytes.NewReader(b)
	in := bufio.NewReaderSize(from, 4<<10) // as in net/http's server
	q, err := http.ReadRequest(in)
	if err != nil || q.ProtoMajor != 1 {
		return r, false
	}
	used := func() int { return len(b) - from.Len() - in.Buffered() }
	r = found{method: q.Method, target: q.RequestURI, headEnd: used(), length: q.ContentLength, chunked: q.ContentLength < 0}
	r.body, err = io.ReadAll(q.Body)
	r.end, r.whole = used(), err == nil
	return r, true
}

// completed is the request with a body that is whole.
func (f *found) completed(b []byte) []byte {
	head := b[f.start:f.headEnd]
	switch {
	case f.whole:
		return b[f.start:f.end]
	case f.chunked:
		return append(bytes.Clone(head), "0\r\n\r\n"...)
	default:
		return append(bytes.Clone(head), make([]byte, f.length)...)
	}
}

// compare holds what the fast lane did with b against what net/http finds in it
// and what the standard lane does with that.
func compare(t *testing.T, s served, standard *gateway, b []byte) {
	t.Helper()
	there := find(b)
	answers, matched := s.answers, 0
	for i, rec := range s.records {
		var received *message
		if rec.status != 499 {
			if rec.status == 200 {
				if answers[0].framing != "length" || rec.method != "HEAD" && answers[0].body != strconv.Itoa(matched) {
					t.Fatalf("answer %d is %q, and not the one to request %d", i, answers[0].body, matched)
				}
			}
			answers = answers[1:]
		}
		if rec.status == 200 || i == len(s.records)-1 && matched < len(s.received) {
			if matched == len(s.received) {
				t.Fatalf("record %d says %+v, and the service received %d requests: %q", i, rec, matched, b)
			}
			received = s.received[matched]
			matched++
		}
		if i >= len(there) {
			if received != nil {
				t.Fatalf("the fast lane forwards %+v, where net/http finds no request: %q", received, b)
			}
			continue
		}
		status, theirs := standard.ask(t, &there[i], b)
		if received != nil {
			same(t, received, theirs, &there[i], b)
			continue
		}
		mayRefuse(t, rec, status, &there[i], b)
	}
	if matched != len(s.received) {
		t.Fatalf("%d requests reached the service, %d are recorded: %q", len(s.received), matched, b)
	}
}

// ask has the standard lane serve one request. It returns the status of the
// answer and what the service received, nil for nothing.
func (g *gateway) ask(t *testing.T, f *found, b []byte) (status int, received *message) {
	t.Helper()
	if f.length > 1<<20 {
		return 0, nil // a body of which nobody would send the rest
	}
	request := f.completed(b)
	c := g.dial(t)
	defer c.Close()
	go c.Write(request)
	res, err := readLeniently(bufio.NewReader(c), f.method)
	if err != nil {
		t.Fatalf("the standard lane does not answer %q: %v", request, err)
	}
	all := g.take(t)
	if len(all) == 0 {
		return res.StatusCode, nil
	}
	if len(all) != 1 || res.StatusCode != 200 {
		t.Fatalf("the standard lane makes %d requests of %q, and answers %d", len(all), request, res.StatusCode)
	}
	return 200, all[0]
}

// readLeniently reads the final answer as net/http's client does.
func readLeniently(r *bufio.Reader, method string) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil || res.StatusCode >= 200 || res.StatusCode == 101 {
			return res, err
		}
	}
}

// same holds what the two services received against each other.
func same(t *testing.T, fast, standard *message, f *found, b []byte) {
	t.Helper()
	if standard == nil {
		if f.length > 1<<20 {
			return
		}
		t.Fatalf("the fast lane forwards %+v, the standard lane nothing: %q", fast, b)
	}
	// Of a body that is empty net/http's client may make none, as of GET's.
	framed := fast.framing == standard.framing || fast.framing == "chunked" && standard.framing == "" && standard.body == ""
	if !slices.Equal(fast.start, standard.start) || !framed {
		t.Fatalf("%q, %s forwarded by the fast lane; %q, %s by the standard lane: %q", fast.start, fast.framing, standard.start, standard.framing, b)
	}
	ours, theirs := endToEnd(fast, b), endToEnd(standard, b)
	if !slices.Equal(ours, theirs) {
		t.Fatalf("the fields are %q in the fast lane, %q in the standard lane: %q", ours, theirs, b)
	}
	if fast.complete && (fast.body != standard.body || !f.whole) || !strings.HasPrefix(string(f.body), fast.body) {
		t.Fatalf("the body is %q in the fast lane, %q in the standard lane: %q", fast.body, standard.body, b)
	}
	guarded(t, fast)
	guarded(t, standard)
}

// endToEnd are the fields that the client sent for the service, by name, and
// for each name in their order. What the lanes make up for each request anew,
// and what ends at this hop, is left out; so is what net/http edits.
func endToEnd(m *message, b []byte) (fields []line) {
	agents := 0
	for _, f := range m.fields {
		switch f.name {
		case "x-request-id", "content-length", "transfer-encoding", "connection", "te":
			continue
		case "traceparent":
			if !bytes.Contains(b, []byte(f.value)) {
				continue
			}
		case "user-agent":
			if agents++; agents > 1 {
				continue // its client sends one
			}
		case "cache-control":
			if f.value == "no-cache" && m.values("pragma") != nil {
				continue // its server adds this to Pragma: no-cache
			}
		}
		fields = append(fields, f)
	}
	slices.SortStableFunc(fields, func(a, b line) int { return cmp.Compare(a.name, b.name) })
	return fields
}

// guarded looks for what must never arrive, whatever the lanes agree on.
func guarded(t *testing.T, m *message) {
	t.Helper()
	path, _, _ := strings.Cut(m.start[1], "?")
	if path == "/closed" || path == "/admin" || strings.HasPrefix(path, "/admin/") || path == "/form" && m.start[0] != "POST" {
		t.Errorf("%q reached the service", m.start)
	}
	count := map[string]int{}
	for i, name := range m.spelled {
		folded := strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
				return c
			}
			return '-'
		}, m.fields[i].name)
		count[folded]++
		written, ours := gatewayWrites[folded]
		if ours && (name != written || count[folded] > 1) || neverArrives[folded] || strings.HasPrefix(folded, "x-auth-") && !ours {
			t.Errorf("%s: %s reached the service", name, m.fields[i].value)
		}
	}
}

// gatewayWrites are the fields that are the gateway's to write: once, and in
// this spelling.
var gatewayWrites = map[string]string{
	"x-auth-subject": "X-Auth-Subject", "x-auth-issuer": "X-Auth-Issuer", "x-auth-scopes": "X-Auth-Scopes", "x-auth-client": "X-Auth-Client",
	"x-forwarded-proto": "X-Forwarded-Proto", "x-forwarded-host": "X-Forwarded-Host", "x-request-id": "X-Request-Id",
	"host": "Host", "content-length": "Content-Length", "transfer-encoding": "Transfer-Encoding",
}

var neverArrives = map[string]bool{
	"x-forwarded-for": true, // the peer of a unix socket has no address
	"x-real-ip":       true, "forwarded": true, "remote-user": true, "proxy": true,
	"x-original-url": true, "x-rewrite-url": true,
	"expect": true, "trailer": true, "keep-alive": true, "proxy-connection": true, "http2-settings": true, "proxy-authorization": true,
}

// mayRefuse: what the standard lane forwards the fast lane refuses for its form
// alone, and what the gate refuses it refuses alike.
func mayRefuse(t *testing.T, rec record, standard int, f *found, b []byte) {
	t.Helper()
	switch rec.reason {
	case gate.ReasonMalformed, gate.ReasonHeadTooLarge, gate.ReasonClientClosed, gate.ReasonRequestTimeout:
		return
	case gate.ReasonAmbiguous:
		if f.target[0] != '/' {
			return // net/http puts the authority of a target in Host's place, whatever stood there
		}
	}
	switch standard {
	case 200, 401, 403, 404, 405:
		if rec.status != standard {
			t.Fatalf("the fast lane records %+v, the standard lane answers %d: %q", rec, standard, b)
		}
	}
}
