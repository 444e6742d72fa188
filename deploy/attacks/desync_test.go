package attacks

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// A gateway that judges one request and has the service see another is desynchronized from it. So
// what the service was sent is read in every way in which back ends are known to read, and each
// reading must find the requests that were judged, at the same places, and nothing else.

// liberty is a framing's deviation from the strict one, as testdata/liberties.yaml has it.
type liberty struct {
	attack `yaml:",inline"`
	Takes  yaml.Node `yaml:"takes"`
}

// reading is a framing with the names of the liberties that it takes.
type reading struct {
	framing
	takes []string
}

func (r *reading) String() string {
	if len(r.takes) == 0 {
		return "strictly"
	}
	return strings.Join(r.takes, "; ")
}

// allReadings are the strict one, those that take one liberty, and those that take two at once.
func allReadings(t *testing.T) []reading {
	t.Helper()
	all := []reading{{}}
	single := load[*liberty](t, "liberties")
	for _, l := range single {
		r := reading{takes: []string{l.Name}}
		l.apply(t, &r.framing)
		all = append(all, r)
	}
	for i, first := range single {
		for _, second := range single[:i] {
			r := reading{takes: []string{first.Name, second.Name}}
			first.apply(t, &r.framing)
			before := r.framing
			second.apply(t, &r.framing)
			after := r.framing
			first.apply(t, &r.framing)
			if after == r.framing && before != after { // they do not concern the same thing
				all = append(all, r)
			}
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d readings", len(all))
	}
	return all
}

func (l *liberty) apply(t *testing.T, f *framing) {
	t.Helper()
	src, err := yaml.Marshal(&l.Takes)
	if err != nil {
		t.Fatal(err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	dec.KnownFields(true)
	if err := dec.Decode(f); err != nil {
		t.Fatalf("%s: %v", l.Name, err)
	}
}

// departure says in what a back end that reads like this is desynchronized from a gateway that sent
// stream and judged these requests in it; "" if it is not. A back end that refuses what it reads may see fewer:
// it closes the connection. whole says that the last request was sent to its end.
func (r *reading) departure(stream string, judged []span, whole bool) string {
	seen, err := r.requests(stream)
	for i, s := range seen {
		if i == len(judged) {
			return fmt.Sprintf("%s %s for %s was judged by nobody", s.method, s.target, s.host)
		}
		if j := judged[i]; s.start != j.start || s.method != j.method || s.target != j.target || s.host != j.host {
			return fmt.Sprintf("%s %s for %s at byte %d is what was judged as %s %s for %s at byte %d",
				s.method, s.target, s.host, s.start, j.method, j.target, j.host, j.start)
		}
	}
	switch {
	case err == errRefused:
		return ""
	case len(seen) < len(judged):
		return fmt.Sprintf("%s %s for %s is taken for content of another request", judged[len(seen)].method, judged[len(seen)].target, judged[len(seen)].host)
	case err == errWaiting && whole:
		return "the next request will be taken for content of the last"
	}
	return ""
}

// inStep fails where some reading of what the service was sent departs from what the gateway judged. What it
// judged is what a strict reading finds; each of these requests bears the id of a line of the gateway's own log
// that allows it.
func (g *target) inStep(attacks []*streamAttack) {
	g.Helper()
	all := allReadings(g.T)
	sent := g.service.sent()
	requests := 0
	for _, stream := range sent {
		judged, err := all[0].requests(stream)
		if err == errRefused {
			g.Errorf("what was sent is not well formed: %q", stream)
		}
		if err != nil && len(judged) > 0 && judged[len(judged)-1].end == len(stream) { // cut in its content
			g.logged(stream, judged[:len(judged)-1])
		} else {
			g.logged(stream, judged)
		}
		requests += len(judged)
		for n, r := range all {
			if testing.Short() && len(r.takes) > 1 && n%8 != 0 {
				continue // the race detector multiplies time
			}
			if bad := r.departure(stream, judged, err == nil); bad != "" {
				g.Errorf("%s: a back end desynchronizes (%s): %s\n%q", nameOf(attacks, judged[0].host), &r, bad, stream)
				break
			}
		}
	}
	g.Logf("%d requests on %d connections, read in %d ways", requests, len(sent), len(all))
}

// logged waits until the log says of each request that it was allowed, by the id that the gateway gave it.
func (g *target) logged(stream string, judged []span) {
	g.Helper()
	for _, s := range judged {
		_, id, _ := strings.Cut(stream[s.start:s.end], "\r\nX-Request-Id: ")
		id = before(id, "\r\n")
		g.eventually(fmt.Sprintf("a line that allows %s %s for %s as %q", s.method, s.target, s.host, id), func() bool {
			line := g.log.ofRequest(id)
			return line["decision"] == "allow" && line["method"] == s.method && line["host"] == s.host && line["path"] == before(s.target, "?")
		})
	}
}

// desync is a test of the judge.
type desync struct {
	attack `yaml:",inline"`
	// Sends are the requests that a gateway sends on one connection, each as it judged it.
	Sends []string `yaml:"sends"`
	// By names the liberty that a back end has to take to be desynchronized, alone or with a second.
	// Where it is left out, there must be none.
	By string `yaml:"by"`
}

// TestTheJudgeKnowsADesync holds the judge against streams that it must find fault with, and others
// that it must not.
func TestTheJudgeKnowsADesync(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector multiplies time, and there is nothing here to race")
	}
	t.Parallel()
	all := allReadings(t)
	used := map[string]bool{}
	for _, d := range load[*desync](t, "desyncs") {
		var stream string
		var judged []span
		for _, text := range d.Sends {
			text = octets(t, text)
			s := span{start: len(stream)}
			fmt.Sscan(text, &s.method, &s.target)
			_, host, _ := strings.Cut(text, "\r\nHost: ")
			s.host, _, _ = strings.Cut(host, "\r\n")
			judged = append(judged, s)
			stream += text
		}
		alone := map[string]bool{} // liberties of which one suffices
		found := false
		for _, r := range all {
			bad := r.departure(stream, judged, true)
			switch {
			case bad == "":
			case d.By == "":
				t.Errorf("%s: harmless, but read thus (%s): %s", d.Name, &r, bad)
			case len(r.takes) < 2:
				alone[r.String()] = true
				found = found || r.String() == d.By
			case r.takes[0] == d.By && !alone[r.takes[1]], r.takes[1] == d.By && !alone[r.takes[0]]:
				found = true
			}
		}
		if d.By != "" && !found {
			t.Errorf("%s (%s): no reading that takes the liberty %q sees it", d.Name, d.Source, d.By)
		}
		used[d.By] = true
	}
	for _, l := range load[*liberty](t, "liberties") {
		if !used[l.Name] {
			t.Errorf("no desync shows that the judge takes the liberty %q", l.Name)
		}
	}
	t.Logf("%d readings", len(all))
}

// relays are gateways that judge by path and copy what they judged: the first knows lengths only, the
// second prefers chunks and reads them as C does, the third ends lines where it can.
var relays = []reading{
	{framing: framing{TE: "never", CLs: "first", CL: "prefix", Name: "keep", Value: "keep", Colon: "drop", Nameless: "drop", Fold: "drop"}},
	{framing: framing{TE: "part", Both: "TE", Old: "take", Name: "trim", Value: "trim", Fold: "join", Size: "strtol", Ext: true, Data: "any"}},
	{framing: framing{Ends: "LF", Both: "TE", Name: "keep", Value: "keep", Colon: "drop", Words: true, Any: true, Size: "prefix", Hosts: "first"}},
}

// TestANaiveRelayIsCaught lets them stand where the gateway stands: a judge that finds no fault with these
// says nothing about it.
func TestANaiveRelayIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector multiplies time, and there is nothing here to race")
	}
	t.Parallel()
	all := allReadings(t)
	attacks := load[*streamAttack](t, "streams")
	for n, relay := range relays {
		caught := 0
		for i, a := range attacks {
			stream, judged, whole := relay.forwards(a.bytes(t, i))
			if slices.ContainsFunc(all, func(r reading) bool { return len(r.takes) < 2 && r.departure(stream, judged, whole) != "" }) {
				caught++
			}
		}
		if caught < 40 {
			t.Errorf("relay %d desynchronizes in %d of %d attacks", n+1, caught, len(attacks))
		}
		t.Logf("relay %d desynchronizes in %d of %d attacks", n+1, caught, len(attacks))
	}
}

// forwards copies what is open to everybody, up to the first that is not, and what cannot be read.
func (r *reading) forwards(stream string) (copied string, judged []span, whole bool) {
	all, err := r.requests(stream)
	for i, s := range all {
		if !open()[patternOf(before(s.target, "?"))][s.method] {
			break
		}
		judged, copied, whole = append(judged, s), stream[:s.end], err == nil || i < len(all)-1
	}
	return copied, judged, whole
}
