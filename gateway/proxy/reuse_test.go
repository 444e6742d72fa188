package proxy

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// pair returns a pooled connection and the service's end of it.
func pair(t *testing.T) (*pooled, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	s.SetDeadline(time.Now().Add(10 * time.Second))
	return &pooled{Conn: c}, s
}

// exchangeOver does one clean request and answer.
func exchangeOver(t *testing.T, c *pooled, s net.Conn) {
	t.Helper()
	turn := c.assign()
	buf := make([]byte, 16)
	if _, err := c.Write([]byte("request")); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Read(buf); err != nil || string(buf[:n]) != "request" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	io.WriteString(s, "answer")
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "answer" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	c.answered(turn)
}

// TestReuse: a connection is used again if it is clean, and if it is not,
// nothing of the next request is written to it.
func TestReuse(t *testing.T) {
	// arrived waits until the kernel has what the service did.
	arrived := func(t *testing.T, c *pooled) {
		t.Helper()
		for begun := time.Now(); !pending(c.Conn); {
			if time.Since(begun) > 10*time.Second {
				t.Fatal("nothing arrives")
			}
		}
	}
	refused := func(t *testing.T, c *pooled, s net.Conn) {
		t.Helper()
		c.assign()
		if n, err := c.Write([]byte("request")); n != 0 || !errors.Is(err, errStray) {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
		c.Close()
		if rest, _ := io.ReadAll(s); len(rest) != 0 {
			t.Errorf("the service received %q", rest)
		}
	}
	t.Run("clean", func(t *testing.T) {
		c, s := pair(t)
		for range 3 {
			exchangeOver(t, c, s)
		}
	})
	t.Run("bytes are waiting", func(t *testing.T) {
		c, s := pair(t)
		exchangeOver(t, c, s)
		io.WriteString(s, "stray")
		arrived(t, c)
		refused(t, c, s)
	})
	t.Run("bytes were read while it was idle", func(t *testing.T) {
		c, s := pair(t)
		exchangeOver(t, c, s)
		io.WriteString(s, "stray")
		if n, err := c.Read(make([]byte, 16)); n != 0 || !errors.Is(err, errStray) {
			t.Errorf("delivered %d bytes, %v", n, err)
		}
		refused(t, c, s)
	})
	t.Run("the service has closed", func(t *testing.T) {
		c, s := pair(t)
		exchangeOver(t, c, s)
		s.(*net.TCPConn).CloseWrite()
		arrived(t, c)
		refused(t, c, s)
	})
	t.Run("the end of an earlier answer is heard of late", func(t *testing.T) {
		c, s := pair(t)
		exchangeOver(t, c, s)
		turn := c.turn
		c.assign()
		c.answered(turn) // belongs to the request before
		if _, err := c.Write([]byte("request")); err != nil {
			t.Fatal(err)
		}
		c.answered(turn)
		io.WriteString(s, "answer")
		if n, err := c.Read(make([]byte, 16)); n != 6 || err != nil {
			t.Errorf("delivered %d bytes, %v", n, err)
		}
	})
}
