package attacks

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// tokenAttack is one request with one token.
type tokenAttack struct {
	attack `yaml:",inline"`
	// Header and Payload are the JSON texts that are signed, a good token's where they are left
	// out. $ISS is the issuer, $NOW, $PAST and $LATER are times, $EVIL a URL with keys of the
	// attacker's, $JWK such a key, $BYTE a byte that is no UTF-8.
	Header  string `yaml:"header"`
	Payload string `yaml:"payload"`
	// Sign is rs256 where it is left out; other signs with a key of the attacker's, none not at
	// all, hs256-… by HMAC with some form of the public key.
	Sign string `yaml:"sign"`
	// Shape puts {h}, {p} and {s} together; Authorization is the field with {t} for the token.
	Shape         string `yaml:"shape"`
	Authorization string `yaml:"authorization"`
	Method        string `yaml:"method"` // GET
	Path          string `yaml:"path"`   // /api/1
	// Status is 401 where it is left out, Reason any. Accepted marks the controls, which must come
	// through.
	Status   int    `yaml:"status"`
	Reason   string `yaml:"reason"`
	Accepted bool   `yaml:"accepted"`
}

// evil serves the attacker's keys, and counts who comes for them.
type evil struct {
	url string
	hit atomic.Int64
}

func newEvil(t *testing.T) *evil {
	e := &evil{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		e.hit.Add(1)
		_, _ = w.Write(published([]*signer{{"k0", keyNumber(1)}}))
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func (a *tokenAttack) token(t *testing.T, i *issuer, e *evil) string {
	key, err := json.Marshal(jwk(&signer{"k0", keyNumber(1)}))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	fill := strings.NewReplacer("$ISS", i.name, "$NOW", strconv.FormatInt(now, 10), "$PAST", strconv.FormatInt(now-3600, 10),
		"$LATER", strconv.FormatInt(now+3600, 10), "$EVIL", e.url, "$JWK", string(key), "$BYTE", "\xff")
	head, body := a.Header, a.Payload
	if head == "" {
		head = `{"alg":"RS256","typ":"at+jwt","kid":"k0"}`
	}
	if body == "" {
		body = `{"iss":"$ISS","sub":"ann","scope":"target.data.read","iat":$NOW,"exp":$LATER}`
	}
	h, p := b64([]byte(fill.Replace(head))), b64([]byte(fill.Replace(body)))
	shape := a.Shape
	if shape == "" {
		shape = "{h}.{p}.{s}"
	}
	return strings.NewReplacer("{h}", h, "{p}", p, "{s}", b64(a.signature(t, h+"."+p))).Replace(unescaped(t, shape))
}

// unescaped undoes the escapes of a shape, which may hold quotes of its own.
func unescaped(t *testing.T, text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return octets(t, text)
}

func (a *tokenAttack) signature(t *testing.T, input string) []byte {
	public := keyNumber(0)
	der, err := x509.MarshalPKIXPublicKey(&public.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	switch a.Sign {
	case "", "rs256":
		return rs256(public, input)
	case "other":
		return rs256(keyNumber(1), input)
	case "none":
		return nil
	case "hs256-pem":
		return hs256(publicPEM(public), input)
	case "hs256-pem-trimmed":
		return hs256([]byte(strings.TrimSpace(string(publicPEM(public)))), input)
	case "hs256-der":
		return hs256(der, input)
	case "hs256-modulus":
		return hs256(public.N.Bytes(), input)
	case "hs256-jwk":
		return hs256([]byte(b64(public.N.Bytes())), input)
	case "hs256-empty":
		return hs256(nil, input)
	}
	t.Fatalf("%s: sign: %s is not known", a.Name, a.Sign)
	return nil
}

// TestNoForgedTokenIsBelieved sends every token twice, so that the second comes when the first may
// have been remembered.
func TestNoForgedTokenIsBelieved(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		e := newEvil(t)
		g := newTarget(t, site{lane: l, issuer: "jwks: { unknown_kid_interval: 1m }"})
		lines := &tokenLine{target: g}
		for _, a := range load[*tokenAttack](t, "tokens") {
			token := a.token(t, g.issuer, e)
			for range 2 {
				status, reason := lines.ask(a, token)
				a.check(t, status, reason, g.service.take())
			}
		}
		if n := e.hit.Load(); n != 0 {
			t.Errorf("the gateway asked the attacker for keys %d times", n)
		}
		if strings.Contains(g.log.String(), "panic") {
			t.Error("a token made the gateway panic")
		}
	})
}

func (a *tokenAttack) check(t *testing.T, status int, reason string, got []*received) {
	t.Helper()
	want := a.Status
	if want == 0 {
		want = 401
	}
	switch {
	case a.Accepted && (status != 200 || len(got) != 1):
		t.Errorf("%s: %d %s, and %d requests came through", a.Name, status, reason, len(got))
	case !a.Accepted && len(got) != 0:
		t.Errorf("%s (%s): it came through\n%s", a.Name, a.Source, got[0].head)
	case !a.Accepted && status != want && !(status == 503 && reason == "keys_unavailable") && !(status == 400 && reason == "malformed"):
		t.Errorf("%s: %d %s, want %d", a.Name, status, reason, want)
	case a.Reason != "" && reason != a.Reason:
		t.Errorf("%s: reason %s, want %s", a.Name, reason, a.Reason)
	}
}

// tokenLine writes its requests itself: no library sends all of these fields.
type tokenLine struct{ *target }

func (l *tokenLine) ask(a *tokenAttack, token string) (status int, reason string) {
	method, path, field := a.Method, a.Path, a.Authorization
	if method == "" {
		method = "GET"
	}
	if path == "" {
		path = "/api/1"
	}
	if field == "" {
		field = "Bearer {t}"
	}
	field = strings.ReplaceAll(field, "{t}", token)
	answer := l.exchange(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: attack.test\r\nAccept: application/problem+json\r\nAuthorization: %s\r\nConnection: close\r\n\r\n", method, path, field))
	_, _ = fmt.Sscanf(answer, "HTTP/1.1 %d", &status)
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	var problem struct{ Reason string }
	_ = json.Unmarshal([]byte(body), &problem)
	if problem.Reason == "" { // a head that could not be read does not say in which form it wants its refusal
		problem.Reason = map[int]string{400: "malformed", 431: "head_too_large"}[status]
	}
	return status, problem.Reason
}
