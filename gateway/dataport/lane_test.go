package dataport_test

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
)

// lines is a small lane: each request is a line, and each answer repeats it with the lane's
// name, and with "close" where the client has to leave. The line "tunnel" begins a tunnel,
// which repeats everything.
type lines struct {
	name string
	hold chan struct{} // the line "slow" is answered, and what follows on "stall" read, when it is closed

	begun, shut, closed atomic.Int64
	first               chan string // what each connection began with
}

func newLines(name string) *lines {
	return &lines{name: name, hold: make(chan struct{}), first: make(chan string, 100)}
}

func (l *lines) ServeConn(c *dataport.Conn) {
	defer c.Close()
	l.begun.Add(1)
	c.SetDeadline(time.Time{})
	r := bufio.NewReader(c)
	for n := 0; ; n++ {
		line, err := r.ReadString('\n')
		if n == 0 {
			l.first <- line
		}
		if err != nil {
			return
		}
		c.Become(dataport.StateActive)
		switch strings.TrimSpace(line) {
		case "slow":
			<-l.hold
		case "tunnel":
			c.Become(dataport.StateTunnel)
			io.Copy(c, r)
			return
		case "panic":
			panic("a fault in a lane")
		}
		end := ""
		if c.Draining() {
			end = "close "
		}
		if _, err := io.WriteString(c, l.name+" "+end+line); err != nil || end != "" {
			return
		}
		c.Become(dataport.StateIdle)
		if line == "stall\n" {
			<-l.hold
		}
	}
}

func (l *lines) EndIdle(c *dataport.Conn) { c.SetReadDeadline(time.Now()) }

func (l *lines) Shutdown(context.Context) error {
	l.shut.Add(1)
	return nil
}

func (l *lines) Close() error {
	l.closed.Add(1)
	return nil
}

// rig is a port over a real socket, with a lane for each family.
type rig struct {
	port         *dataport.Port
	http1, http2 *lines
	log          *logLines
}

func newRig(t *testing.T, cfg dataport.Config) *rig {
	r := &rig{http1: newLines("one"), http2: newLines("two"), log: &logLines{}}
	cfg.ErrorLog = log.New(r.log, "", 0)
	r.port = dataport.New(cfg, r.http1, r.http2)
	t.Cleanup(func() { r.port.Close() })
	return r
}

type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// peer is a client.
type peer struct {
	net.Conn
	*bufio.Reader
	t *testing.T
}

func (p *peer) Read(b []byte) (int, error) { return p.Reader.Read(b) }

func newPeer(t *testing.T, c net.Conn) *peer {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{c, bufio.NewReader(c), t}
}

func dial(t *testing.T, address string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, c)
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, text); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads one line.
func (p *peer) expect(want string) {
	p.t.Helper()
	if got, err := p.ReadString('\n'); got != want+"\n" {
		p.t.Fatalf("%q %v, want %q", got, err, want)
	}
}

// expectEnd reads an orderly end.
func (p *peer) expectEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p); err != nil || len(rest) > 0 {
		p.t.Errorf("%q %v, want the end", rest, err)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.After(15 * time.Second)
	for !done() {
		select {
		case <-limit:
			t.Fatalf("no %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}
