package server_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// claimsOf reads a token's claims without verifying it.
func claimsOf(t *testing.T, access string) map[string]any {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(access, "Authorization: Bearer "), ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func scopesOf(t *testing.T, access string) (scopes []string) {
	t.Helper()
	list, ok := claimsOf(t, access)["scopes"].([]any)
	if !ok {
		t.Fatal("scopes is no array")
	}
	for _, s := range list {
		scopes = append(scopes, s.(string))
	}
	return scopes
}

func TestScopeNarrows(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	for asked, want := range map[string]string{
		"auth.user.read":                         "auth.user.read",
		"auth.user.read  auth.role.read":         "auth.role.read auth.user.read",
		"auth.user.read example_service.no.such": "auth.user.read",
		"auth.user.read\tauth.user.read":         "auth.user.read",
	} {
		auth := s.login("test_user", asked)
		if got := strings.Join(scopesOf(t, auth), " "); got != want || claimsOf(t, auth)["scope"] != want {
			t.Errorf("scope=%q: got %q, want %q", asked, got, want)
		}
	}
	want(t, "nothing of it held", s.tryLogin("test_user", "test1234@", "example_service.no.such"), 403, "Requested scopes not granted")
}

// TestNarrowTokenStaysNarrow: live rights alone do not count; what the token
// says counts too.
func TestNarrowTokenStaysNarrow(t *testing.T) {
	s := open(t)
	s.signup("test_user")
	narrow := s.login("test_user", "auth.user.read")
	want(t, "me", s.call("GET", "/user/me", "", narrow), 200, "")
	r := s.call("GET", "/role/", "", narrow)
	want(t, "roles", r, 403, "Not enough permissions")
	if got := r.header.Get("WWW-Authenticate"); got != `Bearer error="insufficient_scope", scope="auth.role.read"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	// Judged before the body: a bad body does not tell more than 403.
	want(t, "permission", s.call("POST", "/permission/", "{", narrow), 403, "Not enough permissions")
	want(t, "attach", s.call("POST", "/role/attach-permission", "", narrow), 403, "Not enough permissions")
}
