package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// posters send numbered POSTs over kept-alive connections until they are stopped.
type posters struct {
	t       *testing.T
	sent    atomic.Int64
	stopped atomic.Bool
	all     sync.WaitGroup
	lost    atomic.Int64
	dialled atomic.Int64
}

// post starts n of them. A connection that the gateway announced to close is replaced; one that
// ends unannounced, with a request under way, has lost it.
func post(t *testing.T, address string, n int) *posters {
	p := &posters{t: t}
	for worker := range n {
		p.all.Go(func() { p.run(address, worker) })
	}
	return p
}

func (p *posters) run(address string, worker int) {
	for !p.stopped.Load() {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return // the listener is closed: nothing was accepted
		}
		p.dialled.Add(1)
		in := bufio.NewReader(c)
		for n := 0; ; n++ {
			c.SetDeadline(time.Now().Add(15 * time.Second))
			body := fmt.Sprintf("%d/%d", worker, p.sent.Add(1))
			fmt.Fprintf(c, "POST /public/form HTTP/1.1\r\nHost: a.test\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s", body, len(body), body)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				p.lost.Add(1)
				p.t.Errorf("request %s was lost: %v", body, err)
				break
			}
			got, err := io.ReadAll(res.Body)
			if res.StatusCode != 200 || err != nil || string(got) != "ok" {
				p.lost.Add(1)
				p.t.Errorf("request %s: %s %q %v", body, res.Status, got, err)
			}
			if res.Close || p.stopped.Load() {
				break
			}
			<-time.After(time.Millisecond) // leaves the processor to the reloads
		}
		c.Close()
	}
}

func (p *posters) stop() {
	p.stopped.Store(true)
	p.all.Wait()
}

// exactlyOnce fails for a POST that the service did not get, or got twice.
func (p *posters) exactlyOnce(got []*received) {
	p.t.Helper()
	seen := map[string]int{}
	for _, r := range got {
		if r.method == "POST" {
			seen[string(r.body)]++
		}
	}
	for body, n := range seen {
		if n != 1 {
			p.t.Errorf("%s arrived %d times", body, n)
		}
	}
	if int64(len(seen)) != p.sent.Load() {
		p.t.Errorf("%d were sent, %d arrived", p.sent.Load(), len(seen))
	}
}

// TestTenReloadsUnderPOSTLoadLoseNothing reloads policy and configuration in turn, good and broken
// ones, the way people and tools do it.
func TestTenReloadsUnderPOSTLoadLoseNothing(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		policy, config := g.read("policy.yaml"), g.read("gateway.yaml")
		load := post(t, g.data, 6)
		refused := 0
		for n := 1; n <= 10; n++ {
			before := len(g.log.all("reloaded"))
			switch {
			case n%3 == 0: // broken: the last good one goes on
				refused++
				g.write("policy.yaml", broken[n/3%len(broken)])
				g.awaitLog("reload refused, the last good configuration goes on", refused)
				if status, _, _ := g.ask("GET", "/public/x", ""); status != 200 {
					t.Errorf("under a broken policy an open path is %d", status)
				}
				if status, _, _ := g.ask("GET", "/admin", ""); status != 401 {
					t.Errorf("under a broken policy a closed path is %d", status)
				}
				continue
			case n%3 == 1:
				g.write("policy.yaml", policy+fmt.Sprintf("  /reload%d: { GET: public }\n", n))
			default:
				g.write("policy.yaml", policy)
				g.write("gateway.yaml", config+fmt.Sprintf("# %d\n", n))
			}
			g.signal(syscall.SIGHUP)
			g.awaitLog("reloaded", before+1)
			if n%3 == 1 {
				g.eventually("the new policy is served", func() bool {
					status, _, _ := g.ask("GET", fmt.Sprintf("/reload%d", n), "")
					return status == 200
				})
			}
		}
		load.stop()
		load.exactlyOnce(g.service.take())
		t.Logf("%d POSTs over %d connections through 10 reloads, %d lost", load.sent.Load(), load.dialled.Load(), load.lost.Load())
	})
}

// broken policies: no YAML, cut in the middle, another meaning of a key, empty.
var broken = []string{
	"version: 1\nservice: target\nscopes: {\n",
	"version: 1\nservice: target\nscopes: { a: A }\nroutes:\n  /admin: { GET: public, Get: nobody }\n",
	"version: 1\nservice: target\nscopes: {}\nroutes:\n  /**: { ANY: [a, b] }\n",
	"",
}

func (g *target) read(name string) string {
	g.Helper()
	text, err := os.ReadFile(filepath.Join(g.folder, name))
	if err != nil {
		g.Fatal(err)
	}
	return string(text)
}

// TestAHalfWrittenPolicyNeverServes writes a policy in place and slowly. Its first half is a valid
// policy and a weaker one: the rule that closes /public/secret comes last.
func TestAHalfWrittenPolicyNeverServes(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		whole := strings.Replace(g.read("policy.yaml"), "  /admin: {", "  /public/secret: { GET: target.data.admin }\n  /admin: {", 1)
		g.write("policy.yaml", whole)
		g.awaitLog("reloaded", 1)
		half := "version: 1\nservice: target\nscopes: { target.data.admin: A }\nroutes:\n  /public/**: { GET: public }\n"
		path := filepath.Join(g.folder, "policy.yaml")
		for round := range 3 {
			for _, text := range []string{half, half + "  /admin: { GET: target.data.admin }\n", whole} {
				if err := os.WriteFile(path, fmt.Appendf(nil, "%s# %d\n", text, round), 0o600); err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(250 * time.Millisecond); time.Now().Before(end); {
					if status, _, _ := g.ask("GET", "/public/secret", ""); status != 401 {
						t.Fatalf("a half-written policy was served: /public/secret is %d", status)
					}
				}
			}
		}
	})
}

// TestADrainUnderLoadAnswersEverything sends SIGTERM in the middle of POSTs; some clients keep
// their connections, and slow requests are under way.
func TestADrainUnderLoadAnswersEverything(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		g.service.answers(func(r *received) (string, bool) {
			if strings.HasPrefix(r.target, "/public/slow") {
				<-time.After(1500 * time.Millisecond)
			}
			return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false
		})
		load := post(t, g.data, 6)
		var slow sync.WaitGroup
		for n := range 10 {
			slow.Go(func() {
				if status, _, body := g.ask("GET", fmt.Sprintf("/public/slow%d", n), ""); status != 200 || body != "ok" {
					t.Errorf("a slow request through the drain: %d %q", status, body)
				}
			})
		}
		g.eventually("load, and slow requests under way", func() bool { return load.sent.Load() > 200 })
		<-time.After(100 * time.Millisecond)
		g.signal(syscall.SIGTERM)
		slow.Wait()
		if err := <-g.ended; err != nil {
			t.Errorf("the drain ended with %v", err)
		}
		load.stop()
		load.exactlyOnce(g.service.take())
		t.Logf("%d POSTs through a drain, %d lost", load.sent.Load(), load.lost.Load())
	})
}
