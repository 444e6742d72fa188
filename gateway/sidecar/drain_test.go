package sidecar_test

import (
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

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// load is a number of clients that POST over kept-alive connections as fast as they can.
type load struct {
	answered atomic.Int64
	mu       sync.Mutex
	lost     []string
	clients  sync.WaitGroup
}

// run sends until ctx ends or the port refuses connections. An answer other than 200, or a
// request that was sent and not answered, is a loss.
func (l *load) run(ctx context.Context, url, token string, clients int) {
	for c := range clients {
		l.clients.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf("client %d request %d", c, n)
				r, _ := http.NewRequestWithContext(context.WithoutCancel(ctx), "POST", url, strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+token)
				res, err := transport.RoundTrip(r)
				if refused(err) {
					return
				}
				l.judge(res, err, body)
			}
		})
	}
}

// refused: nothing was sent, and the client knows it.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (l *load) judge(res *http.Response, err error, body string) {
	if err == nil {
		var got []byte
		got, err = io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil && (res.StatusCode != 200 || string(got) != "service: "+body) {
			err = fmt.Errorf("%d %s", res.StatusCode, got)
		}
	}
	if err == nil {
		l.answered.Add(1)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, err.Error())
}

func (l *load) check(t *testing.T, w *world) {
	t.Helper()
	l.clients.Wait()
	if len(l.lost) > 0 {
		t.Errorf("%d of %d lost, the first: %s", len(l.lost), l.answered.Load(), l.lost[0])
	}
	if l.answered.Load() == 0 {
		t.Error("nothing was answered")
	}
	if got := w.served.Load(); got != l.answered.Load() {
		t.Errorf("the service saw %d requests, the clients %d answers", got, l.answered.Load())
	}
}

// Ten reloads and then a drain, under the load of sixteen clients: every request that was
// sent is answered by the service, exactly once.
func TestReloadsAndADrainLoseNothing(t *testing.T) {
	reloads := 10
	if testing.Short() {
		reloads = 3
	}
	w := newWorld(t)
	w.ready()
	token := w.issuer.token(t, "example_service.billing.write", nil)
	var l load
	l.run(t.Context(), w.data+"/billing/", token, 16)
	w.eventually("load", func() bool { return l.answered.Load() > 100 })
	for i := range reloads {
		before := l.answered.Load()
		w.write("policies/billing.yaml", fmt.Sprintf("%s# change %d\n", worldPolicy, i))
		if !w.reloaded() {
			t.Fatalf("refused:\n%s", w.log)
		}
		w.eventually("more load", func() bool { return l.answered.Load() > before+50 })
	}
	w.stop()
	if err := <-w.ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	l.check(t, w)
	if got := int64(len(w.log.lines(t))); got+dropped(w) != l.answered.Load() {
		t.Errorf("%d lines in the log for %d requests", got, l.answered.Load())
	}
}

func dropped(w *world) int64 {
	families, err := w.gateway.Registry().Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "scopegate_gateway_log_dropped_total" {
			return int64(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return 0
}

// The order of a drain: readiness turns at once, the port stays open for drain_delay and
// answers with Connection: close, and never with 503; then it closes.
func TestTheOrderOfADrain(t *testing.T) {
	w := newWorld(t)
	w.write("gateway.yaml", strings.Replace(w.config(""), "drain_delay: 0s", "drain_delay: 1s", 1))
	w.ready()
	if got := w.get(w.data+"/healthz", ""); got.header.Get("Connection") != "" {
		t.Errorf("before: %v", got.header)
	}
	w.stop()
	w.eventually("not ready", func() bool { return w.get(w.admin+"/readyz", "").status == 503 })
	if body := w.get(w.admin+"/readyz", "").body; !strings.Contains(body, "draining") {
		t.Errorf("readyz: %s", body)
	}
	for range 3 {
		got, closing := w.closing("/healthz")
		if got != 200 || !closing {
			t.Errorf("while draining: %d, Connection: close %t", got, closing)
		}
	}
	if err := <-w.ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(w.data, "http://")); err == nil {
		t.Error("the port is still open")
	}
}

// closing returns an answer's status, and whether it says that the connection ends.
func (w *world) closing(path string) (int, bool) {
	w.t.Helper()
	r, _ := http.NewRequestWithContext(w.t.Context(), "GET", w.data+path, nil)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode, res.Close
}

// A request that the service is still working on when the drain begins gets its answer.
func TestADrainWaitsForWorkInFlight(t *testing.T) {
	w := newWorld(t)
	working, finish := make(chan struct{}), make(chan struct{})
	w.service.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		close(working)
		<-finish
		_, _ = io.WriteString(rw, "done")
	})
	w.ready()
	got := make(chan answer, 1)
	go func() { got <- w.get(w.data+"/healthz", "") }()
	<-working
	w.stop()
	w.eventually("not ready", func() bool { return w.get(w.admin+"/readyz", "").status == 503 })
	close(finish)
	if a := <-got; a.status != 200 || a.body != "done" {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	if err := <-w.ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// Work that takes longer than drain_timeout is cut off, and Serve says so.
func TestADrainHasItsLimit(t *testing.T) {
	w := newWorld(t)
	working, finish := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(finish) })
	w.service.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		close(working)
		<-finish
	})
	w.write("gateway.yaml", w.config("drain_timeout: 50ms\n"))
	w.ready()
	go func() {
		r, _ := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", w.data+"/healthz", nil)
		if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
			res.Body.Close()
		}
	}()
	<-working
	w.stop()
	select {
	case err := <-w.ended:
		if err == nil {
			t.Error("serve reports an orderly end")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the drain does not end")
	}
}

func TestServeFailsWhenAListenerDoes(t *testing.T) {
	for _, which := range []string{"data", "admin"} {
		t.Run(which, func(t *testing.T) {
			w := newWorld(t)
			g, err := sidecar.New(mustLoad(t, sidecar.Source{File: w.dir + "/gateway.yaml"}), w.log)
			if err != nil {
				t.Fatal(err)
			}
			data, admin := listen(t), listen(t)
			if which == "data" {
				data.Close()
			} else {
				admin.Close()
			}
			if err := g.Serve(t.Context(), data, admin); err == nil || !strings.Contains(err.Error(), which+" port") {
				t.Errorf("serve: %v", err)
			}
			data.Close()
			admin.Close()
		})
	}
}
