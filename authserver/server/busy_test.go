package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/server"
)

// TestFullHashQueueIs503 fills one network's quarter of the queue for real: the
// next login of that network is told at once to come back, and another network
// still gets its turn.
func TestFullHashQueueIs503(t *testing.T) {
	s := open(t, func(c *server.Config) {
		c.Password = account.Params{MemoryKiB: 32 << 10, Passes: 4, Lanes: 1} // slow enough to stand in line for
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	ctx, leave := context.WithCancel(t.Context())
	login := func(ctx context.Context, user, from string) (*http.Response, error) {
		body := url.Values{"username": {user}, "password": {"wrong"}}.Encode()
		req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/user/login", strings.NewReader(body))
		if err != nil {
			t.Error(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", from)
		resp, err := direct.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	const quarter = 64
	answers := make(chan *http.Response, 2*quarter)
	var flood sync.WaitGroup
	for i := range 2 * quarter {
		flood.Go(func() {
			if resp, err := login(ctx, fmt.Sprintf("user%d", i), fmt.Sprintf("198.51.100.%d", i)); err == nil {
				answers <- resp
			}
		})
	}
	for range quarter / 2 {
		resp := <-answers // at once: nobody hashes 64 times in the meantime
		if resp.StatusCode == http.StatusUnauthorized {
			continue
		}
		after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != http.StatusServiceUnavailable || err != nil || after < 1 {
			t.Fatalf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	resp, err := login(t.Context(), "somebody", "203.0.113.1")
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("another network: %v %v", resp, err)
	}
	leave() // who goes away gives up the place in line
	flood.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(get(t, s.admin+"/metrics").body, "scopegate_authserver_hash_queue_depth 0\n") {
		if time.Now().After(deadline) {
			t.Fatal("clients that went away still stand in the queue")
		}
	}
	if !strings.Contains(s.log.String(), `"status":503,"reason":"busy"`) {
		t.Error("no line for a busy answer in the log")
	}
}

// TestMethods: 405 names the methods that there are, on both spellings, for
// OPTIONS too, as FastAPI answers.
func TestMethods(t *testing.T) {
	s := open(t)
	for path, allow := range map[string]string{
		"/user/login": "POST", "/user/signup": "POST", "/permission/": "POST", "/role/attach-permission": "POST",
		"/user/me": "GET, HEAD", "/role/": "GET, HEAD", "/.well-known/jwks.json": "GET, HEAD",
	} {
		bare := strings.TrimSuffix(path, "/")
		for _, spelling := range []string{bare, bare + "/"} {
			for _, method := range []string{"OPTIONS", "PUT", "DELETE", "TRACE", "BREW"} {
				r := s.call(method, spelling, "")
				want(t, method+" "+spelling, r, 405, "Method Not Allowed")
				if got := r.header.Get("Allow"); got != allow {
					t.Errorf("%s %s: Allow %q, want %q", method, spelling, got, allow)
				}
			}
		}
		want(t, "an unknown neighbour", s.call("OPTIONS", bare+"/x/y", ""), 404, "Not Found")
	}
}
