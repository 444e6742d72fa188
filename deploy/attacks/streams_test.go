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

// streamAttack is what one client writes to one HTTP/1 connection.
type streamAttack struct {
	attack `yaml:",inline"`
	// Send holds the bytes. $H stands for a host of the attack's own, by which the service tells
	// whose request it got, and $LONG for 70,000 letters.
	Send string `yaml:"send"`
	// Requests is how many the service may get of it, 1 where it is left out.
	Requests *int `yaml:"requests"`
}

// TestNoStreamOfBytesSmugglesARequest runs every attack on a connection of its own, several at a
// time.
func TestNoStreamOfBytesSmugglesARequest(t *testing.T) {
	t.Parallel()
	g := newTarget(t, site{service: "claim_headers: { X-Tenant: org_id }"})
	attacks := load[*streamAttack](t, "streams")
	var running sync.WaitGroup
	slots := make(chan struct{}, 48)
	for i, a := range attacks {
		raw := octets(t, a.Send)
		raw = strings.ReplaceAll(raw, "$LONG", strings.Repeat("a", 70_000))
		raw = strings.ReplaceAll(raw, "$H", hostOf(i))
		slots <- struct{}{}
		running.Go(func() { g.pour(raw); <-slots })
	}
	running.Wait()
	g.attribute(g.service.take(), attacks)
	if status, _, _ := g.ask("GET", "/public/after", ""); status != 200 {
		t.Errorf("afterwards the gateway answers with %d", status)
	}
	t.Logf("%d streams", len(attacks))
}

func hostOf(i int) string { return fmt.Sprintf("a%d.attack.test", i) }

// quiet is how long a connection on which nothing comes is listened to.
const quiet = 400 * time.Millisecond

// pour writes bytes and reads until the gateway closes or falls silent. Closing earlier would
// cancel what is still on its way to the service.
func (g *target) pour(raw string) (answer string) {
	c, err := net.Dial("tcp", g.data)
	if err != nil {
		g.Error(err)
		return ""
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, raw) // the gateway may have closed before the end
	var all strings.Builder
	buf := make([]byte, 32<<10)
	for {
		c.SetReadDeadline(time.Now().Add(quiet))
		n, err := c.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			return all.String()
		}
	}
}

// attribute judges what the service received, and says which attack it came from.
func (g *target) attribute(got []*received, attacks []*streamAttack) {
	g.Helper()
	counts := make([]int, len(attacks))
	for _, r := range got {
		of := -1
		if _, err := fmt.Sscanf(strings.ToLower(r.host()), "a%d.attack.test", &of); err != nil || of < 0 || of >= len(attacks) {
			of = -1
		} else {
			counts[of]++
		}
		if bad := breach(r); bad != "" {
			name := "?"
			if of >= 0 {
				name = attacks[of].Name
			}
			g.Errorf("%s: %s\n%q", name, bad, r.head)
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
