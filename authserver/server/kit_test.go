package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/server"
)

// cheap makes hashing quick; what it costs is tested in package account.
var cheap = account.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}

// site is a running server with its real store, reached over a real socket.
type site struct {
	t     *testing.T
	srv   *server.Server
	url   string
	admin string
	log   *lines
}

// lines is a log that tests can read while the server writes.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func open(t *testing.T, change ...func(*server.Config)) *site {
	t.Helper()
	log := &lines{}
	cfg := server.Defaults()
	cfg.Data = t.TempDir()
	cfg.Issuer = "http://localhost:8000"
	cfg.Password = cheap
	cfg.Log = slog.New(slog.NewJSONHandler(log, nil))
	for _, c := range change {
		c(&cfg)
	}
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	public, admin := httptest.NewServer(srv.DataHandler()), httptest.NewServer(srv.AdminHandler())
	t.Cleanup(func() {
		public.Close()
		admin.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{t: t, srv: srv, url: public.URL, admin: admin.URL, log: log}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) field(t *testing.T, name string) any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(r.body), &members); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return members[name]
}

// call sends a request; header lines are "Name: value".
func (s *site) call(method, path, body string, headers ...string) reply {
	s.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return send(s.t, req)
}

var direct = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{Proxy: nil},
}

func send(t *testing.T, req *http.Request) reply {
	t.Helper()
	resp, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(raw)}
}

const form = "Content-Type: application/x-www-form-urlencoded"

// signup makes an organization named after its user.
func (s *site) signup(user string) (userID, orgID string) {
	s.t.Helper()
	r := s.call("POST", "/user/signup", signupBody(user))
	if r.status != 200 {
		s.t.Fatalf("signup %s: %d %s", user, r.status, r.body)
	}
	return r.field(s.t, "user_id").(string), r.field(s.t, "org_id").(string)
}

func signupBody(user string) string {
	return fmt.Sprintf(`{"user":{"username":%q,"password":"test1234@","primary_email":"%s@example.com"},`+
		`"org":{"name":"%s_org","domain":"example.example.come","type":"teams","mfa_enabled":false}}`, user, user, user)
}

// login returns the Authorization line of a fresh token.
func (s *site) login(user string, scopes ...string) string {
	s.t.Helper()
	r := s.tryLogin(user, "test1234@", scopes...)
	if r.status != 200 {
		s.t.Fatalf("login %s: %d %s", user, r.status, r.body)
	}
	return "Authorization: Bearer " + r.field(s.t, "access_token").(string)
}

func (s *site) tryLogin(user, password string, scopes ...string) reply {
	s.t.Helper()
	return s.call("POST", "/user/login", url.Values{
		"username": {user}, "password": {password}, "grant_type": {"password"}, "scope": {strings.Join(scopes, " ")},
	}.Encode(), form)
}

// role returns the id of a role of the caller's organization.
func (s *site) role(auth, name string) int {
	s.t.Helper()
	r := s.call("GET", "/role/", "", auth)
	var roles []struct {
		ID   int
		Name string
	}
	if err := json.Unmarshal([]byte(r.body), &roles); err != nil {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	for _, role := range roles {
		if role.Name == name {
			return role.ID
		}
	}
	s.t.Fatalf("no role %s in %s", name, r.body)
	return 0
}

func (s *site) permission(auth, service, resource, action string) reply {
	s.t.Helper()
	return s.call("POST", "/permission/",
		fmt.Sprintf(`{"service":%q,"resource":%q,"action":%q,"description":"a test"}`, service, resource, action), auth)
}

func (s *site) attach(auth string, role int, slug string) reply {
	s.t.Helper()
	return s.call("POST", "/role/attach-permission", fmt.Sprintf(`{"role_id":%d,"permission_slug":%q}`, role, slug), auth)
}

// want fails unless an answer has the status and, if given, the detail.
func want(t *testing.T, what string, r reply, status int, detail string) {
	t.Helper()
	if r.status != status {
		t.Errorf("%s: %d %s, want %d", what, r.status, r.body, status)
		return
	}
	if detail != "" && r.field(t, "detail") != detail {
		t.Errorf("%s: detail %v, want %q", what, r.field(t, "detail"), detail)
	}
}

// raw sends bytes as they are and returns everything that comes back.
func (s *site) raw(request string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(answer)
}
