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
	// Sees is what the client gets: whole, cut (and notices it), 502, or any of these. Strict is
	// what it gets over a strict lane, where that differs.
	Sees   string `yaml:"sees"`
	Strict string `yaml:"strict"`
	Status int    `yaml:"status"` // of a whole answer; 200 where it is left out
	// Drops says that the gateway does not use this connection to the service again.
	Drops bool `yaml:"drops"`
	// Unseen is a further text that the client may not see, beside SMUGGLED.
	Unseen string `yaml:"unseen"`
}

// smuggled is what no client may see.
const smuggled = "SMUGGLED"

// TestNoAnswerHarmsTheNextCaller has every attack answered, in one piece and in several, and then asks
// for something else several times, which the pool may send over the same connection.
func TestNoAnswerHarmsTheNextCaller(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		for i, a := range load[*answerAttack](t, "answers") {
			g.hostile(l, a, i, 1)
			g.hostile(l, a, i, pieces)
		}
	})
}

// hostile has one attack answered, in so many pieces.
func (g *target) hostile(l lane, a *answerAttack, i, into int) {
	g.Helper()
	raw := strings.ReplaceAll(octets(g.T, a.Answer), "$LONG", strings.Repeat("a", 1<<20))
	g.service.mu.Lock()
	g.service.late, g.service.pieces = octets(g.T, a.Late), into
	g.service.mu.Unlock()
	g.service.answers(func(r *received) (string, bool) {
		if own, next := strings.CutPrefix(r.target, "/public/next/"); next {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(own), own), false
		}
		return raw, a.End
	})
	want := a.Sees
	if l.strict && a.Strict != "" {
		want = a.Strict
	}
	got := a.ask(g.T, g.data)
	early := want == "cut" && got == "502" // found broken before the client was told anything
	if want != "any" && got != want && !early {
		g.Errorf("%s (%s), in %d: the client sees %s, want %s", a.Name, a.Source, into, got, want)
	}
	dropped := g.service.lastEnds()
	g.service.later.Wait() // nobody can tell an answer that comes in the moment of the next request
	if !l.strict && a.Drops {
		g.await(dropped, a.Name) // http.Transport may use it meanwhile: gateway/README.md, Decisions
	}
	for n := range 3 {
		own := fmt.Sprint(i, "-", n)
		if status, _, body := g.ask("GET", "/public/next/"+own, ""); status != 200 || body != own {
			g.Errorf("%s (%s), in %d: the next caller got %d %q", a.Name, a.Source, into, status, body)
		}
	}
	if a.Drops {
		g.await(dropped, a.Name)
	}
}

// await fails where the gateway keeps a connection that it has to drop. It waits for less than the time for
// which an unused one is kept.
func (g *target) await(dropped <-chan struct{}, attack string) {
	g.Helper()
	select {
	case <-dropped:
	case <-time.After(2 * time.Second):
		g.Errorf("%s: the connection to the service was kept", attack)
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
	if bad := illFormed(seen.String()); bad != "" {
		t.Errorf("%s (%s): the client sees %s:\n%q", a.Name, a.Source, bad, seen)
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

// illFormed says what is wrong with the heads of what a client got, be they interim or final.
func illFormed(answer string) string {
	for strings.HasPrefix(answer, "HTTP/") {
		head, rest, whole := strings.Cut(answer, "\r\n\r\n")
		r := &received{lines: strings.Split(head, "\r\n")}
		status := r.lines[0]
		r.lines = r.lines[1:]
		lengths, codings := r.values("Content-Length"), r.values("Transfer-Encoding")
		switch {
		case !whole:
			return "half a head"
		case strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00"):
			return "a bare CR, LF or NUL in a head"
		case len(lengths) > 1 || len(codings) > 1 || len(lengths) > 0 && len(codings) > 0:
			return "two framings"
		}
		for _, line := range r.lines {
			if name, _, found := strings.Cut(line, ":"); !found || !token(name) {
				return "a line that is no field"
			}
		}
		if !strings.HasPrefix(status, "HTTP/1.1 1") {
			return ""
		}
		answer = rest
	}
	return ""
}
