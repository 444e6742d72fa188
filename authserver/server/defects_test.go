package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests of this file bear the names of defects that the server which the
// demo was written for had, and of the attacks on its design.

func TestAttachToARoleOfAnotherOrganizationIs404(t *testing.T) {
	s := open(t)
	s.signup("victim")
	s.signup("attacker")
	victim, attacker := s.login("victim"), s.login("attacker")
	want(t, "own permission", s.permission(attacker, "evil_service", "billing", "read"), 200, "")
	for _, name := range []string{"owner", "admin", "user"} {
		foreign := s.role(victim, name)
		want(t, "foreign role "+name, s.attach(attacker, foreign, "evil_service.billing.read"),
			404, fmt.Sprintf("Role with id %d not found", foreign))
	}
	want(t, "missing role", s.attach(attacker, 99999, "evil_service.billing.read"), 404, "Role with id 99999 not found")
	for _, auth := range []string{victim, s.login("victim")} {
		if strings.Contains(fmt.Sprint(scopesOf(t, auth)), "evil") {
			t.Error("the victim's token holds the attacker's scope")
		}
	}
}

// TestSquatting: anybody may sign up; nobody may make the scopes of somebody
// else's service, which is what its gateway would believe.
func TestSquatting(t *testing.T) {
	s := open(t)
	s.signup("company")
	s.signup("attacker")
	company, attacker := s.login("company"), s.login("attacker")
	want(t, "the company's", s.permission(company, "example_service", "billing", "read"), 200, "")
	for _, action := range []string{"read", "delete", "all"} {
		want(t, "attacker's "+action, s.permission(attacker, "example_service", "billing", action),
			403, "Service 'example_service' belongs to another organization")
		want(t, "attach of "+action, s.attach(attacker, s.role(attacker, "owner"), "example_service.billing."+action), 404, "")
	}
	for _, name := range []string{
		"auth", "oauth", "openid", "system", "admin", "internal", // and what reads like them:
		"auth_", "auth-", "o_auth", "o-auth", "open-id", "sys__tem", "a-d-m-i-n_",
	} {
		want(t, "reserved "+name, s.permission(attacker, name, "user", "all"), 403, "Service name '"+name+"' is reserved")
	}
	if got := fmt.Sprint(scopesOf(t, s.login("attacker"))); strings.Contains(got, "example_service") {
		t.Errorf("attacker holds %s", got)
	}
}

func TestNamesThatMakeOneSlugOfTwoAreRefused(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	auth := s.login("test_user")
	for _, name := range []string{"a.b", "", "A", "ä", "a b", `a"b`, "а", "1a", "-a", "a/b", strings.Repeat("a", 64), "a\n"} {
		want(t, fmt.Sprintf("service %q", name), s.permission(auth, name, "billing", "read"), 422, "")
		want(t, fmt.Sprintf("resource %q", name), s.permission(auth, "fine", name, "read"), 422, "")
		want(t, fmt.Sprintf("action %q", name), s.permission(auth, "fine", "billing", name), 422, "")
	}
}

func TestServiceHasNoDefault(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	r := s.call("POST", "/permission/", `{"resource":"user","action":"all"}`, s.login("test_user"))
	want(t, "no service", r, 422, "")
}

func TestNoAnswerHoldsAPasswordHash(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	auth := s.login("test_user")
	for _, r := range []reply{
		s.call("GET", "/user/me", "", auth), s.call("GET", "/role/", "", auth),
		s.call("POST", "/user/signup", signupBody("test_user")), s.tryLogin("test_user", "wrong"),
	} {
		for _, secret := range []string{"argon2", "$", "test1234", "password_"} {
			if strings.Contains(r.body, secret) {
				t.Errorf("%q in %s", secret, r.body)
			}
		}
	}
}

// TestLogHoldsNoSecret looks for every secret of a whole conversation.
func TestLogHoldsNoSecret(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	auth := s.login("test_user")
	access := strings.TrimPrefix(auth, "Authorization: Bearer ")
	s.call("GET", "/user/me?access_token="+access, "", auth, "Cookie: a=cookie-secret")
	s.call("POST", "/user/login?password=test1234@", "username=test_user&password=wrong-secret", form)
	s.call("POST", "/user/signup", `{"user":{"username":7,"password":"malformed-secret"}}`)
	s.call("GET", "/"+strings.Repeat("long", 2000), "")
	log := s.log.String()
	for _, secret := range []string{access, strings.Split(access, ".")[2], "test1234", "wrong-secret", "malformed-secret", "cookie-secret", "argon2"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	for line := range strings.Lines(log) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || len(line) > 2000 {
			t.Errorf("log line of %d bytes: %v", len(line), err)
		}
	}
	if !strings.Contains(log, `"route":"/user/me","status":200`) {
		t.Errorf("no request line in %s", log)
	}
}

// TestUnknownInactiveAndWrongLookAlike compares answers, and counts hashing
// instead of measuring time.
func TestUnknownUserCostsOneHashingToo(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	var first reply
	for i, user := range []string{"test_user", "nobody", "nobody-else", ""} {
		before := hashings(t, s)
		r := s.tryLogin(user, "wrong password")
		if user == "" {
			want(t, "no user", r, 422, "")
			continue
		}
		if got := hashings(t, s) - before; got != 1 {
			t.Errorf("%s: %d hashings, want 1", user, got)
		}
		want(t, user, r, 401, "Incorrect username or password")
		r.header.Del("X-Request-Id")
		r.header.Del("Date")
		if i == 0 {
			first = r
		} else if fmt.Sprint(r) != fmt.Sprint(first) {
			t.Errorf("%s: %v differs from %v", user, r, first)
		}
	}
	if first.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("challenge: %v", first.header)
	}
}

func hashings(t *testing.T, s *site) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(scrape(t, s)) {
		if rest, ok := strings.CutPrefix(line, `scopegate_authserver_hash_wait_seconds_count{queue="login"} `); ok {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

func TestIssuedAtIsNotInTheFuture(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	claims := claimsOf(t, s.login("test_user"))
	iat, exp := claims["iat"].(float64), claims["exp"].(float64)
	if now := float64(time.Now().UnixMilli()) / 1000; iat > now || exp-iat != 600 || iat != float64(int64(iat)) {
		t.Errorf("iat %f exp %f at %f", iat, exp, now)
	}
	for _, name := range []string{"aud", "nbf"} {
		if _, there := claims[name]; there {
			t.Errorf("claim %s is there", name)
		}
	}
}

func TestRepeatsAre409(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	want(t, "same name", s.call("POST", "/user/signup", signupBody("test_user")), 409, "Username is already taken")
	want(t, "same name in another case", s.call("POST", "/user/signup", signupBody("Test_User")), 409, "Username is already taken")
	auth := s.login("test_user")
	want(t, "permission", s.permission(auth, "example_service", "billing", "read"), 200, "")
	want(t, "permission again", s.permission(auth, "example_service", "billing", "read"), 409, "")
	for range 2 {
		want(t, "attach", s.attach(auth, s.role(auth, "owner"), "example_service.billing.read"), 201, "")
	}
}

// TestTwoSignupsOfOneName: at the same moment, and one of them wins.
func TestTwoSignupsOfOneName(t *testing.T) {
	s := open(t)
	statuses := make([]int, 8)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() { statuses[i] = s.call("POST", "/user/signup", signupBody("test_user")).status })
	}
	wg.Wait()
	won := 0
	for _, status := range statuses {
		switch status {
		case 200:
			won++
		case 409:
		default:
			t.Errorf("status %d", status)
		}
	}
	if won != 1 {
		t.Errorf("%d signups won", won)
	}
}

// TestAttachThenLoginAgain: the scope is in the very next token, and "all"
// has become the actions that it stands for.
func TestAttachThenLoginAgain(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	auth := s.login("test_user")
	owner := s.role(auth, "owner")
	for i := range 10 {
		action := fmt.Sprintf("action%d", i)
		want(t, action, s.permission(auth, "example_service", "billing", action), 200, "")
		want(t, action, s.attach(auth, owner, "example_service.billing."+action), 201, "")
		if got := fmt.Sprint(scopesOf(t, s.login("test_user"))); !strings.Contains(got, "example_service.billing."+action) {
			t.Fatalf("%s is not in %s", action, got)
		}
	}
	want(t, "write", s.permission(auth, "example_service", "ledger", "write"), 200, "")
	want(t, "all", s.permission(auth, "example_service", "ledger", "all"), 200, "")
	want(t, "attach all", s.attach(auth, owner, "example_service.ledger.all"), 201, "")
	if got := fmt.Sprint(scopesOf(t, s.login("test_user"))); !strings.Contains(got, "example_service.ledger.write") {
		t.Errorf("all does not reach write: %s", got)
	}
}

func TestMFAThatDoesNotExistIsNotAccepted(t *testing.T) {
	s := open(t)
	r := s.call("POST", "/user/signup", strings.Replace(signupBody("test_user"), `"mfa_enabled":false`, `"mfa_enabled":true`, 1))
	want(t, "signup", r, 422, "")
	if !strings.Contains(r.body, `"msg":"Second factors are not available yet"`) {
		t.Error(r.body)
	}
	want(t, "login", s.tryLogin("test_user", "test1234@"), 401, "")
}

// TestMassAssignment: members that nobody asked for change nothing.
func TestMassAssignment(t *testing.T) {
	s := open(t)
	_, victimOrg := s.signup("victim")
	r := s.call("POST", "/user/signup", `{"user":{"username":"attacker","password":"test1234@","primary_email":"a@example.com",`+
		`"id":"x","org_id":"`+victimOrg+`","role":"owner","is_active":false},"org":{"id":"`+victimOrg+`","name":"o","domain":"d"},"org_id":"`+victimOrg+`"}`)
	want(t, "signup", r, 200, "")
	if r.field(t, "org_id") == victimOrg {
		t.Error("the attacker joined the victim's organization")
	}
	auth := s.login("attacker")
	r = s.call("POST", "/permission/", `{"service":"mine","resource":"r","action":"read","id":1,"org_id":"`+victimOrg+`","slug":"auth.user.all"}`, auth)
	want(t, "permission", r, 200, "")
	if r.field(t, "org_id") == victimOrg || r.field(t, "slug") != "mine.r.read" {
		t.Error(r.body)
	}
}

func TestBearerCredentials(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	auth := s.login("test_user")
	access := strings.TrimPrefix(auth, "Authorization: Bearer ")
	const missing, invalid = `Bearer`, `Bearer error="invalid_token"`
	for _, c := range []struct {
		what      string
		headers   []string
		detail    string
		challenge string
	}{
		{"none", nil, "Not authenticated", missing},
		{"Basic", []string{"Authorization: Basic dGVzdDp0ZXN0"}, "Not authenticated", missing},
		{"only the scheme", []string{"Authorization: Bearer"}, "Could not validate credentials", invalid},
		{"garbage", []string{"Authorization: Bearer garbage"}, "Could not validate credentials", invalid},
		{"two tokens in one field", []string{auth + " " + access}, "Could not validate credentials", invalid},
		{"two fields", []string{auth, auth}, "Could not validate credentials", invalid},
		{"changed", []string{auth[:len(auth)-2]}, "Could not validate credentials", invalid},
		{"in a cookie", []string{"Cookie: access_token=" + access}, "Not authenticated", missing},
	} {
		// The bad body does not matter: who calls is judged first.
		for _, call := range [][2]string{{"GET", "/user/me"}, {"GET", "/role/"}, {"POST", "/permission/"}, {"POST", "/role/attach-permission"}} {
			r := s.call(call[0], call[1], "{bad", c.headers...)
			want(t, c.what+" at "+call[1], r, 401, c.detail)
			if got := r.header.Get("WWW-Authenticate"); got != c.challenge {
				t.Errorf("%s: challenge %q, want %q", c.what, got, c.challenge)
			}
		}
	}
	want(t, "in the query", s.call("GET", "/user/me?access_token="+access, ""), 401, "Not authenticated")
}

// TestHostDecidesNothing: no issuer and no address is built from what a
// client sends.
func TestHostDecidesNothing(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	evil := []string{"Host: evil.example", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: host=evil.example"}
	r := s.call("GET", "/.well-known/oauth-authorization-server", "", evil...)
	if want := `{"issuer":"http://localhost:8000","jwks_uri":"http://localhost:8000/.well-known/jwks.json",` +
		`"response_types_supported":[],"grant_types_supported":[]}`; r.body != want {
		t.Errorf("metadata %s", r.body)
	}
	r = s.call("POST", "/user/login", "username=test_user&password=test1234%40", append(evil, form)...)
	if iss := claimsOf(t, "Authorization: Bearer "+r.field(t, "access_token").(string))["iss"]; iss != "http://localhost:8000" {
		t.Errorf("iss %v", iss)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	big := `{"user":{"username":"` + strings.Repeat("a", 70<<10) + `"}}`
	want(t, "signup", s.call("POST", "/user/signup", big), 413, "Request body is larger than 64 KiB")
	want(t, "login", s.call("POST", "/user/login", "username=a&password="+strings.Repeat("a", 70<<10), form), 413, "")
	want(t, "permission", s.call("POST", "/permission/", big, s.login("test_user")), 413, "")
	deep := strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)
	want(t, "deep", s.call("POST", "/user/signup", deep[:60<<10]), 422, "")
	want(t, "long password", s.tryLogin("test_user", strings.Repeat("a", 5000)), 401, "Incorrect username or password")
}

// TestJWKSIsCacheable: and never throttled, since without keys a verifier
// refuses everybody.
func TestJWKSIsCacheable(t *testing.T) {
	s := open(t)
	r := s.call("GET", "/.well-known/jwks.json", "", "Origin: https://app.example")
	etag := r.header.Get("ETag")
	if r.status != 200 || r.header.Get("Cache-Control") != "public, max-age=300" || r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", r.status, r.header)
	}
	for match, status := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200} {
		got := s.call("GET", "/.well-known/jwks.json", "", "If-None-Match: "+match)
		if got.status != status || status == 304 && (got.body != "" || got.header.Get("ETag") != etag) {
			t.Errorf("If-None-Match %s: %d %q", match, got.status, got.body)
		}
	}
	for range 500 {
		if got := s.call("GET", "/.well-known/jwks.json", ""); got.status != 200 {
			t.Fatalf("throttled: %d", got.status)
		}
	}
}

// TestWrongPasswordsSlowAndNeverLock: the right password from elsewhere still
// works, and a forged X-Forwarded-For buys no new budget.
func TestWrongPasswordsSlowAndNeverLock(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	var last reply
	for i := range 200 {
		last = s.call("POST", "/user/login", "username=test_user&password=wrong", form, fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", i))
		if last.status == 429 {
			break
		}
	}
	want(t, "flood", last, 429, "Too many attempts")
	if last.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if !strings.Contains(s.log.String(), "trusted_proxies is empty") {
		t.Error("no warning about the proxy")
	}
}
