package upstream

import (
	"net"
	"runtime"
	"sync"
)

// mostHeld is how many bytes wait for a connection before a write waits too.
const mostHeld = 64 << 10

// Gather returns c, a connection to a service that speaks HTTP/2, so that its
// writes are collected and go out together: net/http's client writes a request's
// head, each piece of its body and its end by themselves, of every stream, and a
// write costs more than all else that it does for a small request.
//
// A write only fails for what became of those before it, as with any socket that
// has a buffer. What is held when the connection is closed is lost.
func Gather(c net.Conn) net.Conn {
	g := &gathered{Conn: c}
	g.room.L = &g.mu
	return g
}

type gathered struct {
	net.Conn
	mu      sync.Mutex // guards what follows
	held    []byte     // to be written
	spare   []byte     // the buffer that is not held
	writing bool       // flush runs
	err     error      // of the write that failed
	room    sync.Cond  // something of held has been written, or never will be
}

// Write notes p, and sees to it that it is written soon.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.held) >= mostHeld && g.err == nil {
		g.room.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	g.held = append(g.held, p...)
	if !g.writing {
		g.writing = true
		go g.flush() // ends with the connection at the latest
	}
	return len(p), nil
}

// flush writes what is held, once whoever else can run has added to it.
func (g *gathered) flush() {
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.held) > 0 && g.err == nil {
		out := g.held
		g.held = g.spare[:0]
		g.mu.Unlock()
		_, err := g.Conn.Write(out)
		g.mu.Lock()
		g.spare, g.err = out, err
		g.room.Broadcast()
	}
	g.writing = false
}
