package main

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/deploy/parts"
	"github.com/scopegate/scopegate/deploy/uvicorn"
)

// pythonService runs the demo's own FastAPI service, taken out of demo.md, against the auth
// server at auth, and returns its URL. Two things are changed: the auth server's address,
// and one signature, because Debian's FastAPI 0.92 knows no Annotated dependencies.
func pythonService(t *testing.T, auth string) string {
	t.Helper()
	demo, err := os.ReadFile(filepath.Join(sharedFolder(), "seed", "demo.md"))
	if err != nil {
		parts.Missing(t, "shared", err.Error())
	}
	uvicorn.Require(t, "fastapi", "jwt", "httpx", "uvicorn", "multipart")
	blocks := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(demo), -1)
	if len(blocks) != 2 {
		t.Fatalf("demo.md has %d blocks of Python, want its router and its dependency", len(blocks))
	}
	signature := regexp.MustCompile(`token: Annotated\[str, Depends\(oauth2_scheme\)\],\s*security_scopes: SecurityScopes`)
	if !signature.MatchString(blocks[1][1]) {
		t.Fatal("has_access in demo.md is not what this test knows how to change")
	}
	dependency := signature.ReplaceAllString(blocks[1][1], "security_scopes: SecurityScopes, token: str = Depends(oauth2_scheme)")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"billing/__init__.py":   "",
		"billing/router.py":     blocks[0][1],
		"billing/dependency.py": strings.ReplaceAll(dependency, "http://localhost:8000", auth),
		"main.py":               "from fastapi import FastAPI\nfrom billing.router import billing_router\napp = FastAPI()\napp.include_router(billing_router)\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return uvicorn.Serve(t, dir, "main:app")
}

func sharedFolder() string {
	if folder := os.Getenv("SCOPEGATE_SHARED"); folder != "" {
		return folder
	}
	return filepath.Join("..", "..", "..", "shared")
}

// TestTheDemosPythonServiceAndTheGatewayAgree gives each kind of token to the demo's
// FastAPI service (PyJWT, no leeway, no audience) and to the gateway that stands in its
// place. Both must give the answer that was measured at the original.
func TestTheDemosPythonServiceAndTheGatewayAgree(t *testing.T) {
	p := start(t, flags{})
	python := pythonService(t, p.auth)
	tokens := issueTokens(t, p)

	const ok, forbidden, invalid, anonymous = 200, 403, 401, 401
	for _, c := range []struct {
		claim, token      string
		get, post, delete int
		detail            string // of every refusal in the row
	}{
		{"read allows reading only", tokens["read"], ok, forbidden, forbidden, "Not enough permissions"},
		{"a token from before the attach has nothing", tokens["before"], forbidden, forbidden, forbidden, "Not enough permissions"},
		{"write was attached later", tokens["read and write"], ok, ok, forbidden, "Not enough permissions"},
		{"narrowed to write at login", tokens["write"], forbidden, ok, forbidden, "Not enough permissions"},
		{"all is expanded when it is issued", tokens["all"], ok, ok, ok, ""},
		{"narrowed to the word all, which no route asks for", tokens["only all"], forbidden, forbidden, forbidden, "Not enough permissions"},
		{"no token", "", anonymous, anonymous, anonymous, "Not authenticated"},
		{"not a token", "not-a-token", invalid, invalid, invalid, "Invalid token"},
		{"another payload under the signature", swapPayload(tokens["before"], tokens["all"]), invalid, invalid, invalid, "Invalid token"},
		{"no signature", tokens["all"][:strings.LastIndex(tokens["all"], ".")+1], invalid, invalid, invalid, "Invalid token"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			for method, want := range map[string]int{"GET": c.get, "POST": c.post, "DELETE": c.delete} {
				for name, base := range map[string]string{"FastAPI": python, "gateway": p.gateway} {
					status, body := p.ask(t, method, base+"/billing/", "", c.token)
					message := `{"message":"` + map[string]string{"GET": "Read", "POST": "Write", "DELETE": "Delete"}[method] + ` billing"}`
					if want != ok {
						message = `{"detail":"` + c.detail + `"}`
					}
					if status != want || body != message {
						t.Errorf("%s %s: %d %s, want %d %s", name, method, status, body, want, message)
					}
				}
			}
		})
	}
}

// issueTokens takes a newcomer through signup, permissions and logins, and returns the
// tokens that came of it by what they may do.
func issueTokens(t *testing.T, p *place) map[string]string {
	t.Helper()
	kept := map[string]string{}
	for _, s := range steps {
		if s.onGateway {
			continue
		}
		status, body := p.take(t, s, kept)
		if status != s.status {
			t.Fatalf("%s: %d %s", s.name, status, body)
		}
		if s.keep == "" {
			continue
		}
		if s.keep == "token" && kept["before"] == "" {
			kept["before"] = regexp.MustCompile(s.want).FindStringSubmatch(body)[1]
		}
		kept[s.keep] = regexp.MustCompile(s.want).FindStringSubmatch(body)[1]
	}
	tokens := map[string]string{"before": kept["before"], "read": kept["token"]}
	grant(t, p, kept, "write")
	tokens["read and write"] = logIn(t, p, "")
	tokens["write"] = logIn(t, p, "example_service.billing.write")
	create(t, p, kept, "delete") // not attached: it comes with all
	grant(t, p, kept, "all")
	tokens["all"] = logIn(t, p, "")
	tokens["only all"] = logIn(t, p, "example_service.billing.all")
	return tokens
}

// create makes a permission of the service.
func create(t *testing.T, p *place, kept map[string]string, action string) {
	t.Helper()
	body := `{"service":"example_service","resource":"billing","action":"` + action + `"}`
	if status, answer := p.ask(t, "POST", p.auth+"/permission/", body, kept["token"]); status != 200 {
		t.Fatalf("create %s: %d %s", action, status, answer)
	}
}

// grant creates a permission and attaches it to the owner role.
func grant(t *testing.T, p *place, kept map[string]string, action string) {
	t.Helper()
	create(t, p, kept, action)
	body := `{"role_id":` + kept["role"] + `,"permission_slug":"example_service.billing.` + action + `"}`
	if status, answer := p.ask(t, "POST", p.auth+"/role/attach-permission", body, kept["token"]); status != 201 {
		t.Fatalf("attach %s: %d %s", action, status, answer)
	}
}

// logIn returns a token of test_user; scope narrows it, "" asks for all that is held.
func logIn(t *testing.T, p *place, scope string) string {
	t.Helper()
	form := url.Values{"username": {"test_user"}, "password": {"test1234@"}, "grant_type": {"password"}, "scope": {scope}}
	status, body := p.ask(t, "POST", p.auth+"/user/login", form.Encode(), "")
	found := regexp.MustCompile(`"access_token":"([^"]+)"`).FindStringSubmatch(body)
	if status != 200 || found == nil {
		t.Fatalf("log in for %q: %d %s", scope, status, body)
	}
	return found[1]
}

// swapPayload puts the claims of one token under the header and signature of another.
func swapPayload(under, claims string) string {
	parts := strings.Split(under, ".")
	parts[1] = strings.Split(claims, ".")[1]
	return strings.Join(parts, ".")
}
