package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/gate"
)

func TestBodyLimit(t *testing.T) { inBothLanes(t, checkBodyLimit) }

func checkBodyLimit(t *testing.T, l lane) {
	up := service(t, "http", echo())
	up.BodyMax = 1000
	r := newRig(t, l, rigConfig{upstream: up})
	for _, c := range r.clients() {
		t.Run(c.name, func(t *testing.T) {
			for name, body := range map[string]io.Reader{
				"declared": strings.NewReader(strings.Repeat("x", 1001)),
				"chunked":  io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))),
			} {
				if res, text := c.ask(t, "POST", "/open/x", body); res.StatusCode != 413 || text != `{"detail":"Request Entity Too Large"}` {
					t.Errorf("%s: %s %s", name, res.Status, text)
				}
			}
			if s := c.see(t, "POST", "/open/x", strings.NewReader(strings.Repeat("x", 1000))); len(s.Body) != 1000 {
				t.Errorf("%d bytes of 1000 arrived", len(s.Body))
			}
		})
	}
}

func TestHeadLimit(t *testing.T) { inBothLanes(t, checkHeadLimit) }

func checkHeadLimit(t *testing.T, l lane) {
	up := service(t, "http", echo())
	up.HeadMax = 4 << 10
	r := newRig(t, l, rigConfig{upstream: up, headMax: 16 << 10})
	for _, c := range r.clients() {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{5 << 10, 20 << 10} {
				if res, _ := c.ask(t, "GET", "/open/x", nil, "X-A: "+strings.Repeat("a", size)); res.StatusCode != 431 {
					t.Errorf("a field of %d bytes: %s", size, res.Status)
				}
				if res, _ := c.ask(t, "GET", "/open/"+strings.Repeat("a", size), nil); res.StatusCode != 414 {
					t.Errorf("a target of %d bytes: %s", size, res.Status)
				}
			}
			if res, _ := c.ask(t, "GET", "/open/x", nil, "X-A: "+strings.Repeat("a", 3<<10)); res.StatusCode != 200 {
				t.Errorf("below the limit: %s", res.Status)
			}
		})
	}
}

// TestLimitsOfAService: what is one too many is 503 at once, and nobody waits in a queue.
func TestLimitsOfAService(t *testing.T) {
	for name, limit := range map[string]func(*rigConfig){
		"in_flight":   func(c *rigConfig) { c.inFlight = 1 },
		"connections": func(c *rigConfig) { c.upstream.MaxConns = 1 },
	} {
		t.Run(name, func(t *testing.T) { inBothLanes(t, func(t *testing.T, l lane) { checkLimitOfAService(t, l, limit) }) })
	}
}

func checkLimitOfAService(t *testing.T, l lane, limit func(*rigConfig)) {
	entered, leave := make(chan struct{}), make(chan struct{})
	config := rigConfig{upstream: service(t, "http", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-leave
	}))}
	limit(&config)
	c := newRig(t, l, config).clients()[0]
	first := make(chan error)
	go func() {
		res, err := c.Do(c.request(t, "GET", "/open/x", nil))
		if err == nil {
			res.Body.Close()
		}
		first <- err
	}()
	<-entered
	if res, _ := c.ask(t, "GET", "/open/x", nil); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Error(res.Status, res.Header)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	go func() { <-entered }()
	if res, _ := c.ask(t, "GET", "/open/x", nil); res.StatusCode != 200 {
		t.Errorf("afterwards: %s", res.Status)
	}
}

// TestSlowBody: a client that stops in the middle of its body is let go, and
// the service sees no end of the body that would be none.
func TestSlowBody(t *testing.T) { inBothLanes(t, checkSlowBody) }

func checkSlowBody(t *testing.T, l lane) {
	var whole atomic.Int32
	up := service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			whole.Add(1)
		}
	}))
	up.Timeouts.BodyIdle = 200 * time.Millisecond
	r := newRig(t, l, rigConfig{upstream: up})
	for _, head := range []string{"Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		c := r.wire(t)
		send(t, c, "POST /open/x HTTP/1.1\r\nHost: shop.test\r\n"+head)
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
			t.Errorf("%q %v", answer, err)
		}
	}
	f := r.openFrames(t)
	f.head(1, false, ":method", "POST", ":scheme", "http", ":path", "/open/x", ":authority", "shop.test")
	f.must(f.WriteData(1, false, []byte("half")))
	if s := f.await(1, nil); len(s.heads) != 1 || s.heads[0][":status"] != "408" {
		t.Errorf("%+v", s)
	}
	if whole.Load() != 0 {
		t.Error("the service took half a body for a whole one")
	}
}

// TestSlowReader: a client that does not read its answer is let go.
func TestSlowReader(t *testing.T) { inBothLanes(t, checkSlowReader) }

func checkSlowReader(t *testing.T, l lane) {
	up := service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, &zeros{left: 1 << 30})
	}))
	up.Timeouts.WriteIdle = 300 * time.Millisecond
	r := newRig(t, l, rigConfig{upstream: up})
	c := r.wire(t)
	c.(*net.TCPConn).SetReadBuffer(4096)
	send(t, c, "GET /open/1 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	x := r.next(t, "HTTP/1.1", func(record) bool { return true })
	if x.Err == nil || x.BytesOut > 64<<20 {
		t.Errorf("%+v", x)
	}
	f := r.openFrames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
	f.head(1, true, ":method", "GET", ":scheme", "http", ":path", "/open/2", ":authority", "shop.test")
	if s := f.await(1, nil); s.reset == nil {
		t.Errorf("%+v", s)
	}
}

// TestSlowHead: a head that does not end is counted, though no handler saw it,
// and so is what net/http refuses by itself.
func TestSlowHead(t *testing.T) { inBothLanes(t, checkSlowHead) }

func checkSlowHead(t *testing.T, l lane) {
	r := newRig(t, l, rigConfig{upstream: service(t, "http", echo()), headTimeout: 200 * time.Millisecond})
	for _, x := range []struct {
		bytes  string
		reason gate.Reason
		status int
		fast   gate.Reason // where it is another: net/http's answer can only be counted, by its status
	}{
		{"GET / HTTP/1.1\r\nHost: shop.test\r\nX-A", gate.ReasonRequestTimeout, 408, ""},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", gate.ReasonMalformed, 400, gate.ReasonAmbiguous},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", gate.ReasonMalformed, 501, ""},
		{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", gate.ReasonMalformed, 505, ""},
		{"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", 200_000) + "\r\n\r\n", gate.ReasonHeadTooLarge, 431, ""},
	} {
		c := r.wire(t)
		io.WriteString(c, x.bytes) // the answer may come before all is sent
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != x.status {
			t.Errorf("%.40q: %v %v", x.bytes, res, err)
		}
		reason := x.reason
		if l == fast && x.fast != "" {
			reason = x.fast
		}
		r.next(t, fmt.Sprintf("%.40q", x.bytes), func(got record) bool { return got.reason == reason && got.Status == x.status })
	}
}

// TestStalledConnections: 2,000 clients that stall in every way leave others
// under a second.
func TestStalledConnections(t *testing.T) { inEachLane(t, checkStalledConnections) }

func checkStalledConnections(t *testing.T, l lane) {
	up := service(t, "http", echo())
	r := newRig(t, l, rigConfig{upstream: up, limits: dataport.Limits{Connections: 10_000, PerAddress: 1024}})
	stalls := []string{
		"",
		"GET /open/x HTTP/1.1\r\nHost: shop.test\r\nX-A",
		"POST /open/x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\nhalf",
		"POST /items/1 HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	}
	for i := range 2000 {
		c, err := net.Dial("tcp", r.plain)
		if err != nil {
			t.Skipf("this machine does not allow 2,000 connections: %v", err)
		}
		t.Cleanup(func() { c.Close() })
		send(t, c, stalls[i%len(stalls)])
	}
	for _, c := range r.clients() {
		begun := time.Now()
		c.see(t, "GET", "/items/1", nil, "Authorization: Bearer reader")
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
	}
}

// TestAFrameFitsIntoItsStream: a client may fill one frame of the size that it is offered. One
// above the stream's window breaks flow control however well it is meant, and until it is
// read to its end net/http holds all of it, beside what the windows allow.
func TestAFrameFitsIntoItsStream(t *testing.T) {
	r := newRig(t, fast, rigConfig{upstream: service(t, "http", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))})
	f := r.openFrames(t)
	frame, window := f.settings[http2.SettingMaxFrameSize], f.settings[http2.SettingInitialWindowSize]
	if frame != 16<<10 || frame > window {
		t.Errorf("frames of %d bytes, a window of %d", frame, window)
	}
}

// TestResetFlood: CVE-2023-44487, streams that are opened and reset at once.
func TestResetFlood(t *testing.T) {
	var reached atomic.Int64
	r := newRig(t, fast, rigConfig{upstream: service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		<-r.Context().Done()
	}))})
	f, get := r.openFrames(t), []string{":method", "GET", ":scheme", "http", ":path", "/open/x", ":authority", "shop.test"}
	if f.settings[http2.SettingMaxConcurrentStreams] != 128 {
		t.Errorf("settings %v", f.settings)
	}
	for id := uint32(1); id < 100_000; id += 2 {
		f.block.Reset()
		for i := 0; i < len(get); i += 2 {
			f.enc.WriteField(hpack.HeaderField{Name: get[i], Value: get[i+1]})
		}
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: true, EndHeaders: true})
		if err == nil {
			err = f.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			break // the connection has ended already
		}
	}
	for f.next() != nil {
	}
	if reached.Load() > 2000 {
		t.Errorf("%d requests reached the service", reached.Load())
	}
}

// TestMemory: bodies pass in constant memory, also towards a client that does
// not read.
func TestMemory(t *testing.T) { inEachLane(t, checkMemory) }

func checkMemory(t *testing.T, l lane) {
	const size = 128 << 20
	up := service(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if r.Method == "GET" {
			n, _ = io.Copy(w, &zeros{left: size})
		}
		fmt.Fprint(w, n)
	}))
	r := newRig(t, l, rigConfig{upstream: up})
	clients := r.clients()
	if l == fast {
		clients = r.http1() // the others are those of the standard lane
	}
	for _, c := range clients {
		t.Run(c.name+" upload", func(t *testing.T) {
			before := heap()
			peak := watchHeap(t)
			_, text := c.ask(t, "POST", "/open/x", &zeros{left: size})
			if text != fmt.Sprint(size) {
				t.Errorf("%s bytes arrived", text)
			}
			if grown := peak() - before; grown > 32<<20 {
				t.Errorf("memory grew by %d MB", grown>>20)
			}
		})
		t.Run(c.name+" unread download", func(t *testing.T) {
			before := heap()
			res, err := c.Do(c.request(t, "GET", "/open/x", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			io.CopyN(io.Discard, res.Body, 8<<20) // everything is under way
			if grown := heap() - before; grown > 32<<20 {
				t.Errorf("memory grew by %d MB", grown>>20)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// watchHeap samples the heap until peak is called.
func watchHeap(t *testing.T) (peak func() int64) {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		top := heap()
		for {
			select {
			case <-tick.C:
				top = max(top, heap())
			case <-stop:
				most <- top
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-most
	}
}

// TestARefusedFormOverHTTP2: a small body that arrives with its head is read before it is
// refused, so that no reset follows the answer; curl takes one for a failure.
func TestARefusedFormOverHTTP2(t *testing.T) {
	r := newRig(t, fast, rigConfig{upstream: service(t, "http", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))})
	f := r.openFrames(t)
	// ping returns when the server has read what was sent before.
	ping := func() {
		f.must(f.WritePing(false, [8]byte{1}))
		for {
			switch frame := f.next().(type) {
			case nil:
				t.Fatal("the connection ended")
			case *http2.RSTStreamFrame:
				t.Fatalf("reset: %v", frame.ErrCode)
			case *http2.PingFrame:
				if frame.IsAck() {
					return
				}
			}
		}
	}
	f.head(1, false, ":method", "POST", ":scheme", "http", ":path", "/items/1", ":authority", "shop.test", "content-length", "6")
	ping()
	f.must(f.WriteData(1, true, []byte("a form")))
	if s := f.await(1, nil); s.reset != nil || len(s.heads) != 1 || s.heads[0][":status"] != "401" {
		t.Errorf("%+v", s)
	}
	ping()
}
