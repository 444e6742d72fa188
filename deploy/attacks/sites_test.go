package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/seal"
)

// second is the policy of a second service, stricter about the same paths.
const second = `version: 1
service: second
scopes: { second.read: R }
routes:
  /public/**: { GET: second.read }
  /who: { GET: authenticated }
`

// TestAHostChoosesOneServiceHoweverItIsSpelt: two services with the same paths, of which the second
// closes what the first opens (CVE-2026-42273 Heimdall, CVE-2021-39155 Istio, CVE-2026-27588 Caddy).
func TestAHostChoosesOneServiceHoweverItIsSpelt(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{
			lane:    l,
			service: "hosts: [open.test, \"*.open.test\"]",
			also:    "  - policy: second.yaml\n    upstream: http://$SERVICE\n    lane: $LANE\n    hosts: [closed.test, a.open.test]\n",
			files:   map[string]string{"second.yaml": second},
		})
		for _, c := range []struct {
			host   string
			status int
		}{
			{"open.test", 200}, {"OPEN.test", 200}, {"open.test.", 200}, {"open.test:81", 200}, {"b.open.test", 200}, {"c.b.open.test", 200},
			{"closed.test", 401}, {"CLOSED.TEST", 401}, {"closed.test.", 401}, {"closed.test:80", 401}, {"a.open.test", 401}, {"A.Open.Test.:8", 401},
			{"elsewhere.test", 404}, {"127.0.0.1", 404}, {"opentest", 404}, {"xopen.test", 404}, {".open.test", 400}, {"open..test", 400},
			{"open.test,closed.test", 400}, {"open.test closed.test", 400}, {"open.test/closed.test", 400}, {"closed.test@open.test", 400},
			{"open.test:x", 400}, {"open.test:80:80", 400}, {"%6fpen.test", 400}, {"closed.test%00.open.test", 400}, {"", 400},
		} {
			answer := g.exchange("GET /public/x HTTP/1.1\r\nHost: " + c.host + "\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("Host %q: want %d, got %.60s", c.host, c.status, answer)
			}
		}
		for _, c := range []struct {
			raw  string
			open bool
		}{
			{"GET http://closed.test/public/x HTTP/1.1\r\nHost: closed.test\r\n", false},
			{"GET http://open.test/public/x HTTP/1.1\r\nHost: closed.test\r\n", !l.strict}, // judged and sent as open.test
			{"GET http://closed.test/public/x HTTP/1.1\r\nHost: open.test\r\n", false},
			{"GET http://OPEN.test/public/x HTTP/1.1\r\nHost: open.test.\r\n", true},
			{"GET /public/x HTTP/1.1\r\nHost: open.test\r\nHost: closed.test\r\n", false},
			{"GET /public/x HTTP/1.1\r\nHost: open.test\r\nX-Forwarded-Host: closed.test\r\n", true},
			{"GET /public/x HTTP/1.1\r\nHost: closed.test\r\nX-Forwarded-Host: open.test\r\n", false},
			{"GET /public/x HTTP/1.1\r\nHost: closed.test\r\nForwarded: host=open.test\r\n", false},
			{"GET /public/x HTTP/1.1\r\n host: open.test\r\nHost: closed.test\r\n", false},
			{"GET /public/x HTTP/1.0\r\n", false},
		} {
			g.service.take()
			g.exchange(c.raw + "Connection: close\r\n\r\n")
			got := g.service.take()
			if (len(got) > 0) != c.open {
				t.Errorf("%q: %d requests reached the service", c.raw, len(got))
			}
			for _, r := range got {
				if r.host() != "open.test" {
					t.Errorf("%q: the service saw Host %q", c.raw, r.host())
				}
			}
		}
	})
}

// TestATokenForOneServiceIsNoneForAnother: the same token, remembered as good, at a service that
// takes another issuer or audience (CVE-2021-32701 and CVE-2026-33496, Oathkeeper's caches).
func TestATokenForOneServiceIsNoneForAnother(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{
			lane:    l,
			service: "hosts: [open.test]\nissuers: [$ISSUER]",
			also: "  - policy: second.yaml\n    upstream: http://$SERVICE\n    lane: $LANE\n    hosts: [second.test]\n    issuers: [https://other.test]\n" +
				"  - policy: third.yaml\n    upstream: http://$SERVICE\n    lane: $LANE\n    hosts: [third.test]\n    issuers: [$ISSUER]\n    audience: [third]\n",
			files:  map[string]string{"second.yaml": second, "third.yaml": strings.ReplaceAll(second, "second", "third")},
			others: "  - { issuer: https://other.test, jwks_uri: https://other.test/jwks, audience: none }\n",
			top:    "ready: any",
		})
		plain, named := g.issuer.token(nil), g.issuer.token(map[string]any{"aud": []string{"third"}})
		for range 2 { // the second time from memory
			for _, c := range []struct {
				host, token string
				status      int
			}{
				{"open.test", plain, 200}, {"second.test", plain, 401}, {"third.test", plain, 401},
				{"open.test", named, 401}, {"second.test", named, 401}, {"third.test", named, 200},
			} {
				if status, _, body := g.ask("GET", "/who", c.token, "Host: "+c.host); status != c.status {
					t.Errorf("at %s: %d %s, want %d", c.host, status, body, c.status)
				}
			}
		}
	})
}

// TestForwardingFieldsAreBelievedOfTrustedProxiesOnly sends them as a stranger and as a proxy
// (CVE-2026-57210 Heimdall, CVE-2024-45806 Envoy, CVE-2026-33495 Oathkeeper).
func TestForwardingFieldsAreBelievedOfTrustedProxiesOnly(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		said := []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: said.test", "X-Real-IP: 203.0.113.9", "X-Request-Id: said-by-proxy"}
		for trusted, want := range map[string][]string{
			"[]":           {"127.0.0.1", "http", "a.test", "", ""},
			"[10.0.0.0/8]": {"127.0.0.1", "http", "a.test", "", ""},
			"[127.0.0.1]":  {"203.0.113.9, 127.0.0.1", "https", "said.test", "203.0.113.9", "said-by-proxy"},
		} {
			g := newTarget(t, site{lane: l, top: "trusted_proxies: " + trusted})
			g.ask("GET", "/public/x", "", append(said, "Host: a.test", "X-Auth-Subject: root")...)
			got := g.service.take()
			if len(got) != 1 {
				t.Fatalf("%d requests", len(got))
			}
			for i, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "X-Request-Id"} {
				v := strings.Join(got[0].values(name), "|")
				if v != want[i] && !(name == "X-Request-Id" && want[i] == "" && v != "said-by-proxy") {
					t.Errorf("trusting %s: %s is %q, want %q", trusted, name, v, want[i])
				}
			}
			if v := got[0].values("X-Auth-Subject"); len(v) != 0 {
				t.Errorf("trusting %s: identity of the proxy's making: %q", trusted, v)
			}
		}
	})
}

// TestIdentityCannotBeInjectedThroughClaims puts into claims what would break out of a field, or
// out of the list in it.
func TestIdentityCannotBeInjectedThroughClaims(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l, service: "claim_headers: { X-Tenant: org_id, X-Groups: groups }"})
		for _, c := range []struct {
			claim any
			want  string
		}{
			{"acme", "acme"}, {"a\r\nX-Auth-Scopes: target.data.admin", "a%0D%0AX-Auth-Scopes:%20target.data.admin"}, {"a\x00b", "a%00b"},
			{"a,b", "a%2Cb"}, {"100%", "100%25"}, {"a b", "a%20b"}, {"café", "caf%C3%A9"}, {"\u2028", "%E2%80%A8"}, {7, "7"}, {true, "true"},
			{[]any{"a", "b,c"}, "a,b%2Cc"}, {map[string]any{"a": 1}, ""}, {nil, ""}, {[]any{[]any{"a"}}, ""}, {[]any{"a", nil}, ""}, {"", ""},
		} {
			g.service.take()
			token := g.issuer.token(map[string]any{"org_id": c.claim, "sub": "a\r\nX-Tenant: evil"})
			status, _, _ := g.ask("GET", "/who", token, "X-Tenant: SPOOFED", "x_tenant: SPOOFED", "X-Groups: SPOOFED")
			got := g.service.take()
			if status != 200 || len(got) != 1 {
				t.Fatalf("%v: %d", c.claim, status)
			}
			if v := strings.Join(got[0].values("X-Tenant"), "|"); v != c.want {
				t.Errorf("claim %q is sent as %q, want %q", c.claim, v, c.want)
			}
			if v := strings.Join(got[0].values("X-Auth-Subject"), "|"); v != "a%0D%0AX-Tenant:%20evil" {
				t.Errorf("subject %q", v)
			}
			if v := strings.Join(got[0].values("X-Auth-Scopes"), "|"); v != "target.data.read" {
				t.Errorf("scopes %q", v)
			}
			if strings.Contains(got[0].head, "SPOOFED") || len(got[0].values("Authorization")) != 0 {
				t.Errorf("came through:\n%s", got[0].head)
			}
		}
	})
}

// TestRefusalsTellNoMoreThanTheyMay asks in every form, with and without a token (hardening 21).
func TestRefusalsTellNoMoreThanTheyMay(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		secrets := []string{"target.data", "/admin", "policy.yaml", "billing", "127.0.0.1", "org_id"}
		// Every path is refused to a caller without scopes.
		forms := [][]string{nil, {"Accept: application/problem+json"}, {"Accept: */*"}, {"Accept: application/grpc"}, {"Content-Type: application/grpc"}, {"Origin: https://evil.test"}}
		g := newTarget(t, site{lane: l})
		quiet := newTarget(t, site{lane: l, service: "explain: none"})
		hidden := newTarget(t, site{lane: l, top: "hide_routes: true"})
		_, sealing, err := seal.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		sealed := newTarget(t, site{lane: l, service: "explain: sealed", top: "explain_key: explain.seal", files: map[string]string{"explain.seal": string(sealing)}})
		for _, form := range forms {
			for _, path := range []string{"/admin", "/admin/", "/api/1", "/api", "/closed", "/nowhere", "/org/x/bills", "/fresh", "/public/%2e%2e"} {
				for _, method := range []string{"GET", "DELETE", "OPTIONS"} {
					g.tells(method, path, "", form, secrets)
					g.tells(method, path, "a.b.c", form, secrets)
					sealed.tells(method, path, sealed.issuer.token(map[string]any{"scope": ""}), form, secrets)
					quiet.tells(method, path, quiet.issuer.token(map[string]any{"scope": ""}), form, secrets)
					hidden.tells(method, path, "", form, secrets)
				}
			}
		}
		for path, want := range map[string]int{"/nowhere": 401, "/public": 401, "/api": 401, "/api/1": 401, "/admin": 401} {
			if status, header, _ := hidden.ask("DELETE", path, ""); status != want || header.Get("Allow") != "" {
				t.Errorf("hidden routes: DELETE %s is %d, Allow %q", path, status, header.Get("Allow"))
			}
		}
		status, header, body := g.ask("POST", "/api/1", g.issuer.token(nil), "Accept: application/problem+json")
		if status != 403 || !strings.Contains(body, "target.data.write") || !strings.Contains(header.Get("WWW-Authenticate"), `scope="target.data.write"`) {
			t.Errorf("a caller with a token learns what is missing: %d %s %s", status, header.Get("WWW-Authenticate"), body)
		}
	})
}

func (g *target) tells(method, path, token string, fields, secrets []string) {
	g.Helper()
	status, header, body := g.ask(method, path, token, fields...)
	if status < 400 {
		g.Errorf("%s %s with %q: %d", method, path, fields, status)
	}
	said := body
	for name, values := range header {
		said += "\n" + name + ": " + strings.Join(values, ",")
	}
	for _, s := range secrets {
		if strings.Contains(said, s) {
			g.Errorf("%s %s with %q: the answer says %q:\n%s", method, path, fields, s, said)
		}
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Request-Id") == "" {
		g.Errorf("%s %s: Cache-Control %q, X-Request-Id %q", method, path, header.Get("Cache-Control"), header.Get("X-Request-Id"))
	}
}
