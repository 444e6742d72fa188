package fastlane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// asked is a request as package proxy makes it.
func asked(ctx context.Context, method string, body io.Reader, length int64) *http.Request {
	r := (&http.Request{
		Method: method, Host: "shop.test", URL: &url.URL{Opaque: "/open/a"}, Header: http.Header{"User-Agent": {""}},
	}).WithContext(ctx)
	if body != nil {
		r.Body, r.ContentLength = io.NopCloser(body), length
	}
	return r
}

// roundTrip does one exchange and reads its answer.
func (r *rig) roundTrip(method string, body io.Reader, length int64) (*http.Response, string, error) {
	res, err := r.up.RoundTrip(asked(r.Context(), method, body, length))
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// overTCP lets the rig's service be reached over sockets, which are read otherwise
// than connections in memory.
func (r *rig) overTCP(serve func(net.Conn)) {
	l := listenFor(r.T)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	r.up.dial = func(context.Context) (net.Conn, error) {
		r.dialled.Add(1)
		return net.Dial("tcp", l.Addr().String())
	}
}

// What a service sends unasked behind an answer is nobody's, whether it comes with
// the answer or when the next request is on its way to the connection.
func TestWhatComesUnaskedAnswersNoRequestOfHTTP2(t *testing.T) {
	r := newRig(t, upstream.Config{}, nil)
	r.overTCP(serving(func(w io.Writer, req *http.Request) {
		var b strings.Builder
		answerWith(&b, "good")
		if req.Method != http.MethodPost {
			answerWith(&b, "evil")
		}
		io.WriteString(w, b.String())
		if req.Method == http.MethodPost {
			answerWith(w, "evil")
		}
	}))
	for i := range 300 {
		method := []string{http.MethodGet, http.MethodPost, http.MethodHead}[i%3]
		res, text, err := r.roundTrip(method, nil, 0)
		if err != nil {
			var broken *gate.Refusal
			if errors.As(err, &broken) || method != http.MethodPost {
				t.Fatal(err) // a POST that met the late bytes was not sent, and is not sent again
			}
			continue
		}
		if want := "good"; text != want && method != http.MethodHead {
			t.Fatalf("%s %d: %s %q", method, i, res.Status, text)
		}
	}
}

// A connection is used again where nothing about it is in doubt.
func TestWhichConnectionsServeAnotherRequestOfHTTP2(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		method, answer string
		body           string
		connections    int64 // for two requests
	}{
		{"GET", ok + "Content-Length: 4\r\n\r\nbody", "body", 1},
		{"GET", ok + "Content-Length: 0\r\n\r\n", "", 1},
		{"GET", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n", "body", 1},
		{"POST", ok + "Content-Length: 4\r\n\r\nbody", "body", 1},
		{"HEAD", ok + "Content-Length: 4\r\n\r\n", "", 2},
		{"GET", ok + "Content-Length: 4\r\nConnection: close\r\n\r\nbody", "body", 2},
		{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body", 2},
		{"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "", 2},
		{"GET", ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\nHTTP/1.1 200 OK", "body", 2},
	} {
		r := newRig(t, upstream.Config{}, serving(func(w io.Writer, _ *http.Request) { io.WriteString(w, c.answer) }))
		for range 2 {
			if _, text, err := r.roundTrip(c.method, nil, 0); err != nil || text != c.body {
				t.Errorf("%s %q: %q %v", c.method, c.answer, text, err)
			}
		}
		if n := r.dialled.Load(); n != c.connections {
			t.Errorf("%s %q: %d connections, want %d", c.method, c.answer, n, c.connections)
		}
	}
}

// Answers that are not plainly well formed, or break off, are errors for HTTP/2's
// clients as they are for HTTP/1's.
func TestBrokenAnswersToHTTP2(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, answer := range []string{
		"",
		ok,
		"HTTP/1.1 200 OK\n\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1 099 Low\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		ok + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
		ok + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		ok + "Content-Length: 5\r\n\r\nbody",
		ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n4\nbody\r\n0\r\n\r\n",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", gate.MostInterim+1) + ok + "Content-Length: 4\r\n\r\nbody",
	} {
		r := newRig(t, upstream.Config{}, func(c net.Conn) {
			if _, err := io.ReadFull(c, make([]byte, 20)); err == nil {
				go io.Copy(io.Discard, c)
				io.WriteString(c, answer)
			}
		})
		if res, text, err := r.roundTrip("GET", nil, 0); err == nil {
			t.Errorf("%q became %d %q", answer, res.StatusCode, text)
		}
	}
}

func TestBodiesOfHTTP2ArriveWhole(t *testing.T) {
	r := newRig(t, upstream.Config{}, nil)
	r.overTCP(func(c net.Conn) {
		s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			n, err := io.Copy(io.Discard, req.Body)
			fmt.Fprintf(w, "%d of %d, %v", n, req.ContentLength, err)
		})}
		l := memoryListener{make(chan net.Conn, 1), make(chan struct{}), nil}
		l.conns <- c
		s.Serve(l)
	})
	for _, size := range []int64{1, 100, headBuffer, headBuffer + 1, 3 * bodyBuffer} {
		for _, length := range []int64{size, -1} {
			_, text, err := r.roundTrip("POST", io.LimitReader(zeros{}, size), length)
			if want := fmt.Sprintf("%d of %d, <nil>", size, length); text != want || err != nil {
				t.Errorf("%d bytes, announced as %d: %q %v", size, length, text, err)
			}
		}
	}
	if n := r.dialled.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	for _, size := range []int64{100, 3 * bodyBuffer} {
		if _, text, err := r.roundTrip("POST", io.LimitReader(zeros{}, size-1), size); err == nil {
			t.Errorf("a body that lacks its last byte: %q", text)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// never is a body that does not come, until it is closed.
type never chan struct{}

func (n never) Read([]byte) (int, error) { <-n; return 0, io.ErrClosedPipe }

// The end of the context ends the exchange at once, wherever it is, and with it the
// connection.
func TestTheContextEndsAnExchangeOfHTTP2(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		body   bool
	}{
		"before the answer":  {},
		"within its head":    {answer: "HTTP/1.1 200 OK\r\n"},
		"within its body":    {answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbody"},
		"within the request": {body: true},
		"within both":        {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", body: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				r := newRig(t, upstream.Config{}, func(far net.Conn) {
					go io.WriteString(far, c.answer)
					io.Copy(io.Discard, far)
					close(ended)
				})
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Hour, func() { cancel(gate.ErrSlowReader) })
				body := make(never)
				defer close(body)
				out := asked(ctx, "POST", nil, 0)
				if c.body {
					out = asked(ctx, "POST", body, -1)
				}
				begun := time.Now()
				res, err := r.up.RoundTrip(out)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				<-ended
				if err == nil || time.Since(begun) != time.Hour {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
			})
		})
	}
}

// Requests that are taken back before they are sent cost no connection, or a client
// of HTTP/2 could empty the pool with them.
func TestWhatIsTakenBackIsNotSent(t *testing.T) {
	const unused = 4
	var arrived atomic.Int64
	r := newRig(t, upstream.Config{}, nil)
	together := make(chan struct{})
	r.overTCP(serving(func(w io.Writer, _ *http.Request) {
		if arrived.Add(1) == unused {
			close(together)
		}
		<-together
		answerWith(w, "good")
	}))
	var all sync.WaitGroup
	for range unused {
		all.Go(func() { r.roundTrip("GET", nil, 0) })
	}
	all.Wait()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gate.ErrGone)
	for range 100 {
		if _, err := r.up.RoundTrip(asked(ctx, "GET", nil, 0)); !errors.Is(err, gate.ErrGone) {
			t.Fatal(err)
		}
	}
	if r.up.open != unused || len(r.up.unused) != unused || arrived.Load() != unused {
		t.Errorf("%d connections, %d unused, %d requests; want %d of each", r.up.open, len(r.up.unused), arrived.Load(), unused)
	}
}

// A POST is sent once, whatever becomes of it; a GET once more where its connection
// had ended before.
func TestWhatIsSentAgainOfHTTP2(t *testing.T) {
	for method, want := range map[string]int{"GET": 2, "POST": 1} {
		arrived := 0
		r := newRig(t, upstream.Config{}, serving(nil))
		r.up.dial = func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				served := 0
				serving(func(w io.Writer, req *http.Request) {
					if served++; req.Header.Get("X-Last") == "" {
						answerWith(w, "warm")
						return
					}
					arrived++
					if served > 1 {
						far.Close() // instead of an answer
						return
					}
					answerWith(w, "fresh")
				})(far)
			}()
			return near, nil
		}
		if _, _, err := r.roundTrip("GET", nil, 0); err != nil {
			t.Fatal(err)
		}
		out := asked(t.Context(), method, nil, 0)
		out.Header.Set("X-Last", "1")
		res, err := r.up.RoundTrip(out)
		if err == nil {
			res.Body.Close()
		}
		if arrived != want || (err == nil) != (want == 2) {
			t.Errorf("%s arrived %d times: %v", method, arrived, err)
		}
	}
}

func TestInterimAnswersAndTrailersOfHTTP2(t *testing.T) {
	r := newRig(t, upstream.Config{}, serving(func(w io.Writer, _ *http.Request) {
		io.WriteString(w, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n"+
			"4\r\nbody\r\n0\r\nx-sum: 7\r\nX-More: yes\r\n\r\n")
	}))
	var interim []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		interim = append(interim, fmt.Sprint(status, h))
		return nil
	}})
	res, err := r.up.RoundTrip(asked(ctx, "GET", nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, announced := res.Trailer["X-Sum"]; !announced || len(res.Trailer) != 1 {
		t.Errorf("announced are %v", res.Trailer)
	}
	text, err := io.ReadAll(res.Body)
	if string(text) != "body" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	got := fmt.Sprint(interim, res.Header["Set-Cookie"], res.Trailer)
	if want := "[103 map[Link:[</a>]]] [a=1 b=2] map[X-More:[yes] X-Sum:[7]]"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
