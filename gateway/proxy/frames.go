package proxy

import (
	"bufio"
	"runtime"
)

// frames is a connection without TLS as net/http's HTTP/2 reads and writes it.
// net/http reads each frame in two steps and writes as soon as it has one, so
// that a small request would cost more system calls than anything else.
type frames struct {
	*client
	in *bufio.Reader
}

func newFrames(c *client) *frames { return &frames{c, bufio.NewReader(c.Conn)} }

// Read reads ahead.
func (f *frames) Read(p []byte) (int, error) { return f.in.Read(p) }

// Write lets other streams come as far as their next frame before it writes:
// net/http collects them meanwhile, and writes them at once.
func (f *frames) Write(p []byte) (int, error) {
	runtime.Gosched()
	return f.client.Write(p)
}
