package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/gate"
)

const (
	page    = "https://app.example.com"
	another = "https://evil.example"
)

func corsRules() *gate.CORS {
	return &gate.CORS{Origins: []string{page}, Headers: []string{"Authorization"}, Expose: []string{"X-Total-Count"}, Credentials: true, MaxAge: time.Hour}
}

// TestConformanceForPages runs every claim about browsers over every protocol and every way of
// reaching a service.
func TestConformanceForPages(t *testing.T) { inBothLanes(t, checkConformanceForPages) }

func checkConformanceForPages(t *testing.T, l lane) {
	for _, scheme := range []string{"http", "unix", "h2c", "https"} {
		var asked atomic.Int64
		r := newRig(t, l, rigConfig{upstream: service(t, scheme, opinionated(&asked)), cors: corsRules()})
		for _, c := range r.clients() {
			for _, claim := range pageClaims {
				t.Run(fmt.Sprintf("%s to %s/%s", c.name, scheme, claim.name), func(t *testing.T) { claim.check(t, c, &asked) })
			}
		}
	}
}

// opinionated is a service with its own view of who may read it.
func opinionated(asked *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "X-Secret")
		h.Set("Access-Control-Allow-Methods", "*")
		h.Set("Vary", "Accept-Encoding")
		switch r.URL.Path {
		case "/open/early":
			w.WriteHeader(http.StatusEarlyHints)
		case "/open/not-modified":
			w.WriteHeader(http.StatusNotModified)
		case "/open/break":
			panic(http.ErrAbortHandler)
		case "/open/trailers":
			h.Set("Trailer", "Access-Control-Max-Age, X-Sum")
			io.WriteString(w, "body")
			h.Set("Access-Control-Max-Age", "5")
			h.Set("X-Sum", "7")
			h.Set(http.TrailerPrefix+"Access-Control-Allow-Headers", "*")
		}
	})
}

// told are the fields of an answer that browsers and caches act on.
func told(h http.Header) map[string][]string {
	out := map[string][]string{}
	for name, values := range h {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			out[name] = values
		}
	}
	return out
}

var pageClaims = []struct {
	name  string
	check func(*testing.T, client, *atomic.Int64)
}{
	{"a service speaks to browsers in trailers no more than in its head", func(t *testing.T, c client, _ *atomic.Int64) {
		res, text := c.ask(t, "GET", "/open/trailers", nil, "Origin: "+page)
		if text != "body" || res.Trailer.Get("X-Sum") != "7" {
			t.Errorf("%s %q %v", res.Status, text, res.Trailer)
		}
		for name, values := range told(res.Trailer) {
			if len(values) > 0 { // an announced name stands there without
				t.Errorf("%s: %q", name, values)
			}
		}
	}},
	{"a preflight is answered without a token, from the route's methods, and not sent on", func(t *testing.T, c client, asked *atomic.Int64) {
		before := asked.Load()
		for target, methods := range map[string]string{"/items/1": "GET, HEAD, POST, PUT", "/open/x": "DELETE, GET, HEAD, PATCH, POST, PUT"} {
			res, text := c.ask(t, "OPTIONS", target, nil, "Origin: "+page, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization")
			if res.StatusCode != 204 || text != "" || res.Header["Content-Length"] != nil || res.Header["Content-Type"] != nil || res.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s %v %q", res.Status, res.Header, text)
			}
			if d := cmp.Diff(map[string][]string{
				"Vary": {"Origin"}, "Access-Control-Allow-Origin": {page}, "Access-Control-Allow-Credentials": {"true"},
				"Access-Control-Allow-Methods": {methods}, "Access-Control-Allow-Headers": {"Authorization"}, "Access-Control-Max-Age": {"3600"},
			}, told(res.Header)); d != "" {
				t.Errorf("%s: %s", target, d)
			}
		}
		if n := asked.Load() - before; n != 0 {
			t.Errorf("%d preflights reached the service", n)
		}
	}},
	{"a preflight of another page learns nothing, and is not sent on either", func(t *testing.T, c client, asked *atomic.Int64) {
		before := asked.Load()
		res, text := c.ask(t, "OPTIONS", "/open/x", nil, "Origin: "+another, "Access-Control-Request-Method: PUT")
		if d := cmp.Diff(map[string][]string{"Vary": {"Origin"}}, told(res.Header)); res.StatusCode != 204 || text != "" || d != "" || asked.Load() != before {
			t.Errorf("%s %q %s", res.Status, text, d)
		}
	}},
	{"another OPTIONS is a request like others", func(t *testing.T, c client, asked *atomic.Int64) {
		before := asked.Load()
		for _, fields := range [][]string{{"Origin: " + page}, {"Access-Control-Request-Method: PUT"}, {"Origin: " + page, "Origin: " + page, "Access-Control-Request-Method: PUT"}} {
			if res, _ := c.ask(t, "OPTIONS", "/open/x", nil, fields...); res.StatusCode != 200 {
				t.Errorf("%q: %s", fields, res.Status)
			}
			if res, _ := c.ask(t, "OPTIONS", "/items/1", nil, fields...); res.StatusCode != 405 {
				t.Errorf("%q: %s", fields, res.Status)
			}
		}
		if n := asked.Load() - before; n != 3 {
			t.Errorf("%d reached the service", n)
		}
	}},
	{"the gateway's word replaces the service's, and is added to its Vary", func(t *testing.T, c client, _ *atomic.Int64) {
		mine := map[string][]string{"Vary": {"Accept-Encoding", "Origin"}, "Access-Control-Allow-Origin": {page},
			"Access-Control-Allow-Credentials": {"true"}, "Access-Control-Expose-Headers": {"X-Total-Count"}}
		nobodys := map[string][]string{"Vary": {"Accept-Encoding", "Origin"}}
		for _, x := range []struct {
			method, target, origin string
			want                   map[string][]string
		}{
			{"GET", "/open/x", "Origin: " + page, mine},
			{"HEAD", "/open/x", "Origin: " + page, mine},
			{"POST", "/open/x", "Origin: " + page, mine},
			{"GET", "/open/not-modified", "Origin: " + page, mine},
			{"GET", "/open/x", "Origin: " + another, nobodys},
			{"GET", "/open/x", "Origin: null", nobodys},
			{"GET", "/open/x", "Origin: " + page + " " + another, nobodys},
			{"GET", "/open/x", "X-Nothing: said of an origin", nobodys},
		} {
			res, _ := c.ask(t, x.method, x.target, nil, x.origin)
			if d := cmp.Diff(x.want, told(res.Header)); d != "" {
				t.Errorf("%s %s, %s: %s", x.method, x.target, x.origin, d)
			}
		}
	}},
	{"a page can read why it was refused", func(t *testing.T, c client, _ *atomic.Int64) {
		for _, x := range []struct {
			method, target, token string
			status                int
		}{
			{"GET", "/items/1", "", 401}, {"GET", "/items/1", "forged", 401}, {"POST", "/items/1", "reader", 403},
			{"GET", "/nowhere", "", 404}, {"DELETE", "/items/1", "", 405}, {"GET", "/open/%2f", "", 400}, {"GET", "/open/break", "", 502},
		} {
			for origin, allowed := range map[string]string{page: page, another: ""} {
				fields := []string{"Origin: " + origin}
				if x.token != "" {
					fields = append(fields, "Authorization: Bearer "+x.token)
				}
				res, text := c.ask(t, x.method, x.target, nil, fields...)
				if res.StatusCode != x.status || !strings.HasPrefix(text, `{"detail":"`) || res.Header.Get("Access-Control-Allow-Origin") != allowed || res.Header.Get("Vary") != "Accept, Origin" {
					t.Errorf("%s %s: %s %v %s", x.method, x.target, res.Status, res.Header, text)
				}
				if exposed := res.Header.Get("Access-Control-Expose-Headers"); strings.Contains(exposed, "WWW-Authenticate") != (allowed != "") {
					t.Errorf("%s %s exposes %q", x.method, x.target, exposed)
				}
			}
		}
	}},
	{"interim answers do not bring the service's word either", func(t *testing.T, c client, _ *atomic.Int64) {
		hints := make(chan http.Header, 1)
		req := c.request(t, "GET", "/open/early", nil, "Origin: "+another)
		ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			hints <- http.Header(h)
			return nil
		}})
		res, err := c.Do(req.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		select {
		case h := <-hints:
			if d := cmp.Diff(map[string][]string{"Vary": {"Accept-Encoding"}}, told(h)); d != "" {
				t.Error(d)
			}
		default:
			t.Error("no 103 arrived")
		}
	}},
}

// TestTunnelsForPages: an answer that opens a WebSocket is an answer of the service too.
func TestTunnelsForPages(t *testing.T) { inBothLanes(t, checkTunnelsForPages) }

func checkTunnelsForPages(t *testing.T, l lane) {
	r := newRig(t, l, rigConfig{upstream: socketService(t), cors: corsRules()})
	for origin, allowed := range map[string]string{page: page, another: ""} {
		_, _, res := r.openSocket(t, "/open-socket", "Origin: "+origin+"\r\n")
		if res.StatusCode != 101 || res.Header.Get("Access-Control-Allow-Origin") != allowed || res.Header.Get("Vary") != "Origin" {
			t.Errorf("HTTP/1.1, %s: %s %v", origin, res.Status, res.Header)
		}
		f := r.openFrames(t)
		f.head(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/open-socket", ":authority", "shop.test",
			"sec-websocket-version", "13", "origin", origin)
		s := f.await(1, func(s *streamEnd) bool { return len(s.heads) == 1 })
		if len(s.heads) == 0 || s.heads[0][":status"] != "200" || s.heads[0]["access-control-allow-origin"] != allowed || s.heads[0]["vary"] != "Origin" {
			t.Errorf("HTTP/2, %s: %+v", origin, s)
		}
	}
}

// TestPreflightLeavesTheConnectionUsable: 204 has neither a body nor a length, and the next
// request on the connection has its own answer.
func TestPreflightLeavesTheConnectionUsable(t *testing.T) {
	inBothLanes(t, checkPreflightLeavesTheConnectionUsable)
}

func checkPreflightLeavesTheConnectionUsable(t *testing.T, l lane) {
	r := newRig(t, l, rigConfig{upstream: service(t, "http", echo()), cors: corsRules()})
	c := r.wire(t)
	send(t, c, "OPTIONS /items/1 HTTP/1.1\r\nHost: shop.test\r\nOrigin: "+page+"\r\nAccess-Control-Request-Method: GET\r\n\r\n"+
		"GET /items/1 HTTP/1.1\r\nHost: shop.test\r\nOrigin: "+page+"\r\nAuthorization: Bearer reader\r\n\r\n")
	b := bufio.NewReader(c)
	for _, status := range []int{204, 200} {
		res, err := http.ReadResponse(b, nil)
		if err != nil || res.StatusCode != status || res.Close || status == 204 && res.Header["Content-Length"] != nil {
			t.Fatalf("%+v %v", res, err)
		}
		io.Copy(io.Discard, res.Body)
	}
	r.next(t, "the preflight", func(x record) bool { return x.reason == gate.ReasonPreflight && x.Status == 204 && x.Err == nil })
}
