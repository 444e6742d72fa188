package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/authserver/server"
)

// served is a server under Serve, on listeners of its own.
type served struct {
	public, admin string
	stop          context.CancelFunc
	done          chan error
}

func serve(t *testing.T, delay time.Duration) *served {
	t.Helper()
	cfg := server.Defaults()
	cfg.Data, cfg.Issuer, cfg.Password, cfg.DrainDelay = t.TempDir(), "http://localhost:8000", cheap, delay
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	public, admin := listen(t), listen(t)
	ctx, stop := context.WithCancel(context.Background())
	s := &served{public: public.Addr().String(), admin: admin.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- srv.Serve(ctx, public, admin) }()
	t.Cleanup(stop)
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func get(t *testing.T, url string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, req)
}

// TestDrain: not ready, but answering, with Connection: close; then no longer
// listening; what was under way gets its answer.
func TestDrain(t *testing.T) {
	s := serve(t, 700*time.Millisecond)
	if r := get(t, "http://"+s.admin+"/readyz"); r.status != 200 {
		t.Fatalf("not ready: %d", r.status)
	}
	slow, err := net.Dial("tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	body := "username=nobody&password=wrong"
	fmt.Fprintf(slow, "POST /user/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		len(body), body[:10])
	s.stop()
	awaitNotReady(t, s.admin)
	r := get(t, "http://"+s.public+"/.well-known/jwks.json")
	if r.status != 200 {
		t.Errorf("while draining: %d", r.status)
	}
	conn, err := net.Dial("tcp", s.public)
	if err != nil {
		t.Fatalf("stopped listening too early: %v", err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := io.ReadAll(conn) // ends because the server closes
	if err != nil || !strings.Contains(string(answer), "\r\nConnection: close\r\n") {
		t.Errorf("%v %s", err, answer)
	}
	awaitRefused(t, s.public)
	io.WriteString(slow, body[10:])
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil || resp.StatusCode != 401 {
		t.Errorf("request in flight: %v %v", resp, err)
	}
	if err := <-s.done; err != nil {
		t.Errorf("drain: %v", err)
	}
}

func awaitNotReady(t *testing.T, admin string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		if r := get(t, "http://"+admin+"/readyz"); r.status == 503 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("still ready")
		}
	}
}

func awaitRefused(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("still listening")
		}
	}
}

func TestListenerThatFailsEndsServe(t *testing.T) {
	cfg := server.Defaults()
	cfg.Data = t.TempDir()
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	public, admin := listen(t), listen(t)
	public.Close()
	if err := srv.Serve(t.Context(), public, admin); err == nil {
		t.Error("no error")
	}
	if _, err := net.Dial("tcp", admin.Addr().String()); err == nil {
		t.Error("the admin port is still open")
	}
}
