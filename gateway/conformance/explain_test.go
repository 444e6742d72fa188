package conformance_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/seal"
)

// TestConformanceOfExplanations asks in every form, over every protocol, at each level of explain:,
// and looks for what only the loudest may say.
func TestConformanceOfExplanations(t *testing.T) { inBothLanes(t, checkConformanceOfExplanations) }

func checkConformanceOfExplanations(t *testing.T, l lane) {
	opening, sealing, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseKey(opening)
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.NewSealer(sealing)
	if err != nil {
		t.Fatal(err)
	}
	for level, name := range map[gate.Explain]string{gate.ExplainNone: "none", gate.ExplainScopes: "scopes", gate.ExplainSealed: "sealed"} {
		r := newRig(t, l, rigConfig{upstream: service(t, "http", echo()), service: func(svc *gate.Service) {
			svc.Explain, svc.Sealer = level, reasonSealer{s}
		}})
		for _, c := range r.clients() {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				for _, asked := range refusals(c) {
					res, body := c.ask(t, asked.method, asked.target, nil, asked.fields...)
					checkRefusal(t, level, key, asked, res, body)
				}
			})
		}
	}
}

// reasonSealer seals the reason alone.
type reasonSealer struct{ *seal.Sealer }

func (s reasonSealer) Seal(b []byte, x *gate.Exchange, _ int) []byte {
	return s.Append(b, []byte(x.Reason()), time.Now())
}

type refusal struct {
	name, method, target string
	fields               []string
	reason               string
	says                 string // the loudest level alone, in body or challenge
}

// refusals are one request for each form of answer.
func refusals(c client) []refusal {
	reader := "Authorization: Bearer " + tokenFor("ann", time.Hour, "shop.items.read")
	problem := "Accept: application/problem+json"
	all := []refusal{
		{"bare", "POST", "/items/1", []string{reader}, "insufficient_scope", `scope="shop.items.write"`},
		{"problem", "POST", "/items/1", []string{reader, problem}, "insufficient_scope", `"missing":["shop.items.write"]`},
		{"no token", "GET", "/items/1", []string{problem}, "token_missing", `"reason":"token_missing"`},
		{"bad token", "GET", "/items/1", []string{problem, "Authorization: Bearer a.b.c"}, "token_malformed", `"reason":"token_malformed"`},
		{"no route", "GET", "/items/1/", []string{reader, problem}, "no_route", `there is a route /items/{id}`},
		{"no method", "DELETE", "/items/1", []string{reader, problem}, "method_not_allowed", `"reason":"method_not_allowed"`},
		{"HEAD", "HEAD", "/items/1", nil, "token_missing", ""},
	}
	if c.major == 1 {
		all = append(all, refusal{"upgrade", "GET", "/socket", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key, problem}, "token_missing", `"reason":"token_missing"`})
	} else {
		all = append(all, refusal{"gRPC", "POST", "/shop.Items/Watch", []string{"Content-Type: application/grpc"}, "token_missing", "token_missing"})
	}
	return all
}

func checkRefusal(t *testing.T, level gate.Explain, key *seal.Key, asked refusal, res *http.Response, body string) {
	t.Helper()
	said := body + res.Header.Get("WWW-Authenticate") + res.Header.Get("Grpc-Message")
	if told := strings.Contains(said, asked.says); asked.says != "" && told != (level == gate.ExplainScopes) {
		t.Errorf("%s: says %q: %t: %s", asked.name, asked.says, told, said)
	}
	if level != gate.ExplainScopes && (strings.Contains(said, "shop.items") || strings.Contains(body, asked.reason)) {
		t.Errorf("%s: %s", asked.name, said)
	}
	sealed := res.Header.Get("Scopegate-Explanation")
	if (sealed != "") != (level == gate.ExplainSealed) {
		t.Errorf("%s: Scopegate-Explanation %q", asked.name, sealed)
	}
	if level != gate.ExplainSealed {
		return
	}
	if text, err := seal.Open(sealed, key); err != nil || string(text) != asked.reason {
		t.Errorf("%s: %q, %v", asked.name, text, err)
	}
	if strings.Contains(body, `"request_id"`) && !strings.Contains(body, fmt.Sprintf(`"sealed":%q`, sealed)) {
		t.Errorf("%s: the problem document lacks the explanation: %s", asked.name, body)
	}
}

// TestConformanceOfMetadata asks for the service's metadata (RFC 9728) over every protocol.
func TestConformanceOfMetadata(t *testing.T) { inBothLanes(t, checkConformanceOfMetadata) }

func checkConformanceOfMetadata(t *testing.T, l lane) {
	const place = "/.well-known/oauth-protected-resource/shop"
	const document = `{"resource":"https://api.example/shop","authorization_servers":["https://login.example"],` +
		`"scopes_supported":["shop.items.read","shop.items.write"],"bearer_methods_supported":["header"],"resource_name":"Shop"}`
	described := func(hidden bool) rigConfig {
		return rigConfig{upstream: service(t, "http", echo()), service: func(s *gate.Service) {
			s.Metadata = &gate.Metadata{Resource: "https://api.example/shop", Name: "Shop", Issuers: []string{"https://login.example"}}
			s.HideRoutes = hidden
			if hidden {
				s.Explain = gate.ExplainNone
			}
		}}
	}
	for _, hidden := range []bool{false, true} {
		r := newRig(t, l, described(hidden))
		for _, c := range r.clients() {
			t.Run(fmt.Sprintf("%s/hidden %t", c.name, hidden), func(t *testing.T) {
				res, body := c.ask(t, "GET", place, nil, "Origin: https://page.example", "Host: evil.example", "X-Forwarded-Host: evil.example")
				etag := res.Header.Get("ETag")
				if res.StatusCode != 200 || body != document || res.Header.Get("Content-Type") != "application/json" || etag == "" ||
					res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Cache-Control") != "public, max-age=300" || res.Header.Get("X-Request-Id") == "" {
					t.Errorf("%s %v\n%s", res.Status, res.Header, body)
				}
				for asked, want := range map[string]int{"HEAD ": 200, "GET " + etag: 304, "GET W/" + etag: 304, `GET "other"`: 200, "GET *": 304, "POST ": 405, "OPTIONS ": 204, "DELETE ": 405} {
					method, match, _ := strings.Cut(asked, " ")
					var fields []string
					if match != "" {
						fields = append(fields, "If-None-Match: "+match)
					}
					res, body := c.ask(t, method, place, nil, fields...)
					if res.StatusCode != want || (body != "") != (asked == `GET "other"`) || res.Header.Get("Access-Control-Allow-Origin") != "*" {
						t.Errorf("%s: %s %v %q", asked, res.Status, res.Header, body)
					}
				}
				for _, target := range []string{"/.well-known/oauth-protected-resource", place + "/", place + "%2F", "/.well-known/oauth-protected-resource/%73hop/x"} {
					if res, body := c.ask(t, "GET", target, nil); res.StatusCode == 200 || strings.Contains(body, "login.example") {
						t.Errorf("%s: %s %s", target, res.Status, body)
					}
				}
				res, _ = c.ask(t, "GET", "/items/1", nil)
				if got := res.Header.Get("WWW-Authenticate"); got != `Bearer realm="shop", resource_metadata="https://api.example`+place+`"` {
					t.Errorf("the challenge is %s", got)
				}
				res, _ = c.ask(t, "POST", "/items/1", nil, "Authorization: Bearer "+tokenFor("ann", time.Hour, "shop.items.read"))
				if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 403 || !strings.HasSuffix(got, `, resource_metadata="https://api.example`+place+`"`) {
					t.Errorf("the challenge is %s", got)
				}
			})
		}
	}
	r := newRig(t, l, rigConfig{upstream: service(t, "http", echo())})
	for _, c := range r.clients() {
		res, _ := c.ask(t, "GET", place, nil)
		if res.StatusCode != 404 {
			t.Errorf("%s: not switched on: %s", c.name, res.Status)
		}
	}
}
