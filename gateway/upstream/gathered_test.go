package upstream

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// slow is a connection whose every write waits to be let through.
type slow struct {
	net.Conn
	pass   chan struct{}
	all    bytes.Buffer
	writes int
}

func (s *slow) Write(p []byte) (int, error) {
	if _, open := <-s.pass; !open {
		return 0, net.ErrClosed
	}
	s.writes++
	return s.all.Write(p)
}

func (s *slow) Close() error {
	close(s.pass)
	return nil
}

func TestGatheredWritesGoOutTogetherAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket := &slow{pass: make(chan struct{})}
		c := Gather(socket)
		want := ""
		write := func(text string) {
			want += text
			io.WriteString(c, text)
		}
		for i := range 100 {
			write(string(rune('a' + i%26)))
		}
		socket.pass <- struct{}{}
		synctest.Wait()
		write("and again")
		socket.pass <- struct{}{}
		synctest.Wait()
		if got := socket.all.String(); got != want || socket.writes != 2 {
			t.Errorf("%q in %d writes, want %q in 2", got, socket.writes, want)
		}
	})
}

func TestAServiceThatTakesNothingHoldsItsWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket := &slow{pass: make(chan struct{})}
		c := Gather(socket)
		var writers sync.WaitGroup
		failed := 0
		writers.Go(func() {
			for failed == 0 {
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					failed++
				}
			}
		})
		synctest.Wait()
		if held := len(c.(*gathered).held); failed > 0 || held > mostHeld+1000 {
			t.Errorf("%d bytes are held, %d writes failed", held, failed)
		}
		c.Close()
		writers.Wait() // whoever waits for room is let go
		if _, err := c.Write([]byte("more")); err == nil {
			t.Error("a write to a closed connection succeeds")
		}
	})
}
