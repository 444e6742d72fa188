package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answerAttack is what a service answers to one request.
type answerAttack struct {
	attack `yaml:",inline"`
	Method string `yaml:"method"` // GET
	Socket bool   `yaml:"socket"` // the client asks for a WebSocket
	// Answer holds the bytes; $LONG stands for a megabyte. Late is sent a little later, End closes
	// the connection behind it all.
	Answer string `yaml:"answer"`
	Late   string `yaml:"late"`
	End    bool   `yaml:"end"`
	// Sees is what the client gets: whole, cut (and notices it), 502, or any of these.
	Sees   string `yaml:"sees"`
	Status int    `yaml:"status"` // of a whole answer; 200 where it is left out
	// Unseen is a further text that the client may not see, beside SMUGGLED.
	Unseen string `yaml:"unseen"`
}

// smuggled is what no client may see.
const smuggled = "SMUGGLED"

// TestNoAnswerHarmsTheNextCaller has every attack answered once, and then asks for something else
// several times, which the pool may send over the same connection.
func TestNoAnswerHarmsTheNextCaller(t *testing.T) {
	t.Parallel()
	g := newTarget(t, site{})
	for _, a := range load[*answerAttack](t, "answers") {
		raw := strings.ReplaceAll(octets(t, a.Answer), "$LONG", strings.Repeat("a", 1<<20))
		g.service.mu.Lock()
		g.service.late = octets(t, a.Late)
		g.service.mu.Unlock()
		g.service.answers(func(r *received) (string, bool) {
			if strings.HasPrefix(r.target, "/public/next") {
				return "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext", false
			}
			return raw, a.End
		})
		if got := a.ask(t, g.data); a.Sees != "any" && got != a.Sees {
			t.Errorf("%s (%s): the client sees %s, want %s", a.Name, a.Source, got, a.Sees)
		}
		for range 3 {
			if status, _, body := g.ask("GET", "/public/next", ""); status != 200 || body != "next" {
				t.Errorf("%s (%s): the next caller got %d %q", a.Name, a.Source, status, body)
			}
		}
	}
}

func (a *answerAttack) ask(t *testing.T, address string) string {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	method := a.Method
	if method == "" {
		method = "GET"
	}
	head := fmt.Sprintf("%s /public/attack HTTP/1.1\r\nHost: attack.test\r\nConnection: close\r\n", method)
	if a.Socket {
		head = "GET /ws HTTP/1.1\r\nHost: attack.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	}
	if method == "POST" {
		head += "Content-Length: 4\r\n"
	}
	_, _ = io.WriteString(c, head+"\r\n")
	if method == "POST" {
		_, _ = io.WriteString(c, "body")
	}
	seen := &strings.Builder{}
	in := bufio.NewReader(io.TeeReader(c, seen))
	sees := a.judge(in, &http.Request{Method: method})
	if strings.Contains(seen.String(), smuggled) || a.Unseen != "" && strings.Contains(seen.String(), a.Unseen) {
		t.Errorf("%s (%s): the client sees what is not for it:\n%s", a.Name, a.Source, seen)
	}
	return sees
}

// judge says what became of the final answer.
func (a *answerAttack) judge(in *bufio.Reader, r *http.Request) string {
	for interim := 0; ; interim++ {
		res, err := http.ReadResponse(in, r)
		switch {
		case err != nil:
			return "cut"
		case res.StatusCode < 200:
			if interim > 8 || res.StatusCode == 101 {
				return fmt.Sprint(res.StatusCode)
			}
			continue
		}
		_, err = io.Copy(io.Discard, res.Body)
		want := a.Status
		if want == 0 {
			want = 200
		}
		switch {
		case res.StatusCode == 502:
			return "502"
		case err != nil:
			return "cut"
		case res.StatusCode != want:
			return fmt.Sprint(res.StatusCode)
		}
		return "whole"
	}
}
