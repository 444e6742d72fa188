package attacks

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
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

// TestNoStreamOfBytesSmugglesARequest runs every attack on a connection of its own: once in one piece,
// and once cut into pieces, which must make no difference.
func TestNoStreamOfBytesSmugglesARequest(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l, service: "claim_headers: { X-Tenant: org_id }"})
		g.service.keepStreams()
		attacks := load[*streamAttack](t, "streams")
		whole := g.attacked(l, attacks, 1)
		cut := g.attacked(l, attacks, pieces)
		var again sync.WaitGroup
		for i, a := range attacks {
			if l.strict && !slices.Equal(whole[i].statuses(), cut[i].statuses()) {
				again.Go(func() { g.insists(a, i) })
			}
		}
		again.Wait()
		g.inStep(attacks)
		if status, _, _ := g.ask("GET", "/public/after", ""); status != 200 {
			t.Errorf("afterwards the gateway answers with %d", status)
		}
		t.Logf("%d streams, twice each", len(attacks))
	})
}

// insists asks once more, with patience: on a busy machine an answer may come when nobody listens any more.
func (g *target) insists(a *streamAttack, i int) {
	raw := a.bytes(g.T, i)
	one, other := g.pour(cutUp(raw, 1, 0), patience).statuses(), g.pour(cutUp(raw, pieces, uint64(i)), patience).statuses()
	if !slices.Equal(one, other) {
		g.Errorf("%s (%s): answers %d in one piece, %d in %d", a.Name, a.Source, one, other, pieces)
	}
}

// pieces are those into which an attack is cut.
const pieces = 4

// attacked runs the attacks, several at a time, each cut into so many pieces, and judges what reached the
// service.
func (g *target) attacked(l lane, attacks []*streamAttack, into int) []poured {
	g.Helper()
	answers := make([]poured, len(attacks))
	var running sync.WaitGroup
	slots := make(chan struct{}, 96)
	for i, a := range attacks {
		raw, silence := cutUp(a.bytes(g.T, i), into, uint64(i)), quiet
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
			a.refused(g.T, answers[i], counts[i])
		}
	}
	return answers
}

// cutUp cuts at places that are the same in every run.
func cutUp(raw string, pieces int, seed uint64) (all []string) {
	random := rand.New(rand.NewPCG(seed, uint64(pieces)))
	for n := pieces; n > 1 && raw != ""; n-- {
		at := random.IntN(len(raw))
		all, raw = append(all, raw[:at]), raw[at:]
	}
	return append(all, raw)
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
	statuses := p.statuses()
	if n := len(statuses); n == 0 || statuses[n-1] != a.Strict || !p.closed || reached >= n {
		t.Errorf("%s (%s): answers %d, closed %t, %d requests reached the service; want %d and the end", a.Name, a.Source, statuses, p.closed, reached, a.Strict)
	}
}

// hostOf has the same length for every attack, so that what holds it can be counted beforehand.
func hostOf(i int) string { return fmt.Sprintf("a%04d.attack.test", i) }

// quiet is how long a connection on which nothing comes is listened to.
const quiet = 400 * time.Millisecond

// pour writes bytes, piece by piece, and reads until the gateway closes or falls silent for so long. Closing
// earlier would cancel what is still on its way to the service.
func (g *target) pour(pieces []string, silence time.Duration) poured {
	c, err := net.Dial("tcp", g.data)
	if err != nil {
		g.Error(err)
		return poured{}
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_ = write(c, pieces) // the gateway may have closed before the end
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

// write writes piece by piece, and leaves time to read each.
func write(to io.Writer, pieces []string) error {
	for n, piece := range pieces {
		if n > 0 {
			<-time.After(3 * time.Millisecond)
		}
		if _, err := io.WriteString(to, piece); err != nil {
			return err
		}
	}
	return nil
}

// poured is what came back, and whether the gateway closed the connection.
type poured struct {
	answer string
	closed bool
}

// statuses are those of the final answers.
func (p poured) statuses() (all []int) {
	for in := bufio.NewReader(strings.NewReader(p.answer)); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return all
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode >= 200 {
			all = append(all, res.StatusCode)
		}
	}
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
