package attacks

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// streamAttack is what one client writes to one HTTP/1 connection.
type streamAttack struct {
	attack `yaml:",inline"`
	// Send holds the bytes. $H stands for a host of the attack's own, by which the service tells
	// whose request it got, $ADMIN for a request for /admin at that host, which is 48 bytes long, and
	// $LONG for 70,000 letters.
	Send string `yaml:"send"`
	// Requests is how many the service may get of it, 1 where it is left out.
	Requests *int `yaml:"requests"`
	// Strict is the status with which a strict lane ends the connection.
	Strict int `yaml:"strict"`
}

// TestNoStreamOfBytesSmugglesARequest runs every attack on a connection of its own, several at a
// time.
func TestNoStreamOfBytesSmugglesARequest(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l, service: "claim_headers: { X-Tenant: org_id }"})
		g.service.keepStreams()
		attacks := load[*streamAttack](t, "streams")
		answers := make([]poured, len(attacks))
		var running sync.WaitGroup
		slots := make(chan struct{}, 48)
		for i, a := range attacks {
			raw, silence := a.bytes(t, i), quiet
			if l.strict && a.Strict != 0 {
				silence = patience // the end has to come
			}
			slots <- struct{}{}
			running.Go(func() { answers[i] = g.pour(raw, silence); <-slots })
		}
		running.Wait()
		counts := g.attribute(g.service.take(), attacks)
		for i, a := range attacks {
			if l.strict && a.Strict != 0 {
				a.refused(t, answers[i], counts[i])
			}
		}
		g.inStep(attacks)
		if status, _, _ := g.ask("GET", "/public/after", ""); status != 200 {
			t.Errorf("afterwards the gateway answers with %d", status)
		}
		t.Logf("%d streams", len(attacks))
	})
}

// bytes are those to send for the i-th attack.
func (a *streamAttack) bytes(t *testing.T, i int) string {
	return strings.NewReplacer(
		"$ADMIN", "GET /admin HTTP/1.1\r\nHost: "+hostOf(i)+"\r\n\r\n",
		"$LONG", strings.Repeat("a", 70_000),
		"$H", hostOf(i),
	).Replace(octets(t, a.Send))
}

// refused checks what a strict lane has to answer: the refusal is the last answer, the connection ends
// with it, and the service got no more than was answered before.
func (a *streamAttack) refused(t *testing.T, p poured, reached int) {
	t.Helper()
	var statuses []int
	for in := bufio.NewReader(strings.NewReader(p.answer)); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			break
		}
		_, _ = io.Copy(io.Discard, res.Body)
		statuses = append(statuses, res.StatusCode)
	}
	if n := len(statuses); n == 0 || statuses[n-1] != a.Strict || !p.closed || reached >= n {
		t.Errorf("%s (%s): answers %d, closed %t, %d requests reached the service; want %d and the end", a.Name, a.Source, statuses, p.closed, reached, a.Strict)
	}
}

// hostOf has the same length for every attack, so that what holds it can be counted beforehand.
func hostOf(i int) string { return fmt.Sprintf("a%04d.attack.test", i) }

// quiet is how long a connection on which nothing comes is listened to.
const quiet = 400 * time.Millisecond

// pour writes bytes and reads until the gateway closes or falls silent for so long. Closing earlier would
// cancel what is still on its way to the service.
func (g *target) pour(raw string, silence time.Duration) poured {
	c, err := net.Dial("tcp", g.data)
	if err != nil {
		g.Error(err)
		return poured{}
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, raw) // the gateway may have closed before the end
	var all strings.Builder
	buf := make([]byte, 32<<10)
	for {
		c.SetReadDeadline(time.Now().Add(silence))
		n, err := c.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			return poured{all.String(), !errors.Is(err, os.ErrDeadlineExceeded)}
		}
	}
}

// poured is what came back, and whether the gateway closed the connection.
type poured struct {
	answer string
	closed bool
}

// attribute judges what the service received, and says which attack it came from.
func (g *target) attribute(got []*received, attacks []*streamAttack) (counts []int) {
	g.Helper()
	counts = make([]int, len(attacks))
	for _, r := range got {
		of := attackOf(r.host())
		if of >= 0 {
			counts[of]++
		}
		if bad := breach(r); bad != "" {
			g.Errorf("%s: %s\n%q", nameOf(attacks, r.host()), bad, r.head)
		}
	}
	for i, a := range attacks {
		most := 1
		if a.Requests != nil {
			most = *a.Requests
		}
		if counts[i] > most {
			g.Errorf("%s (%s): %d requests reached the service, %d at most may", a.Name, a.Source, counts[i], most)
		}
	}
	for _, s := range g.service.stray() {
		g.Errorf("no request: %q", s)
	}
	return counts
}

// attackOf undoes hostOf; -1 is no attack's.
func attackOf(host string) (i int) {
	if _, err := fmt.Sscanf(strings.ToLower(host), "a%04d.attack.test", &i); err != nil {
		return -1
	}
	return i
}

func nameOf(attacks []*streamAttack, host string) string {
	if i := attackOf(host); i >= 0 && i < len(attacks) {
		return attacks[i].Name
	}
	return "an unknown attack"
}

// exchange writes one request that asks for the end of the connection, and reads to that end.
func (g *target) exchange(raw string) string {
	g.Helper()
	c, err := net.Dial("tcp", g.data)
	if err != nil {
		g.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		return ""
	}
	all, _ := io.ReadAll(c) // a reset ends an answer too
	return string(all)
}
