package proxy

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/gateway/dataport"
)

// counting is a connection on which everything has come already.
type counting struct {
	net.Conn
	all   io.Reader
	reads int
}

func (c *counting) Read(p []byte) (int, error) {
	c.reads++
	return c.all.Read(p)
}

func TestFramesThatCameTogetherAreReadAtOnce(t *testing.T) {
	const frame, frames = "headers..payload", 100
	socket := &counting{all: strings.NewReader(strings.Repeat(frame, frames))}
	in := newFrames(&client{Conn: &dataport.Conn{Conn: socket}})
	for i := range frames {
		var head [9]byte
		var payload [len(frame) - len(head)]byte
		_, err := io.ReadFull(in, head[:])
		if err == nil {
			_, err = io.ReadFull(in, payload[:])
		}
		if err != nil || string(head[:])+string(payload[:]) != frame {
			t.Fatalf("frame %d: %q%q, %v", i, head, payload, err)
		}
	}
	if socket.reads > 1 {
		t.Errorf("%d reads of the socket for %d bytes", socket.reads, frames*len(frame))
	}
}
