package attacks

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ordinary is what an ordinary client writes to one connection.
type ordinary struct {
	attack `yaml:",inline"`
	// Send holds the bytes; $H stands for a text of its own, by which its requests are known again,
	// $TOKEN for a good token, $COOKIE for 6,000 letters. Then is sent once the gateway has answered
	// anything.
	Send string `yaml:"send"`
	Then string `yaml:"then"`
	Body string `yaml:"body"` // what the service gets as content, of all requests together
	// Requests is how many of them there are, 1 where it is left out.
	Requests int `yaml:"requests"`
}

// TestOrdinaryTrafficIsNotRefused: strictness that keeps ordinary clients out is no use. Each gets its 200, and
// the service its fields and its content, be it sent in one piece or in several.
func TestOrdinaryTrafficIsNotRefused(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		all := load[*ordinary](t, "ordinary")
		token := g.issuer.token(nil)
		for i, o := range all {
			fill := strings.NewReplacer("$H", hostOf(i), "$TOKEN", token, "$COOKIE", strings.Repeat("c", 6000))
			o.Send, o.Then, o.Body = fill.Replace(octets(t, o.Send)), fill.Replace(octets(t, o.Then)), octets(t, o.Body)
			o.Requests = max(1, o.Requests)
		}
		for _, into := range []int{1, pieces} {
			var running sync.WaitGroup
			slots := make(chan struct{}, 16)
			for i, o := range all {
				slots <- struct{}{}
				running.Go(func() { o.ask(t, g.data, cutUp(o.Send, into, uint64(i))); <-slots })
			}
			running.Wait()
			got := g.service.take()
			for i, o := range all {
				o.arrived(t, slices.DeleteFunc(slices.Clone(got), func(r *received) bool { return !strings.Contains(r.head, hostOf(i)) }))
			}
		}
		t.Logf("%d ordinary clients", len(all))
	})
}

// ask plays the client, and wants 200 for each request.
func (o *ordinary) ask(t *testing.T, address string, send []string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	_ = write(c, send)
	in := bufio.NewReader(c)
	if o.Then != "" {
		if _, err := in.Peek(1); err != nil {
			t.Errorf("%s: no answer: %v", o.Name, err)
		}
		_, _ = io.WriteString(c, o.Then)
	}
	method, _, _ := strings.Cut(o.Send, " ")
	for range o.Requests {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		for err == nil && res.StatusCode == http.StatusContinue {
			res, err = http.ReadResponse(in, &http.Request{Method: method})
		}
		if err != nil {
			t.Errorf("%s: no answer: %v", o.Name, err)
			return
		}
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != 200 || err != nil {
			t.Errorf("%s (%s): %s %s %v", o.Name, o.Source, res.Status, body, err)
		}
	}
}

// arrived compares what the service got with what was sent.
func (o *ordinary) arrived(t *testing.T, got []*received) {
	t.Helper()
	if len(got) != o.Requests {
		t.Errorf("%s: %d requests reached the service, want %d", o.Name, len(got), o.Requests)
		return
	}
	body := ""
	for _, r := range got {
		body += string(r.body)
	}
	if body != o.Body {
		t.Errorf("%s: the service got %q, want %q", o.Name, body, o.Body)
	}
	lines := strings.Split(before(o.Send, "\r\n\r\n"), "\r\n")[1:]
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		if !ends(name) && !slices.Contains(got[0].values(name), strings.Trim(value, " \t")) {
			t.Errorf("%s: %q did not arrive:\n%s", o.Name, line, got[0].head)
		}
	}
}

// ends says that a field ends at the gateway, or is written by it.
func ends(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "x-forwarded-") || slices.Contains([]string{
		"host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
		"content-length", "expect", "x-real-ip", "x-request-id", "authorization", "traceparent",
	}, name)
}
