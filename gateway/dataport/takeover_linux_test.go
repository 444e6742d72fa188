package dataport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
)

// generation is one process in a chain of takeovers: a port, and an offer to the next one.
type generation struct {
	*rig
	offer  *dataport.Offer
	heir   chan *dataport.Successor
	end    context.CancelFunc
	failed *errorList
}

type errorList struct {
	mu  sync.Mutex
	all []string
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, err.Error())
}

func (l *errorList) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// privateFolder is one that a takeover trusts.
func privateFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

func sockets(l net.Listener) []dataport.Socket {
	return []dataport.Socket{{Name: "data", Address: "127.0.0.1:0", Listener: l}}
}

// first serves on l and offers it at path.
func first(t *testing.T, path string, l net.Listener) *generation {
	t.Helper()
	g := &generation{failed: &errorList{}}
	offer, err := dataport.NewOffer(path, sockets(l), g.failed.add)
	if err != nil {
		t.Fatal(err)
	}
	g.offer = offer
	g.begin(t, l)
	return g
}

func (g *generation) begin(t *testing.T, l net.Listener) {
	g.rig = newRig(t, dataport.Config{})
	ctx, end := context.WithCancel(t.Context())
	g.end, g.heir = end, make(chan *dataport.Successor, 1)
	go func() {
		if err := g.port.Serve(l, nil); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	go func() { g.heir <- g.offer.Wait(ctx) }()
	t.Cleanup(end)
}

// next takes over from g.
func (g *generation) next(t *testing.T, path string) *generation {
	t.Helper()
	from, err := dataport.TakeOver(path)
	if err != nil {
		t.Fatal(err)
	}
	n := &generation{failed: &errorList{}}
	go g.leave()
	if err := from.Release(t.Context(), func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	l := from.Sockets[0].Listener
	n.offer = from.Offer(sockets(l), n.failed.add)
	n.begin(t, l)
	return n
}

// leave hands over to whoever is ready.
func (g *generation) leave() {
	if heir := <-g.heir; heir != nil {
		g.port.HandOver()
		heir.Yours()
	}
}

// TestTakeover: three in a row, and the queue of the listening socket outlives each process: a
// connection that nobody has accepted yet is accepted by the successor.
func TestTakeover(t *testing.T) {
	path := filepath.Join(privateFolder(t), "takeover.sock")
	l := listen(t)
	address := l.Addr().String()
	g := first(t, path, l)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info, err)
	}
	for range 3 {
		kept := dial(t, address)
		kept.send("before\n")
		kept.expect("one before")
		from, err := dataport.TakeOver(path)
		if err != nil {
			t.Fatal(err)
		}
		if from.PID != os.Getpid() || len(from.Sockets) != 1 || from.Sockets[0].Name != "data" || from.Sockets[0].Address != "127.0.0.1:0" {
			t.Fatalf("%+v", from)
		}
		meanwhile := dial(t, address)
		meanwhile.send("meanwhile\n")
		meanwhile.expect("one meanwhile")

		asked := make(chan error, 1)
		go func() { asked <- from.Release(t.Context(), func() bool { return true }) }()
		heir := <-g.heir
		g.port.HandOver()
		queued := dial(t, address) // while nobody accepts
		queued.send("queued\n")
		heir.Yours()
		if err := <-asked; err != nil {
			t.Fatal(err)
		}
		old := g
		g = &generation{failed: &errorList{}}
		taken := from.Sockets[0].Listener
		g.offer = from.Offer(sockets(taken), g.failed.add)
		g.begin(t, taken)
		queued.expect("one queued")

		drained := make(chan error, 1)
		go func() {
			drained <- old.port.Drain(t.Context(), dataport.Grace{Delay: 50 * time.Millisecond, Work: 5 * time.Second})
		}()
		waitFor(t, "drain", old.port.Draining)
		kept.send("after\n")
		kept.expect("one close after")
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		again := dial(t, address)
		again.send("after the drain\n")
		again.expect("one after the drain")
	}
	if n := g.port.Connections(); n.Idle == 0 {
		t.Errorf("the last one serves nobody: %+v", n)
	}
	g.end()
	if heir := <-g.heir; heir != nil {
		t.Error("an heir of nobody")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the last one leaves its socket: %v", err)
	}
	if _, err := dataport.TakeOver(path); !errors.Is(err, dataport.ErrNobody) {
		t.Errorf("TakeOver: %v", err)
	}
}

// TestASuccessorThatIsNotReady changes nothing, however it fails, and the next one is heard.
func TestASuccessorThatIsNotReady(t *testing.T) {
	folder := privateFolder(t)
	for name, c := range map[string]struct {
		fail func(t *testing.T, path string)
		told string
	}{
		"ends": {func(t *testing.T, path string) {
			from, err := dataport.TakeOver(path)
			if err != nil {
				t.Fatal(err)
			}
			from.Close()
		}, "it ended"},
		"takes too long": {func(t *testing.T, path string) {
			from, err := dataport.TakeOver(path)
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			if err := from.Release(t.Context(), func() bool { return false }); err == nil || !strings.Contains(err.Error(), "not ready within") {
				t.Errorf("Release: %v", err)
			}
		}, "not ready within"},
		"ends while it waits": {func(t *testing.T, path string) {
			from, err := dataport.TakeOver(path)
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := from.Release(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
				t.Errorf("Release: %v", err)
			}
		}, "it ended"},
		"speaks something else": {func(t *testing.T, path string) { talk(t, path, "GET / HTTP/1.1\r\n\r\n") }, "invalid character"},
		"says another word":     {func(t *testing.T, path string) { talk(t, path, `{"say":"hello"}`) }, "it says"},
		"says too much":         {func(t *testing.T, path string) { talk(t, path, strings.Repeat("x", 10_000)) }, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder, "t.sock")
			l := listen(t)
			g := &generation{failed: &errorList{}}
			offer, err := dataport.NewOffer(path, sockets(l), g.failed.add)
			if err != nil {
				t.Fatal(err)
			}
			offer.SetPatience(300 * time.Millisecond)
			g.offer = offer
			g.begin(t, l)
			c.fail(t, path)
			waitFor(t, c.told, func() bool { return strings.Contains(g.failed.String(), c.told) })
			p := dial(t, l.Addr().String())
			p.send("hello\n")
			p.expect("one hello")
			n := g.next(t, path)
			q := dial(t, l.Addr().String())
			q.send("hello\n")
			q.expect("one hello")
			waitFor(t, "one connection each", func() bool { return n.port.Connections().Idle == 1 && g.port.Connections().Idle == 1 })
			n.end()
			<-n.heir
		})
	}
}

// talk says something in place of ready, and is refused.
func talk(t *testing.T, path, text string) {
	t.Helper()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	var b [1000]byte
	if n, err := c.Read(b[:]); err != nil || !strings.Contains(string(b[:n]), `"say":"sockets"`) {
		t.Fatalf("%s %v", b[:n], err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b[:]); err != nil || !strings.Contains(string(b[:n]), `"say":"no"`) {
		t.Errorf("%s %v", b[:n], err)
	}
}

// TestOneTakeoverAtATime: a second one is refused while the first is under way.
func TestOneTakeoverAtATime(t *testing.T) {
	path := filepath.Join(privateFolder(t), "t.sock")
	l := listen(t)
	g := first(t, path, l)
	from, err := dataport.TakeOver(path)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for range 2 {
		if second, err := dataport.TakeOver(path); err == nil || !strings.Contains(err.Error(), "another takeover is under way") {
			t.Errorf("%+v %v", second, err)
		}
	}
	go g.leave()
	if err := from.Release(t.Context(), func() bool { return true }); err != nil {
		t.Error(err)
	}
}

// TestAPredecessorThatEnds in the middle leaves everything to the successor: by itself, and when
// it is asked to stop meanwhile, in which case it must not shut the sockets down.
func TestAPredecessorThatEnds(t *testing.T) {
	for name, end := range map[string]func(*generation, *dataport.Successor){
		"without a word": func(g *generation, heir *dataport.Successor) {
			g.port.HandOver() // as the end of a process closes descriptors
			heir.Abandon()
		},
		"asked to stop": func(g *generation, heir *dataport.Successor) {
			g.port.HandOver()
			heir.Yours()
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(privateFolder(t), "t.sock")
			l := listen(t)
			g := first(t, path, l)
			from, err := dataport.TakeOver(path)
			if err != nil {
				t.Fatal(err)
			}
			g.end()
			heir := <-g.heir
			if heir == nil {
				t.Fatal("the process that has the sockets is forgotten")
			}
			end(g, heir)
			if err := g.port.Drain(t.Context(), dataport.Grace{Work: time.Second}); err != nil {
				t.Errorf("Drain: %v", err)
			}
			queued := dial(t, l.Addr().String())
			queued.send("hello\n")
			looked := 0
			if err := from.Release(t.Context(), func() bool { looked++; return looked > 3 }); err != nil {
				t.Fatal(err)
			}
			n := &generation{failed: &errorList{}}
			n.offer = from.Offer(from.Sockets, n.failed.add)
			n.begin(t, from.Sockets[0].Listener)
			queued.expect("one hello")
		})
	}
}

// TestUnixSocketsKeepTheirNames through a takeover, and lose them with the last process.
func TestUnixSocketsKeepTheirNames(t *testing.T) {
	folder := privateFolder(t)
	path, name := filepath.Join(folder, "t.sock"), filepath.Join(folder, "data.sock")
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	g := first(t, path, l)
	n := g.next(t, path)
	if err := g.port.Drain(t.Context(), dataport.Grace{}); err != nil {
		t.Errorf("Drain: %v", err)
	}
	c, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c)
	p.send("hello\n")
	p.expect("one hello")
	if err := n.port.Drain(t.Context(), dataport.Grace{Work: time.Second}); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name stays: %v", err)
	}
}

// TestAnOfferIsForOurUserAlone: who could write to the folder could be asked instead of us.
func TestAnOfferIsForOurUserAlone(t *testing.T) {
	open := filepath.Join(privateFolder(t), "open")
	linked := filepath.Join(privateFolder(t), "linked")
	if err := errors.Join(os.Mkdir(open, 0o750), os.Symlink(privateFolder(t), linked)); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]string{"a folder of mode 0750": open, "a symbolic link": linked} {
		path := filepath.Join(folder, "t.sock")
		if _, err := dataport.NewOffer(path, nil, nil); err == nil || !strings.Contains(err.Error(), "0700") {
			t.Errorf("%s: NewOffer: %v", name, err)
		}
		if _, err := dataport.TakeOver(path); err == nil || !strings.Contains(err.Error(), "0700") {
			t.Errorf("%s: TakeOver: %v", name, err)
		}
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(privateFolder(t), "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, err := dataport.NewOffer(filepath.Join(foreign, "t.sock"), nil, nil); err == nil || !strings.Contains(err.Error(), "user 65534") {
			t.Errorf("a foreign folder: %v", err)
		}
	}
	path := filepath.Join(privateFolder(t), "t.sock")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := dataport.TrustPeer(c, os.Geteuid()); err != nil {
		t.Errorf("our own process: %v", err)
	}
	if err := dataport.TrustPeer(c, os.Geteuid()+1); err == nil {
		t.Error("another user's process is trusted")
	}
}

// TestWhatStandsAtThePath: a dead process's socket is replaced, and nothing else is.
func TestWhatStandsAtThePath(t *testing.T) {
	folder := privateFolder(t)
	path := filepath.Join(folder, "t.sock")
	if _, err := dataport.TakeOver(path); !errors.Is(err, dataport.ErrNobody) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := dataport.TakeOver(filepath.Join(folder, "none", "t.sock")); !errors.Is(err, dataport.ErrNobody) {
		t.Errorf("not even a folder: %v", err)
	}
	dead, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := dataport.TakeOver(path); !errors.Is(err, dataport.ErrNobody) {
		t.Errorf("a dead process's socket: %v", err)
	}
	offer, err := dataport.NewOffer(path, nil, func(error) {})
	if err != nil {
		t.Fatalf("a dead process's socket: %v", err)
	}
	defer offer.Close()
	if second, err := dataport.NewOffer(path, nil, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a living process's socket: %v %v", second, err)
	}
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dataport.NewOffer(file, nil, nil); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if text, err := os.ReadFile(file); string(text) != "text" {
		t.Errorf("the file: %q %v", text, err)
	}
}
