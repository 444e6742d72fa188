package sidecar_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopegate/scopegate/gateway/sidecar"
)

// issuer is an authorization server as far as the gateway can see one.
type issuer struct {
	*httptest.Server
	key     *rsa.PrivateKey
	down    atomic.Bool
	fetches atomic.Int64
}

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newIssuer(t testing.TB) *issuer {
	i := &issuer{key: signingKey()}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		if i.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		n := base64.RawURLEncoding.EncodeToString(i.key.N.Bytes())
		e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes())
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig", "n": n, "e": e}}})
	}))
	t.Cleanup(i.Close)
	return i
}

// token signs an access token with the scopes and any further claims.
func (i *issuer) token(t testing.TB, scopes string, more map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": i.URL, "sub": "ann", "client_id": "cli", "scope": scopes,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range more {
		claims[k] = v
	}
	return i.sign(t, map[string]any{"alg": "RS256", "typ": "at+jwt", "kid": "k1"}, claims)
}

// sign makes a token of any head and claims.
func (i *issuer) sign(t testing.TB, head, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lines returns the decision log, parsed.
func (b *buffer) lines(t testing.TB) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("not JSON: %s", line)
		}
		if m["msg"] == "request" {
			out = append(out, m)
		}
	}
	return out
}

// world is one gateway over real sockets, with an issuer and a service.
type world struct {
	t        testing.TB
	dir      string
	issuer   *issuer
	service  *httptest.Server
	served   atomic.Int64
	gateway  *sidecar.Sidecar
	log      *buffer
	data     string // http://host:port
	socket   string // where the data port listens in place of that, if it is set
	admin    string
	reloads  chan bool
	pause    func(context.Context, time.Duration) error // nil: no pause at all
	patience time.Duration                              // 0: as it is
	stop     context.CancelFunc
	ended    chan error
}

const worldPolicy = `version: 1
service: example_service
scopes:
  example_service.billing.read: Read billing
  example_service.billing.write: Write billing
routes:
  /billing/:
    GET: example_service.billing.read
    POST: example_service.billing.write
  /billing/{org}/invoices:
    GET:
      any: [example_service.billing.read]
      claims: { org_id: "{org}" }
  /healthz:
    GET: public
  /any:
    ANY: public
`

// config is the world's gateway.yaml; what is given replaces single lines by their key.
func (w *world) config(more string) string {
	return `version: 1
issuers:
  - issuer: ` + w.issuer.URL + `
    jwks_uri: ` + w.issuer.URL + `/jwks
    audience: none
    jwks: { min_refresh: 1s }
services:
  - policy: policies/billing.yaml
    upstream: ` + w.service.URL + `
drain_delay: 0s
log: { format: json }
` + more
}

// newWorld makes issuer, service and files, and starts nothing.
func newWorld(t testing.TB) *world {
	if t, ok := t.(*testing.T); ok {
		t.Parallel() // worlds share nothing, and every drain takes a second
	}
	return newLoneWorld(t)
}

// newLoneWorld is one beside which no other test runs.
func newLoneWorld(t testing.TB) *world {
	w := &world{t: t, dir: t.TempDir(), issuer: newIssuer(t), log: &buffer{}, reloads: make(chan bool, 64), ended: make(chan error, 1)}
	w.service = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.served.Add(1)
		rw.Header().Set("X-Got-Subject", r.Header.Get("X-Auth-Subject"))
		_, _ = rw.Write(append([]byte("service: "), body...))
	}))
	t.Cleanup(w.service.Close)
	w.write("policies/billing.yaml", worldPolicy)
	w.write("gateway.yaml", w.config(""))
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil { // as editors and deployment tools do
		w.t.Fatal(err)
	}
}

// start serves the files as they are now; the test's end drains.
func (w *world) start() {
	w.t.Helper()
	cfg := mustLoad(w.t, sidecar.Source{File: filepath.Join(w.dir, "gateway.yaml")})
	g, err := sidecar.New(cfg, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.gateway = g
	g.SetPause(func(ctx context.Context, d time.Duration) error {
		if w.pause != nil {
			return w.pause(ctx, d)
		}
		return ctx.Err()
	})
	if w.patience != 0 {
		g.SetPatience(w.patience)
	}
	g.OnReload(func(ok bool) { w.reloads <- ok })
	data, admin := listen(w.t), listen(w.t)
	if w.socket != "" {
		data.Close()
		var err error
		if data, err = net.Listen("unix", w.socket); err != nil {
			w.t.Fatal(err)
		}
	}
	w.data, w.admin = "http://"+data.Addr().String(), "http://"+admin.Addr().String()
	ctx, stop := context.WithCancel(w.t.Context())
	w.stop = stop
	go func() { w.ended <- g.Serve(ctx, data, admin); close(w.ended) }()
	w.t.Cleanup(func() {
		stop()
		if err, open := <-w.ended; open && err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
}

// ready starts, and waits until requests are welcome.
func (w *world) ready() {
	w.t.Helper()
	w.start()
	w.eventually("ready", func() bool { return w.get(w.admin+"/readyz", "").status == 200 })
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits for a condition that other goroutines bring about.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-limit.C:
			w.t.Fatalf("never: %s\nlog:\n%s", what, w.log)
		case <-tick.C:
		}
	}
}

// reloaded waits for the next attempt to load, and says whether it was taken.
func (w *world) reloaded() bool {
	w.t.Helper()
	select {
	case ok := <-w.reloads:
		return ok
	case <-time.After(20 * time.Second):
		w.t.Fatalf("no reload\nlog:\n%s", w.log)
	}
	return false
}

// logged waits until the log, which is written in the background, holds a text.
func (w *world) logged(text string) {
	w.t.Helper()
	w.eventually("logged "+text, func() bool { return strings.Contains(w.log.String(), text) })
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) do(method, url, token string, body io.Reader) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, url, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

func (w *world) get(url, token string) answer { return w.do("GET", url, token, nil) }

// sample returns the value of a metric's line, given without namespace; "" if it is absent.
func (w *world) sample(series string) string {
	w.t.Helper()
	for line := range strings.Lines(w.get(w.admin+"/metrics", "").body) {
		if rest, ok := strings.CutPrefix(line, "scopegate_gateway_"+series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
