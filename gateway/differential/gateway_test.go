package differential

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/dataport"
	"github.com/scopegate/scopegate/gateway/fastlane"
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/proxy"
	"github.com/scopegate/scopegate/gateway/token"
	"github.com/scopegate/scopegate/gateway/upstream"
)

// gateway is a data port whose HTTP/1 connections one lane reads, with a
// service of its own. It listens on a unix socket: the lanes read from it by
// the same system calls as from TCP's, and a thousand connections a second
// leave no ports behind.
type gateway struct {
	*service
	lane    string
	gate    *gate.Gate
	policy  *policy.Policy
	checks  *token.Verifier
	make    func(upstream.Config) (closer, error)
	up      closer
	path    string
	most    atomic.Int64 // bytes that one read of a client's socket gives; 0: all
	mu      sync.Mutex   // guards records
	records []record
}

type closer interface{ Close() }

// record is what the gate recorded of a request.
type record struct {
	method string
	reason gate.Reason
	status int
	cut    error
}

// headMax is low, so that fuzzing reaches it.
const headMax = 4 << 10

func newFast(t testing.TB) *gateway {
	return newGateway(t, "fast", func(u upstream.Config) (closer, error) { return fastlane.NewUpstream(u) },
		func(g *gate.Gate) dataport.Lane { return fastlane.New(g, fastlane.Config{HeadMax: headMax}) })
}

func newStandard(t testing.TB) *gateway {
	return newGateway(t, "standard", func(u upstream.Config) (closer, error) { return proxy.NewUpstream(u, nil) },
		func(g *gate.Gate) dataport.Lane { return proxy.New(g, proxy.Config{HTTP1: true, HeadMax: headMax}) })
}

// newMixed is how HTTP/2's requests go: net/http reads the client, and the fast
// lane's connections carry what it read. Its clients speak HTTP/1 here as the others do.
func newMixed(t testing.TB) *gateway {
	return newGateway(t, "mixed", func(u upstream.Config) (closer, error) {
		over, err1 := fastlane.NewUpstream(u)
		up, err2 := proxy.NewUpstream(u, over)
		return mixed{up, over}, errors.Join(err1, err2)
	}, func(g *gate.Gate) dataport.Lane { return proxy.New(g, proxy.Config{HTTP1: true, HeadMax: headMax}) })
}

type mixed struct {
	*proxy.Upstream
	over *fastlane.Upstream
}

func (m mixed) Close() {
	m.Upstream.Close()
	m.over.Close()
}

func newGateway(t testing.TB, name string, up func(upstream.Config) (closer, error), lane func(*gate.Gate) dataport.Lane) *gateway {
	g := &gateway{service: newService(t), lane: name, make: up, path: filepath.Join(t.TempDir(), "gateway")}
	text, err := os.ReadFile("../../deploy/attacks/testdata/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var findings policy.Findings
	if g.policy, findings = policy.Load("policy.yaml", text); g.policy == nil {
		t.Fatal(findings)
	}
	g.checks, err = token.New(token.Config{CacheEntries: 100, Issuers: []token.IssuerConfig{{
		Issuer: issuer, Inline: keys().set, Audience: token.Audience{Mode: token.AudienceNone}, Algorithms: []string{"EdDSA"},
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.gate = gate.New(g.snapshot(t), g)
	read := lane(g.gate)
	port := dataport.New(dataport.Config{ErrorLog: log.New(panics{t}, "", 0)}, read, read)
	l, err := net.Listen("unix", g.path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- port.Serve(slicer{l, &g.most}, nil) }()
	t.Cleanup(func() {
		port.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		g.up.Close()
	})
	return g
}

// panics shows those that the port survives.
type panics struct{ testing.TB }

func (p panics) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte("panic")) {
		p.Errorf("%s", text)
	}
	return len(text), nil
}

// snapshot is the policy with a pool of connections that is new.
func (g *gateway) snapshot(t testing.TB) *gate.Snapshot {
	up, err := g.make(upstream.Config{Scheme: "unix", Address: g.service.path, Timeouts: gate.Timeouts{Upstream: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	g.up = up
	n, err := gate.NewSnapshot([]*gate.Service{{Policy: g.policy, Upstream: up}}, g.checks, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// settle waits until the service has read everything that the lane sent, and
// begins anew: with no connection to the service, and no record.
func (g *gateway) settle(t *testing.T) (received []*message, records []record) {
	t.Helper()
	old := g.up
	g.gate.Publish(g.snapshot(t))
	old.Close()
	g.service.settle(t)
	g.mu.Lock()
	defer g.mu.Unlock()
	records, g.records = g.records, nil
	return g.take(t), records
}

// Record keeps what the gate says of a request that is over.
func (g *gateway) Record(x *gate.Exchange, o gate.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records = append(g.records, record{strings.Clone(x.In().Method), x.Reason(), o.Status, o.Err})
}

func (g *gateway) dial(t *testing.T) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", g.path)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.UnixConn)
}

// patience is how long a lane may need for what takes it microseconds.
const patience = 20 * time.Second

// slicer makes the reads of its connections short, as a network does.
type slicer struct {
	net.Listener
	most *atomic.Int64
}

func (l slicer) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sliced{c.(*net.UnixConn), l.most}, nil
}

type sliced struct {
	*net.UnixConn
	most *atomic.Int64
}

func (c *sliced) Read(p []byte) (int, error) {
	if most := c.most.Load(); most > 0 && most < int64(len(p)) {
		p = p[:most]
	}
	return c.UnixConn.Read(p)
}

const issuer = "http://issuer.test"

type keyring struct {
	set   []byte
	token string // may read and write, for an hour
}

var keys = sync.OnceValue(func() keyring {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": "ann", "exp": time.Now().Add(24 * time.Hour).Unix(), "scope": "target.data.read target.data.write",
	})
	if err != nil {
		panic(err)
	}
	text := b64([]byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"k"}`)) + "." + b64(claims)
	return keyring{
		set:   fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","use":"sig","x":%q}]}`, b64(public)),
		token: text + "." + b64(ed25519.Sign(private, []byte(text))),
	}
})

// filled puts a good token and the host in the places that are kept for them.
func filled(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("$TOKEN"), []byte(keys().token))
	return bytes.ReplaceAll(b, []byte("$H"), []byte("target.test"))
}
