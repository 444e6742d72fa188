package conformance_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/gate"
)

// TestDrainLosesNothing: under a load of POSTs, over new and kept-alive
// connections and HTTP/2, each request is either answered or was never taken:
// its connection could not be opened, or was closed before the request was
// written to it.
func TestDrainLosesNothing(t *testing.T) { inBothLanes(t, checkDrainLosesNothing) }

func checkDrainLosesNothing(t *testing.T, l lane) {
	var served atomic.Int64
	r := newRig(t, l, rigConfig{upstream: service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		served.Add(1)
		io.WriteString(w, "ok")
	}))})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var answered atomic.Int64
	var posters sync.WaitGroup
	for range 8 {
		posters.Go(func() {
			for ctx.Err() == nil {
				if !postUntilClosed(t, r.plain, &answered) {
					return // the listener has closed
				}
			}
		})
	}
	h2 := r.http2()[1]
	for range 2 {
		posters.Go(func() {
			for ctx.Err() == nil {
				res, err := h2.Do(h2.request(t, "POST", "/open/x", strings.NewReader("body")))
				if err != nil {
					if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "dial" {
						t.Errorf("HTTP/2: %v", err)
					}
					return
				}
				if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || string(text) != "ok" {
					t.Errorf("HTTP/2: %s %q %v", res.Status, text, err)
				}
				res.Body.Close()
				answered.Add(1)
			}
		})
	}
	waitFor(t, "load", func() bool { return answered.Load() > 200 })
	if err := r.port.Drain(t.Context(), dataport.Grace{Delay: 200 * time.Millisecond, Work: 5 * time.Second}); err != nil {
		t.Errorf("Drain: %v", err)
	}
	stop()
	posters.Wait()
	if served.Load() != answered.Load() {
		t.Errorf("the service did %d, the clients were told of %d", served.Load(), answered.Load())
	}
	if n := r.port.Connections(); n.New+n.Active+n.Idle+n.Tunnel != 0 {
		t.Errorf("left over: %+v", n)
	}
}

// postUntilClosed posts over one connection until the gateway asks it to close;
// false means that it could not be opened.
func postUntilClosed(t *testing.T, address string, answered *atomic.Int64) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer c.Close()
	b := bufio.NewReader(c)
	for {
		if _, err := io.WriteString(c, "POST /open/x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody"); err != nil {
			return true
		}
		res, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Errorf("a POST was lost: %v", err)
			return true
		}
		if text, err := io.ReadAll(res.Body); err != nil || string(text) != "ok" || res.StatusCode != 200 {
			t.Errorf("%s %q %v", res.Status, text, err)
		}
		answered.Add(1)
		if res.Close {
			return true
		}
	}
}

// TestDrainSteps: what each kind of connection is told, and when.
func TestDrainSteps(t *testing.T) { inBothLanes(t, checkDrainSteps) }

func checkDrainSteps(t *testing.T, l lane) {
	leave := make(chan struct{})
	r := newRig(t, l, rigConfig{upstream: service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/open/slow" {
			<-leave
		}
		io.WriteString(w, "ok")
	}))})
	const get = "GET /open/x HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	idle, slow, fresh := r.wire(t), r.wire(t), r.wire(t)
	send(t, idle, get)
	if res, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil || res.Close {
		t.Fatal(res, err)
	}
	send(t, slow, "GET /open/slow HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	f := r.openFrames(t)
	waitFor(t, "all connections", func() bool {
		n := r.port.Connections()
		return n.New == 1 && n.Idle == 2 && n.Active == 1
	})

	done := make(chan error, 1)
	begun := time.Now()
	go func() {
		done <- r.port.Drain(t.Context(), dataport.Grace{Delay: 300 * time.Millisecond, Work: 10 * time.Second})
	}()
	waitFor(t, "answers that ask to leave", func() bool {
		c := r.wire(t)
		send(t, c, get)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && res.Close && res.StatusCode == 200
	})
	f.head(1, true, ":method", "GET", ":scheme", "http", ":path", "/open/x", ":authority", "shop.test")
	if s := f.await(1, nil); len(s.heads) != 1 || s.heads[0][":status"] != "200" || !s.away && !sawGoAway(f) {
		t.Errorf("HTTP/2 is not told to leave: %+v", s)
	}
	waitFor(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", r.plain)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if n := r.port.Connections(); n.Idle == 0 {
		t.Error("idle connections ended with the listener")
	}
	if n, err := idle.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the idle connection: %d %v", n, err)
	}
	if after := time.Since(begun); after < time.Second {
		t.Errorf("the idle connection ended after %v", after)
	}
	send(t, fresh, get) // accepted long ago, heard of only now
	if res, err := http.ReadResponse(bufio.NewReader(fresh), nil); err != nil || res.StatusCode != 200 || !res.Close {
		t.Errorf("a connection that was accepted: %v %v", res, err)
	}
	select {
	case err := <-done:
		t.Errorf("Drain ended while a request was in hand: %v", err)
	default:
	}
	close(leave)
	if res, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("the slow request: %v %v", res, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Drain: %v", err)
	}
}

func sawGoAway(f *frames) bool {
	s := f.await(99, func(s *streamEnd) bool { return s.away })
	return s.away
}

// TestDrainHasAnEnd: work that does not end is cut, and Drain says so.
func TestDrainHasAnEnd(t *testing.T) { inBothLanes(t, checkDrainHasAnEnd) }

func checkDrainHasAnEnd(t *testing.T, l lane) {
	r := newRig(t, l, rigConfig{upstream: service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))})
	errs := make(chan error, 5)
	for _, c := range r.clients() {
		go func() {
			res, err := c.Do(c.request(t, "GET", "/open/x", nil))
			if err == nil {
				res.Body.Close()
				err = fmt.Errorf("answered %s", res.Status)
			}
			errs <- err
		}()
	}
	waitFor(t, "requests in hand", func() bool { return r.port.Connections().Active == 5 })
	if err := r.port.Drain(t.Context(), dataport.Grace{Work: 100 * time.Millisecond}); !errors.Is(err, dataport.ErrCut) {
		t.Errorf("Drain: %v", err)
	}
	for range 5 {
		if err := <-errs; strings.Contains(err.Error(), "answered 2") {
			t.Error(err)
		}
	}
	for _, x := range r.wait(t, 5) {
		if x.reason != gate.ReasonUpstreamTimeout || x.Status != 504 {
			t.Errorf("recorded as %+v", x)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.port.Drain(ctx, dataport.Grace{Delay: time.Hour}); err != nil {
		t.Errorf("a drained lane drains at once: %v", err)
	}
}
