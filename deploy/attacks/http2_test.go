package attacks

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frameAttack is one request over HTTP/2, with its fields in their order and as they are.
type frameAttack struct {
	attack `yaml:",inline"`
	// Fields are pairs of name and value, pseudo-headers among them. $H stands for a host of the
	// attack's own.
	Fields [][2]string `yaml:"fields"`
	Body   string      `yaml:"body"`
	// Spread says that the attack is on the host: the service is then not told whose request it
	// got, and must get none of a host that is not the attack's own.
	Spread bool `yaml:"spread"`
}

// TestNoFrameSmugglesARequest sends every attack on a connection of its own.
func TestNoFrameSmugglesARequest(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l, service: "claim_headers: { X-Tenant: org_id }"})
		g.service.keepStreams()
		attacks := load[*frameAttack](t, "http2")
		named := make([]*streamAttack, len(attacks))
		var running sync.WaitGroup
		slots := make(chan struct{}, 16)
		for i, a := range attacks {
			named[i] = &streamAttack{attack: a.attack}
			slots <- struct{}{}
			running.Go(func() { a.send(t, g.data, hostOf(i)); <-slots })
		}
		running.Wait()
		got := g.service.take()
		g.attribute(got, named)
		g.inStep(named)
		for _, r := range got {
			if !strings.HasSuffix(strings.TrimSuffix(r.host(), ":80"), ".attack.test") {
				t.Errorf("a request for %q was served: %q", r.host(), r.head)
			}
		}
		if status, _, _ := g.ask("GET", "/public/after", ""); status != 200 {
			t.Errorf("afterwards the gateway answers with %d", status)
		}
		t.Logf("%d requests, of which %d reached the service", len(attacks), len(got))
	})
}

func (a *frameAttack) send(t *testing.T, address, host string) {
	c := &http2Client{address: address}
	defer c.close()
	fields := make([][2]string, len(a.Fields))
	for i, f := range a.Fields {
		fields[i] = [2]string{octets(t, strings.ReplaceAll(f[0], "$H", host)), octets(t, strings.ReplaceAll(f[1], "$H", host))}
	}
	_, _, err := c.send(fields, octets(t, strings.ReplaceAll(a.Body, "$H", host)))
	if err != nil && !errors.Is(err, errReset) {
		t.Logf("%s: %v", a.Name, err)
	}
}

// TestGRPCCallersAreRefusedInTheirOwnForm: trailers-only, over HTTP/2 POST alone (hardening 21).
func TestGRPCCallersAreRefusedInTheirOwnForm(t *testing.T) {
	overLanes(t, func(t *testing.T, l lane) {
		g := newTarget(t, site{lane: l})
		c := &http2Client{address: g.data}
		defer c.close()
		for _, a := range []struct {
			method, path, token string
			status              int
			code                string
		}{
			{"POST", "/pkg.Service/Secret", "", 200, "16"},
			{"POST", "/pkg.Service/Secret", g.issuer.token(nil), 200, "7"},
			{"POST", "/pkg.Service/Nothing", "", 200, "12"},
			{"POST", "/pkg.Service/Open/%2e%2e/Secret", "", 200, "3"},
			{"GET", "/admin", "", 401, ""},
		} {
			fields := [][2]string{{":method", a.method}, {":scheme", "http"}, {":authority", "a.test"}, {":path", a.path}, {"content-type", "application/grpc+proto"}, {"te", "trailers"}}
			if a.token != "" {
				fields = append(fields, [2]string{"authorization", "Bearer " + a.token})
			}
			status, got, err := c.send(fields, "")
			if err != nil || status != a.status || got["grpc-status"] != a.code {
				t.Errorf("%s %s: %d, grpc-status %q (%s), %v", a.method, a.path, status, got["grpc-status"], got["grpc-message"], err)
			}
		}
		g.judge(g.service.take())
	})
}

// flood is one way to keep an HTTP/2 server busy at no cost; the gateway has to end it, and
// others have to be served meanwhile.
type flood struct {
	name, source string
	send         func(c *http2Client, n uint32) error
	harmless     bool // need not be ended, so long as nobody suffers
}

var floods = []flood{
	{"CONTINUATION without end", "CVE-2023-45288 (Go), CERT VU#421644", func(c *http2Client, n uint32) error {
		if n == 0 {
			return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block([][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/public/x"}})})
		}
		return c.framer.WriteContinuation(1, false, c.block([][2]string{{fmt.Sprintf("x-%d", n), strings.Repeat("a", 4000)}}))
	}, false},
	{"rapid reset", "CVE-2023-44487", func(c *http2Client, n uint32) error {
		id := 2*n + 1
		if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: true, BlockFragment: c.block([][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/public/x"}})}); err != nil {
			return err
		}
		return c.framer.WriteRSTStream(id, http2.ErrCodeCancel)
	}, false},
	{"resets that the server is made to send", "CVE-2025-8671 (MadeYouReset)", func(c *http2Client, n uint32) error {
		id := 2*n + 1
		if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: c.block([][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/public/x"}})}); err != nil {
			return err
		}
		return c.framer.WriteWindowUpdate(id, 0)
	}, false},
	{"pings", "CVE-2019-9512", func(c *http2Client, n uint32) error { return c.framer.WritePing(false, [8]byte{byte(n)}) }, true},
	{"settings", "CVE-2019-9515", func(c *http2Client, n uint32) error {
		return c.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: n})
	}, true},
	{"empty data", "CVE-2019-9518", func(c *http2Client, n uint32) error {
		if n == 0 {
			return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: c.block([][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/public/x"}})})
		}
		return c.framer.WriteData(1, false, nil)
	}, true},
	{"a bomb of indexed fields", "CVE-2016-6581 (HPACK bomb)", func(c *http2Client, n uint32) error {
		c.out.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/public/x"}} {
			_ = c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		for range 4000 {
			_ = c.encoder.WriteField(hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("b", 3000)})
		}
		return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, EndHeaders: true, EndStream: true, BlockFragment: c.out.Bytes()})
	}, true},
}

// patience is how long somebody else may wait: far longer than an answer takes on a busy machine, and shorter
// than any time limit of the gateway.
const patience = 5 * time.Second

// TestFloodsOfFramesHarmNobodyElse runs each flood from four connections, for half a second or until
// the gateway ends it, and asks as somebody else meanwhile.
func TestFloodsOfFramesHarmNobodyElse(t *testing.T) {
	t.Parallel()
	g := newTarget(t, site{lane: auto})
	for _, f := range floods {
		stop := time.Now().Add(500 * time.Millisecond)
		if !f.harmless {
			stop = stop.Add(30 * time.Second) // it ends earlier, when the gateway ends it
		}
		var running sync.WaitGroup
		ended := make(chan bool, 4)
		for range 4 {
			running.Go(func() { ended <- f.run(g.data, stop) })
		}
		began := time.Now()
		if status, _, _ := g.ask("GET", "/public/x", ""); status != 200 || time.Since(began) > patience {
			t.Errorf("%s (%s): somebody else got %d after %s", f.name, f.source, status, time.Since(began))
		}
		running.Wait()
		for range 4 {
			if !<-ended && !f.harmless {
				t.Errorf("%s (%s): was not ended", f.name, f.source)
			}
		}
	}
	g.notAbove(160 << 20)
}

// run floods until stop; ended says that the gateway put an end to it.
func (f *flood) run(address string, stop time.Time) (ended bool) {
	c := &http2Client{address: address}
	defer c.close()
	if c.dial() != nil {
		return true
	}
	gone := make(chan struct{})
	framer := c.framer
	go func() {
		defer close(gone)
		for {
			if _, err := framer.ReadFrame(); err != nil {
				return
			}
		}
	}()
	for n := uint32(0); time.Now().Before(stop); n++ {
		if f.send(c, n) != nil {
			return true
		}
		select {
		case <-gone:
			return true
		default:
		}
	}
	select {
	case <-gone:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}
