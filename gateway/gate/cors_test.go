package gate_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/gate"
)

const shop = `
version: 1
service: shop
scopes: { shop.use: Use it }
routes:
  /items: { GET: shop.use, POST: shop.use }
  /open: { ANY: public }
  /mixed: { ANY: shop.use, PURGE: nobody }
  /own: { OPTIONS: public, GET: public }
  /closed: { ANY: nobody }
  /files/{name}: { accept: [encoded_slash], GET: shop.use }
  /form: { accept: [method_override], POST: shop.use }
`

// page is the origin of the page that may.
const page = "https://app.example.com"

func named() *gate.CORS {
	return &gate.CORS{
		Origins: []string{page, "http://localhost:3000", "https://*.preview.example.com:8443"},
		Headers: []string{"Authorization", "X-Note"}, Expose: []string{"X-Total-Count"}, MaxAge: 10 * time.Minute,
	}
}

// shared lists what an answer tells browsers and caches: the fields that are looked at here.
func shared(fields []gate.Field) (out []string) {
	for _, f := range fields {
		if strings.HasPrefix(f.Name, "Access-Control-") || f.Name == "Vary" {
			out = append(out, f.Name+": "+f.Value)
		}
	}
	return out
}

func TestPreflights(t *testing.T) {
	const (
		asks    = "Access-Control-Request-Method: "
		fields  = "Access-Control-Request-Headers: "
		origin  = "Origin: " + page
		some    = "DELETE, GET, HEAD, PATCH, POST, PUT"
		vary    = "Vary: Origin"
		headers = "Access-Control-Allow-Headers: Authorization, X-Note"
		age     = "Access-Control-Max-Age: 600"
	)
	// granted is what the page's browser gets to see for a route with these methods.
	granted := func(methods string) []string {
		return []string{vary, "Access-Control-Allow-Origin: " + page, "Access-Control-Allow-Methods: " + methods, headers, age}
	}
	refusal := []string{"Vary: Accept, Origin", "Access-Control-Allow-Origin: " + page,
		"Access-Control-Expose-Headers: WWW-Authenticate, Retry-After, Allow, X-Request-Id, Grpc-Status, Grpc-Message"}
	hidden := func(c *gate.CORS, s *gate.Service) { s.HideRoutes = true }
	cases := []struct {
		claim  string
		config func(*gate.CORS, *gate.Service)
		line   string
		fields []string
		status int
		reason gate.Reason
		want   []string
	}{
		{"the methods are the route's", nil, "OPTIONS /items", []string{origin, asks + "POST"}, 204, "preflight", granted("GET, HEAD, POST")},
		{"HEAD comes with GET", nil, "OPTIONS /items", []string{origin, asks + "HEAD"}, 204, "preflight", granted("GET, HEAD, POST")},
		{"the query is no part of the path", nil, "OPTIONS /items?a=b", []string{origin, asks + "GET"}, 204, "preflight", granted("GET, HEAD, POST")},
		{"ANY stands for the usual methods", nil, "OPTIONS /open", []string{origin, asks + "PUT"}, 204, "preflight", granted(some)},
		{"ANY stands for the one that is asked for", nil, "OPTIONS /open", []string{origin, asks + "REPORT"}, 204, "preflight", granted(some + ", REPORT")},
		{"ANY stands for OPTIONS where a page sends one", nil, "OPTIONS /open", []string{origin, asks + "OPTIONS"}, 204, "preflight", granted("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")},
		{"ANY stands beside the others", nil, "OPTIONS /mixed", []string{origin, asks + "PUT"}, 204, "preflight", granted("DELETE, GET, HEAD, PATCH, POST, PURGE, PUT")},
		{"a closed method is announced in peace: its 403 can be read", nil, "OPTIONS /mixed", []string{origin, asks + "PURGE"}, 204, "preflight", granted("DELETE, GET, HEAD, PATCH, POST, PURGE, PUT")},
		{"so is a closed path", nil, "OPTIONS /closed", []string{origin, asks + "PUT"}, 204, "preflight", granted(some)},
		{"ANY never stands for TRACE", nil, "OPTIONS /open", []string{origin, asks + "TRACE"}, 204, "preflight_refused", granted(some)},
		{"a method in lower case is another one", nil, "OPTIONS /open", []string{origin, asks + "patch"}, 204, "preflight_refused", granted(some)},
		{"what is no method is not repeated", nil, "OPTIONS /open", []string{origin, asks + "GET, \r\nX: y"}, 204, "preflight_refused", granted(some)},
		{"a method that the route lacks is not listed", nil, "OPTIONS /items", []string{origin, asks + "DELETE"}, 204, "preflight_refused", granted("GET, HEAD, POST")},
		{"a rule for OPTIONS sees no preflight", nil, "OPTIONS /own", []string{origin, asks + "GET"}, 204, "preflight", granted("GET, HEAD, OPTIONS")},
		{"fields compare without case, over several lines", nil, "OPTIONS /items", []string{origin, asks + "GET", fields + "authorization,x-note", fields + "X-NOTE, "}, 204, "preflight", granted("GET, HEAD, POST")},
		{"a field that is not listed", nil, "OPTIONS /items", []string{origin, asks + "GET", fields + "authorization,x-other"}, 204, "preflight_refused", granted("GET, HEAD, POST")},
		{"no token is asked for, and none is looked at", nil, "OPTIONS /items", []string{origin, asks + "GET", "Authorization: Bearer forged", "Authorization: Basic x"}, 204, "preflight", granted("GET, HEAD, POST")},
		{"private networks are somebody else's to open", nil, "OPTIONS /items", []string{origin, asks + "GET", "Access-Control-Request-Private-Network: true"}, 204, "preflight", granted("GET, HEAD, POST")},

		{"an origin that is not listed learns nothing", nil, "OPTIONS /items", []string{"Origin: https://evil.example", asks + "GET"}, 204, "preflight_refused", []string{vary}},
		{"nor does one that begins with a listed one", nil, "OPTIONS /items", []string{origin + ".evil.example", asks + "GET"}, 204, "preflight_refused", []string{vary}},
		{"nor does null", nil, "OPTIONS /items", []string{"Origin: null", asks + "GET"}, 204, "preflight_refused", []string{vary}},
		{"another port is another origin", nil, "OPTIONS /items", []string{"Origin: http://localhost:3001", asks + "GET"}, 204, "preflight_refused", []string{vary}},

		{"no route: as for every request", nil, "OPTIONS /nowhere", []string{origin, asks + "GET"}, 404, "no_route", refusal},
		{"two readings: as for every request", nil, "OPTIONS /items%2f", []string{origin, asks + "GET"}, 400, "ambiguous_request", refusal},
		{"two readings that the route accepts", nil, "OPTIONS /files/a%2fb", []string{origin, asks + "GET"}, 204, "preflight", granted("GET, HEAD")},

		{"one without the method is an ordinary OPTIONS", nil, "OPTIONS /items", []string{origin}, 405, "method_not_allowed", refusal},
		{"one with two methods, too", nil, "OPTIONS /items", []string{origin, asks + "GET", asks + "POST"}, 405, "method_not_allowed", refusal},
		{"one without an origin, too", nil, "OPTIONS /items", []string{asks + "GET"}, 405, "method_not_allowed", []string{"Vary: Accept, Origin"}},
		{"one with two origins, too", nil, "OPTIONS /items", []string{origin, origin, asks + "GET"}, 405, "method_not_allowed", []string{"Vary: Accept, Origin"}},
		{"one with a malformed origin, too", nil, "OPTIONS /items", []string{origin + "/", asks + "GET"}, 405, "method_not_allowed", []string{"Vary: Accept, Origin"}},
		{"one with a list of origins, too", nil, "OPTIONS /items", []string{origin + " https://b.example", asks + "GET"}, 405, "method_not_allowed", []string{"Vary: Accept, Origin"}},
		{"one with a method override, too", nil, "OPTIONS /form", []string{origin, asks + "POST", "X-HTTP-Method-Override: POST"}, 401, "token_missing", refusal},
		{"another method is no preflight", nil, "POST /items", []string{origin, asks + "POST"}, 401, "token_missing", refusal},
		{"without cors: it is an ordinary OPTIONS", func(_ *gate.CORS, s *gate.Service) { s.CORS = nil }, "OPTIONS /items", []string{origin, asks + "POST"}, 405, "method_not_allowed", []string{"Vary: Accept"}},

		{"hidden routes: a path with a route", hidden, "OPTIONS /items", []string{origin, asks + "DELETE"}, 204, "preflight", granted(some)},
		{"hidden routes: a path without one", hidden, "OPTIONS /nowhere", []string{origin, asks + "DELETE"}, 204, "preflight", granted(some)},
		{"hidden routes: a method of no route", hidden, "OPTIONS /items", []string{origin, asks + "REPORT"}, 204, "preflight", granted(some + ", REPORT")},
		{"hidden routes: two readings", hidden, "OPTIONS /items%2f", []string{origin, asks + "GET"}, 400, "ambiguous_request", refusal},

		{"credentials", func(c *gate.CORS, _ *gate.Service) { c.Credentials = true }, "OPTIONS /items", []string{origin, asks + "GET"}, 204, "preflight",
			slices.Insert(granted("GET, HEAD, POST"), 2, "Access-Control-Allow-Credentials: true")},
		{"any page, and the answer is the same for all", func(c *gate.CORS, _ *gate.Service) { c.Origins = []string{"*"} }, "OPTIONS /items", []string{"Origin: https://b.example", asks + "GET"}, 204, "preflight",
			[]string{"Access-Control-Allow-Origin: *", "Access-Control-Allow-Methods: GET, HEAD, POST", headers, age}},
		{"null, where it is listed", func(c *gate.CORS, _ *gate.Service) { c.Origins = []string{"null"} }, "OPTIONS /items", []string{"Origin: null", asks + "GET"}, 204, "preflight",
			slices.Replace(granted("GET, HEAD, POST"), 1, 2, "Access-Control-Allow-Origin: null")},
		{"any name below", nil, "OPTIONS /items", []string{"Origin: https://a.b.preview.example.com:8443", asks + "GET"}, 204, "preflight",
			slices.Replace(granted("GET, HEAD, POST"), 1, 2, "Access-Control-Allow-Origin: https://a.b.preview.example.com:8443")},
		{"no headers, nothing remembered", func(c *gate.CORS, _ *gate.Service) { c.Headers, c.MaxAge = nil, 0 }, "OPTIONS /items", []string{origin, asks + "GET"}, 204, "preflight",
			[]string{vary, "Access-Control-Allow-Origin: " + page, "Access-Control-Allow-Methods: GET, HEAD, POST", "Access-Control-Max-Age: 0"}},
	}
	for _, c := range cases {
		t.Run(c.claim, func(t *testing.T) {
			s := &gate.Service{Policy: loadPolicy(t, shop), CORS: named()}
			if c.config != nil {
				c.config(s.CORS, s)
			}
			g, r := newGate(t, s)
			var x gate.Exchange
			g.Begin(&x, request(c.line, c.fields...))
			err := x.Admit(t.Context())
			if err == nil {
				t.Fatal("is forwarded")
			}
			a := x.Refuse(t.Context(), err)
			x.End(gate.Outcome{Status: a.Status})
			if a.Status != c.status || r.reasons[0] != c.reason {
				t.Errorf("%d %s (%v), want %d %s", a.Status, r.reasons[0], err, c.status, c.reason)
			}
			if d := cmp.Diff(c.want, shared(a.Fields)); d != "" {
				t.Error(d)
			}
			if a.Status == 204 && (len(a.Body) > 0 || field(a, "Content-Length")+field(a, "Content-Type") != "" || field(a, "Cache-Control") != "no-store" || field(a, "X-Request-Id") == "") {
				t.Errorf("%+v", a)
			}
			if c.status == 405 && !strings.Contains(field(a, "Allow"), "GET") {
				t.Errorf("Allow: %q", field(a, "Allow"))
			}
		})
	}
}

// TestHiddenRoutesStayHidden: no path can be told from another by its preflight.
func TestHiddenRoutesStayHidden(t *testing.T) {
	g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, shop), CORS: named(), HideRoutes: true})
	for _, method := range []string{"GET", "POST", "PURGE", "TRACE", "x"} {
		var first gate.Answer
		for _, path := range []string{"/", "/items", "/open", "/mixed", "/own", "/closed", "/files/a", "/nowhere/at/all"} {
			var x gate.Exchange
			g.Begin(&x, request("OPTIONS "+path, "Origin: "+page, "Access-Control-Request-Method: "+method, "X-Request-Id: one"))
			a := x.Refuse(t.Context(), x.Admit(t.Context()))
			x.End(gate.Outcome{})
			a.Fields = slices.DeleteFunc(a.Fields, func(f gate.Field) bool { return f.Name == "X-Request-Id" })
			if path == "/" {
				first = a
			}
			if d := cmp.Diff(first, a); d != "" {
				t.Errorf("%s %s differs: %s", method, path, d)
			}
		}
	}
}

func TestAnswersForPages(t *testing.T) {
	const vary, expose = "Vary: Origin", "Access-Control-Expose-Headers: X-Total-Count"
	credentials := named()
	credentials.Credentials, credentials.Expose = true, nil
	all := &gate.CORS{Origins: []string{"*"}}
	for _, c := range []struct {
		claim  string
		cors   *gate.CORS
		fields []string
		want   []string
	}{
		{"a page that may", named(), []string{"Origin: " + page}, []string{vary, "Access-Control-Allow-Origin: " + page, expose}},
		{"a page that may not", named(), []string{"Origin: https://b.example"}, []string{vary}},
		{"no page, but a cache that may serve one", named(), nil, []string{vary}},
		{"two origins", named(), []string{"Origin: " + page, "Origin: " + page}, []string{vary}},
		{"an empty origin", named(), []string{"Origin: "}, []string{vary}},
		{"with credentials", credentials, []string{"Origin: " + page}, []string{vary, "Access-Control-Allow-Origin: " + page, "Access-Control-Allow-Credentials: true"}},
		{"credentials are for listed pages only", credentials, []string{"Origin: https://b.example"}, []string{vary}},
		{"any page", all, []string{"Origin: https://b.example"}, []string{"Access-Control-Allow-Origin: *"}},
		{"any page, and no page gets the same", all, nil, []string{"Access-Control-Allow-Origin: *"}},
		{"without cors: nothing", nil, []string{"Origin: " + page}, nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, shop), CORS: c.cors})
			var x gate.Exchange
			g.Begin(&x, request("GET /open", c.fields...))
			if err := x.Admit(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer x.End(gate.Outcome{})
			var added []gate.Field
			x.AddAnswer(func(name, value string) { added = append(added, gate.Field{Name: name, Value: value}) })
			if d := cmp.Diff(c.want, shared(added)); d != "" {
				t.Error(d)
			}
			for _, name := range []string{"Access-Control-Allow-Origin", "access-control-allow-credentials", "ACCESS-CONTROL-EXPOSE-HEADERS", "Access-Control-"} {
				if x.KeepAnswer(name) != (c.cors == nil) {
					t.Errorf("the service's own %s: goes on is %t", name, c.cors == nil)
				}
			}
			for _, name := range []string{"Vary", "Access-Control", "X-Access-Control-Allow-Origin"} {
				if !x.KeepAnswer(name) {
					t.Errorf("%s is dropped", name)
				}
			}
		})
	}
}

// TestRefusalsForPages: every kind of refusal can be read by the page, and by no other.
func TestRefusalsForPages(t *testing.T) {
	g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, shop), CORS: named()})
	for _, c := range []struct {
		status int
		line   string
		fields []string
	}{
		{400, "GET /items%2f", nil},
		{401, "GET /items", nil},
		{401, "GET /items", []string{"Authorization: Bearer fails:token_expired"}},
		{403, "GET /items", []string{"Authorization: Bearer reader"}},
		{403, "GET /closed", nil},
		{404, "GET /nowhere", nil},
		{405, "DELETE /items", nil},
		{503, "GET /items", []string{"Authorization: Bearer fails:keys_unavailable"}},
		{500, "GET /items", []string{"Authorization: Bearer unknown"}},
	} {
		for origin, allowed := range map[string]string{page: page, "https://b.example": ""} {
			var x gate.Exchange
			g.Begin(&x, request(c.line, append(c.fields, "Origin: "+origin)...))
			a := x.Refuse(t.Context(), x.Admit(t.Context()))
			x.End(gate.Outcome{})
			if a.Status != c.status || field(a, "Access-Control-Allow-Origin") != allowed || field(a, "Vary") != "Accept, Origin" || len(a.Body) == 0 {
				t.Errorf("%s for %s: %+v", c.line, origin, a)
			}
		}
	}
	in := request("POST /items", "Origin: "+page, "Content-Type: application/grpc-web")
	in.ProtoMajor, in.ProtoMinor = 2, 0
	var x gate.Exchange
	g.Begin(&x, in)
	a := x.Refuse(t.Context(), x.Admit(t.Context()))
	x.End(gate.Outcome{})
	if !a.Trailers || field(a, "Grpc-Status") != "16" || field(a, "Vary") != "Origin" || !strings.Contains(field(a, "Access-Control-Expose-Headers"), "Grpc-Status") {
		t.Errorf("gRPC-Web: %+v", a)
	}
}

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{
		"*", "null", "https://a.example", "http://a.example:8080", "https://a.example:80", "http://a.example:443", "http://localhost:3000", "http://127.0.0.1", "http://[::1]:3000",
		"https://xn--bcher-kva.example", "https://a_b.example", "capacitor://localhost", "chrome-extension://abcdefghijklmnop", "https://*.a.example", "https://*.a.example:8443",
	} {
		if err := gate.CheckOrigin(good); err != nil {
			t.Errorf("%s %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "a.example", "//a.example", "https://", "https:a.example", "https:/a.example", "HTTPS://a.example", "https://A.example", "https://a.example/", "https://a.example/x", "https://a.example?", "https://a.example#",
		"https://a.example:443", "http://a.example:80", "https://a.example:", "https://a.example:0", "https://a.example:080", "https://a.example:65536", "https://a.example.", "https://a..example", "https://.a.example",
		"https://u@a.example", "https://a.example@b.example", "https://a%2eexample", "https://bücher.example", "https://a.example b", " https://a.example", "https://a.example\t", "https://a.example,https://b.example",
		"https://[::1", "https://[::1%25eth0]", "https://[0:0::1]", "https://::1", "1https://a.example", "ht_tp://a.example", "Null", "NULL", "**",
		"https://*", "https://*.", "https://*.com", "https://*.com:8443", "https://*.localhost", "https://*.192.0.2.1", "https://*.[::1]", "https://a.*.example", "https://a*.b.example", "https://*a.b.example", "https://*.*.b.example",
		"*.a.example", "*://a.example", "https://a.example:*", "https://*.a.example:443", "https://*.A.example",
	} {
		if gate.CheckOrigin(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestCORSThatCannotBeServed(t *testing.T) {
	for claim, c := range map[string]*gate.CORS{
		"no origin":                  {},
		"no origin that is one":      {Origins: []string{"https://a.example/"}},
		"any beside another":         {Origins: []string{"https://a.example", "*"}},
		"any with credentials":       {Origins: []string{"*"}, Credentials: true},
		"null with credentials":      {Origins: []string{"null"}, Credentials: true},
		"null among others with one": {Origins: []string{"https://a.example", "null"}, Credentials: true},
	} {
		if _, err := gate.NewSnapshot([]*gate.Service{{Policy: loadPolicy(t, shop), CORS: c}}, verifier(tokens), nil); err == nil {
			t.Errorf("%s was taken", claim)
		}
	}
}

// FuzzOrigin: an origin that an answer repeats is listed, or what a URL parser finds below the
// listed name.
func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{
		page, "null", "https://a.preview.example.com:8443", "https://evil.example/.preview.example.com:8443", "https://evil.example#.preview.example.com:8443",
		"https://evil@a.preview.example.com:8443", "https://evil.example:1.preview.example.com:8443", "https://.preview.example.com:8443", "https://[::1].preview.example.com:8443",
		"https://app.example.com.evil.example", "https://app.example.com\x00", "https://a\\.preview.example.com:8443", "https://a,b.preview.example.com:8443",
	} {
		f.Add(seed)
	}
	g, _ := newGate(f, &gate.Service{Policy: loadPolicy(f, shop), CORS: named()})
	f.Fuzz(func(t *testing.T, origin string) {
		in := request("GET /open")
		in.Header = http.Header{"Origin": {origin}}
		var x gate.Exchange
		g.Begin(&x, in)
		if err := x.Admit(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer x.End(gate.Outcome{})
		allowed := ""
		x.AddAnswer(func(name, value string) {
			if name == "Access-Control-Allow-Origin" {
				allowed = value
			}
		})
		if allowed == "" {
			return
		}
		if allowed != origin {
			t.Fatalf("%q becomes %q", origin, allowed)
		}
		if slices.Contains(named().Origins, origin) {
			return
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" || u.Port() != "8443" || !strings.HasSuffix(u.Hostname(), ".preview.example.com") || u.Scheme+"://"+u.Host != origin {
			t.Fatalf("%q is repeated", origin)
		}
	})
}

func TestAnswersCostNothingWithoutCORS(t *testing.T) {
	g, _ := newGate(t, &gate.Service{Policy: loadPolicy(t, shop)})
	var x gate.Exchange
	g.Begin(&x, request("GET /open", "Origin: "+page))
	if err := x.Admit(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer x.End(gate.Outcome{})
	out := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		out = out[:0]
		for _, name := range []string{"Content-Type", "Access-Control-Allow-Origin", "Transfer-Encoding"} {
			if x.KeepAnswer(name) {
				out = append(out, name...)
			}
		}
		x.AddAnswer(func(name, value string) { out = append(append(out, name...), value...) })
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
