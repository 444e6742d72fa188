package server_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDrainUnderLoadLosesNothing: clients that connect without a pause get their
// answer, or find the port closed; nobody is cut off in between.
func TestDrainUnderLoadLosesNothing(t *testing.T) {
	s := serve(t, 0)
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport}
	form := url.Values{"username": {"nobody"}, "password": {"wrong"}}.Encode()
	var clients sync.WaitGroup
	begun := make(chan struct{}, 12)
	for i := range cap(begun) {
		clients.Go(func() {
			for n := 0; ; n++ {
				req, _ := http.NewRequest("GET", "http://"+s.public+"/.well-known/jwks.json", nil)
				if i%4 == 0 {
					req, _ = http.NewRequest("POST", "http://"+s.public+"/user/login", strings.NewReader(form))
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				resp, err := client.Do(req)
				if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
					return // nothing was sent, and the client knows
				}
				if err != nil {
					t.Errorf("lost: %v", err)
					return
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode >= 500 {
					t.Errorf("status %d, %v", resp.StatusCode, err)
				}
				resp.Body.Close()
				if n == 20 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range cap(begun) / 2 {
		<-begun
	}
	s.stop()
	clients.Wait()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// TestDrainWaitsForASlowHead: http.Server.Shutdown alone drops a request whose
// head it has not read to the end when it begins.
func TestDrainWaitsForASlowHead(t *testing.T) {
	s := serve(t, 0)
	conn, err := net.Dial("tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /.well-known/jwks.json HTTP/1.1\r\n")
	s.stop()
	awaitRefused(t, s.public)
	select { // longer than the grace for idle connections
	case err := <-s.done:
		t.Fatalf("drained without the request: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	io.WriteString(conn, "Host: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%v %v", resp, err)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}
