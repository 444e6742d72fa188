package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// pathAttack is a family of request targets. Either targets are listed, or shape says how parts
// are put together: every combination is tried.
type pathAttack struct {
	attack  `yaml:",inline"`
	Targets []string            `yaml:"targets"`
	Shape   string              `yaml:"shape"`
	Parts   map[string][]string `yaml:"parts"`
}

func (a *pathAttack) all(t *testing.T) []string {
	all := slices.Clone(a.Targets)
	if a.Shape != "" {
		all = append(all, a.Shape)
	}
	for name, values := range a.Parts {
		var next []string
		for _, target := range all {
			if !strings.Contains(target, "{"+name+"}") {
				next = append(next, target)
				continue
			}
			for _, v := range values {
				next = append(next, strings.ReplaceAll(target, "{"+name+"}", v))
			}
		}
		all = next
	}
	for i := range all {
		all[i] = octets(t, all[i])
	}
	return all
}

// TestNoSpellingOfAPathReachesAClosedRoute sends every target over HTTP/1.1 and over HTTP/2.
func TestNoSpellingOfAPathReachesAClosedRoute(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		targets := make(chan string)
		var senders sync.WaitGroup
		for range 8 {
			senders.Go(func() {
				lines, frames := &keptAlive{address: g.data}, &http2Client{address: g.data}
				defer lines.close()
				defer frames.close()
				for target := range targets {
					status, err := lines.get(target)
					g.answered(target, status, err)
					status, err = frames.get(target)
					g.answered(target, status, err)
				}
			})
		}
		count := 0
		for _, a := range load[*pathAttack](t, "paths") {
			for _, target := range a.all(t) {
				count++
				targets <- target
			}
		}
		close(targets)
		senders.Wait()
		got := g.service.take()
		if len(got) < 50 { // some spellings are harmless: if none came through, nothing was tested
			t.Errorf("only %d requests reached the service", len(got))
		}
		g.judge(got)
		t.Logf("%d targets, twice each; %d requests reached the service", count, len(got))
	})
}

// answered checks that a target got some answer: a gateway that crashes or hangs protects nothing.
func (g *target) answered(target string, status int, err error) {
	if err != nil || status < 200 || status > 501 {
		g.Errorf("%q: status %d, %v", target, status, err)
	}
}

// keptAlive sends request after request over one connection, and dials again when the gateway
// closes it.
type keptAlive struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

func (k *keptAlive) close() {
	if k.conn != nil {
		k.conn.Close()
		k.conn = nil
	}
}

func (k *keptAlive) get(target string) (status int, err error) {
	if k.conn == nil {
		if k.conn, err = net.Dial("tcp", k.address); err != nil {
			return 0, err
		}
		k.in = bufio.NewReader(k.conn)
	}
	k.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(k.conn, "GET %s HTTP/1.1\r\nHost: attack.test\r\n\r\n", target); err != nil {
		k.close()
		return 0, err
	}
	res, err := http.ReadResponse(k.in, nil)
	if err != nil {
		k.close()
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.Close || err != nil {
		k.close()
	}
	return res.StatusCode, err
}
