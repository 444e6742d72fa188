package attacks

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	large  = 256 << 20
	growth = 32 << 20 // what moving it may cost
)

// TestBulkMovesThroughConstantMemory uploads 256 MiB, then has the same downloaded by a client that
// does not read.
func TestBulkMovesThroughConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector multiplies memory")
	}
	for _, l := range lanes {
		t.Run(l.name, func(t *testing.T) { bulk(t, l) })
	}
}

func bulk(t *testing.T, l lane) {
	g := newTarget(t, site{lane: l}) // not parallel: what others take from the processor is not measured
	g.ask("GET", "/public/warm", "")
	before, _ := g.resident()

	c, err := net.Dial("tcp", g.data)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /public/up HTTP/1.1\r\nHost: a.test\r\nX-Discard: yes\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", large)
	block := make([]byte, 256<<10)
	for sent := 0; sent < large; sent += len(block) {
		if _, err := c.Write(block); err != nil {
			t.Fatalf("after %d bytes: %v", sent, err)
		}
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if answer, _ := io.ReadAll(c); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("the upload: %.80s", answer)
	}
	_, up := g.resident()
	if up-before > growth {
		t.Errorf("an upload of %d MiB grew the gateway by %d MiB", large>>20, (up-before)>>20)
	}

	big := "HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(large) + "\r\n\r\n" + strings.Repeat("x", large)
	g.service.answers(func(*received) (string, bool) { return big, true })
	idle, err := net.Dial("tcp", g.data)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprintf(idle, "GET /public/down HTTP/1.1\r\nHost: a.test\r\n\r\n")
	g.eventually("the service is asked", func() bool { return len(g.service.take()) > 0 })
	<-time.After(time.Second) // for as much as it would take in
	_, down := g.resident()
	if down-before > growth {
		t.Errorf("an unread download of %d MiB grew the gateway by %d MiB", large>>20, (down-before)>>20)
	}
	t.Logf("from %d KiB: +%d KiB at the highest during the upload, +%d KiB with the unread download", before>>10, (up-before)>>10, (down-before)>>10)
}

// stalls are ways to hold a connection and give nothing (Slowloris, RSnake 2009; R.U.D.Y.).
var stalls = []string{
	"",
	"GET /public/x HTT",
	"GET /public/x HTTP/1.1\r\nHost: a.test\r\nX-",
	"POST /public/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf",
	"POST /public/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"PRI * HT",
	"GET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n", // and never reads
}

// TestTwoThousandStalledConnectionsHoldNobodyUp opens them all, and asks as somebody else.
func TestTwoThousandStalledConnectionsHoldNobodyUp(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector multiplies time")
	}
	for _, l := range lanes {
		t.Run(l.name, func(t *testing.T) { stall(t, l) })
	}
}

func stall(t *testing.T, l lane) {
	g := newTarget(t, site{lane: l})
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for n := range 2000 {
		c, err := net.Dial("tcp", g.data)
		if err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		held = append(held, c)
		if _, err := io.WriteString(c, stalls[n%len(stalls)]); err != nil {
			t.Fatal(err)
		}
	}
	good := g.issuer.token(nil)
	var worst time.Duration
	var mu sync.Mutex
	var others sync.WaitGroup
	for range 8 {
		others.Go(func() {
			for range 10 {
				began := time.Now()
				status, _, _ := g.ask("GET", "/api/1", good)
				mu.Lock()
				worst = max(worst, time.Since(began))
				mu.Unlock()
				if status != 200 {
					t.Errorf("somebody else got %d", status)
				}
			}
		})
	}
	others.Wait()
	if worst > patience {
		t.Errorf("somebody else waited %s", worst)
	}
	now, _ := g.resident()
	t.Logf("2000 stalled: others waited %s at most, the gateway has %d MiB", worst.Round(time.Millisecond), now>>20)
}
