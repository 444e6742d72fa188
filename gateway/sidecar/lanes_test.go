package sidecar_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spoken is a way in which a client may speak to the gateway.
type spoken struct {
	name  string
	major int
	lane  string // that reads HTTP/1
	over  string // tcp, tls or unix
}

// ways are all of them. The first is what the others are held against.
var ways = []spoken{
	{"HTTP/1.1 fast", 1, "auto", "tcp"},
	{"HTTP/1.1 fast over TLS", 1, "auto", "tls"},
	{"HTTP/1.1 fast over a unix socket", 1, "auto", "unix"},
	{"HTTP/1.1 standard", 1, "standard", "tcp"},
	{"HTTP/1.1 standard over TLS", 1, "standard", "tls"},
	{"HTTP/1.1 standard over a unix socket", 1, "standard", "unix"},
	{"h2 over TLS", 2, "auto", "tls"},
	{"h2c", 2, "auto", "tcp"},
}

// TestLanesRecordTheSame asks the same of a gateway in every way, and holds against each other
// what the client is told, what the service sees, what the decision log says and what the
// metrics count.
func TestLanesRecordTheSame(t *testing.T) {
	told := make([]*account, len(ways))
	t.Run("ask", func(t *testing.T) {
		for i, way := range ways {
			t.Run(way.name, func(t *testing.T) { told[i] = newShop(t, way).tell(steps) })
		}
	})
	if t.Failed() {
		return
	}
	for i, way := range ways[1:] {
		t.Run(way.name, func(t *testing.T) {
			for _, x := range steps {
				want, got := told[0].exchanges[x.name], told[i+1].exchanges[x.name]
				if x.unread && way.major == 1 && way.lane == "standard" {
					want, got = only(want, counted...), only(got, counted...)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s (-) and %s (+): %s", x.name, ways[0].name, way.name, d)
				}
			}
			if d := cmp.Diff(told[0].metrics, told[i+1].metrics); d != "" {
				t.Errorf("%s (-) and %s (+): %s", ways[0].name, way.name, d)
			}
		})
	}
}

// counted is what the log says of a request that no handler has seen.
var counted = []string{"status", "log status", "log reason", "log decision", "log service", "log route", "log bytes_in"}

// only are the entries with these keys.
func only(m map[string]any, keys ...string) map[string]any {
	out := map[string]any{}
	for _, key := range keys {
		out[key] = m[key]
	}
	return out
}

// TestCallsRecordTheSame is that for gRPC, which there is over HTTP/2 only.
func TestCallsRecordTheSame(t *testing.T) {
	told := make([]*account, 2)
	t.Run("ask", func(t *testing.T) {
		for i, way := range ways[len(ways)-2:] {
			t.Run(way.name, func(t *testing.T) { told[i] = newShop(t, way).tell(calls) })
		}
	})
	if t.Failed() {
		return
	}
	if d := cmp.Diff(told[0], told[1], cmp.AllowUnexported(account{})); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]string{"allowed": "0", "no token": "16", "no such method": "12", "the service is not there": "14"} {
		x := told[0].exchanges[name]
		got := x["field Grpc-Status"] // a trailers-only answer
		if got == nil {
			got = x["trailer Grpc-Status"]
		}
		if d := cmp.Diff([]any{want}, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// account is what became of all steps in one way.
type account struct {
	exchanges map[string]map[string]any
	metrics   map[string]float64
}

// shop is a world with services for every fate that a request can have.
type shop struct {
	*world
	way    spoken
	client *http.Client
	seen   atomic.Pointer[map[string]any]
	inside chan struct{} // receives when /open/silent was asked
}

const shopPolicy = `version: 1
service: shop
scopes:
  shop.items.read: Read items
  shop.items.write: Write items
routes:
  /open/**:
    ANY: public
  /items/{id}:
    GET: shop.items.read
    POST: shop.items.write
  /closed:
    GET: nobody
  /fresh:
    GET: { all: [shop.items.read], max_age: 5m, acr: strong }
  /orgs/{org}:
    GET: { all: [shop.items.read], claims: { org_id: "{org}" } }
  /shop.Items/Get:
    POST: shop.items.read
`

// shopCandidate opens and closes doors of the policy, so that what is said of it is compared too.
const shopCandidate = `version: 1
service: shop
scopes:
  shop.items.read: Read items
  shop.items.write: Write items
routes:
  /open/**:
    ANY: public
    POST: shop.items.write
  /items/{id}:
    GET: { all: [shop.items.read], claims: { org_id: acme } }
    POST: public
  /nowhere:
    GET: shop.items.read
  /orgs/{org}:
    GET: authenticated
`

func newShop(t *testing.T, way spoken) *shop {
	s := &shop{world: newWorld(t), way: way, inside: make(chan struct{}, 1)}
	service := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	service.Config.Protocols = new(http.Protocols)
	service.Config.Protocols.SetHTTP1(true)
	service.Config.Protocols.SetUnencryptedHTTP2(true)
	service.Start()
	t.Cleanup(service.Close)
	s.write("policies/shop.yaml", shopPolicy)
	s.write("policies/shop.next.yaml", shopCandidate)
	one := func(host, upstream, more string) string {
		return "  - policy: policies/shop.yaml\n    hosts: [" + host + "]\n    upstream: " + upstream + "\n    lane: " + way.lane +
			"\n    cors: { origins: [https://app.example], credentials: true }\n" + more
	}
	head, _, _ := strings.Cut(s.config(""), "services:")
	text := head + "drain_delay: 0s\nlog: { format: json }\nservices:\n" +
		one("shop.test", service.URL, "    candidate: policies/shop.next.yaml\n    limits: { head: 4KiB, body: 1000 }\n") +
		one("slow.test", service.URL, "    limits: { head: 4KiB }\n    timeouts: { upstream: 300ms, body_idle: 300ms }\n") +
		one("gone.test", "unix:"+filepath.Join(s.dir, "none"), "    limits: { head: 4KiB }\n") +
		one("rpc.test", "h2c://"+service.Listener.Addr().String(), "    limits: { head: 4KiB }\n")
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(way.major == 1)
	transport.Protocols.SetHTTP2(way.major == 2)
	transport.Protocols.SetUnencryptedHTTP2(way.major == 2)
	switch way.over {
	case "tls":
		cert, key := newAuthority(t).issue(1)
		s.write("cert.pem", cert)
		s.write("key.pem", key)
		text += "tls: { cert: cert.pem, key: key.pem }\n"
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	case "unix":
		dir, err := os.MkdirTemp("", "lane") // the test's own folder has too long a name for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		s.socket = filepath.Join(dir, "s")
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		}
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
	s.write("gateway.yaml", text)
	s.ready()
	switch way.over {
	case "tls":
		s.data = strings.Replace(s.data, "http://", "https://", 1)
	case "unix":
		s.data = "http://unix"
	}
	return s
}

// serve notes what it sees, and answers always the same.
func (s *shop) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	seen := map[string]any{"line": r.Method + " " + r.RequestURI, "host": r.Host, "body": string(body), "te": r.TransferEncoding}
	for name, values := range r.Header {
		seen["field "+name] = values
	}
	s.seen.Store(&seen)
	switch r.URL.Path {
	case "/open/silent":
		if r.Host == "shop.test" {
			s.inside <- struct{}{}
		}
		<-r.Context().Done()
	case "/open/broken":
		panic(http.ErrAbortHandler)
	case "/open/half":
		w.Header().Set("Content-Length", "100000")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "/open/streamed":
		http.NewResponseController(w).Flush()
	case "/shop.Items/Get":
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		defer w.Header().Set("Grpc-Status", "0")
	case "/open/nothing":
		w.WriteHeader(http.StatusNoContent)
		return
	}
	io.WriteString(w, "the service's")
}

// tell takes the steps one by one.
func (s *shop) tell(steps []step) *account {
	a := &account{exchanges: map[string]map[string]any{}}
	before := s.counters()
	for i, step := range steps {
		a.exchanges[step.name] = s.take(step, i+1)
	}
	a.metrics = s.counters()
	for series, n := range before {
		a.metrics[series] -= n
	}
	return a
}

// take takes one step, of which there must be one line: the n-th.
func (s *shop) take(x step, n int) map[string]any {
	s.t.Helper()
	s.seen.Store(nil)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	if x.leave {
		go func() {
			select {
			case <-s.inside:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	found := map[string]any{}
	res, err := s.client.Do(s.request(ctx, x))
	switch {
	case x.cut:
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if err == nil {
			s.t.Errorf("%s: passes for a whole answer", x.name)
		}
	case x.leave && err != nil:
	case err != nil:
		s.t.Fatalf("%s: %v", x.name, err)
	default:
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			s.t.Errorf("%s: %v", x.name, err)
		}
		found["status"], found["body"] = res.StatusCode, string(body)
		for name, values := range res.Header {
			found["field "+name] = values
		}
		for name, values := range res.Trailer {
			found["trailer "+name] = values
		}
	}
	cancel()
	var lines []map[string]any
	s.eventually("line of "+x.name, func() bool { lines = s.log.lines(s.t); return len(lines) >= n })
	if len(lines) != n {
		s.t.Fatalf("%s: %d lines more than one: %v", x.name, len(lines)-n, lines[n-1:])
	}
	line := lines[n-1]
	for key, value := range line {
		found["log "+key] = value
	}
	if seen := s.seen.Load(); seen != nil && !x.leave {
		for key, value := range *seen {
			found["service "+key] = value
		}
		s.checkForwarding(x, *seen)
	}
	return s.comparable(x, found, line["request_id"].(string))
}

// checkForwarding looks at what is different in every way.
func (s *shop) checkForwarding(x step, seen map[string]any) {
	s.t.Helper()
	want := map[string]any{"field X-Forwarded-For": []string{"127.0.0.1"}, "field X-Forwarded-Proto": []string{"http"}}
	switch s.way.over {
	case "tls":
		want["field X-Forwarded-Proto"] = []string{"https"}
	case "unix":
		delete(want, "field X-Forwarded-For")
	}
	got := map[string]any{}
	for _, name := range []string{"field X-Forwarded-For", "field X-Forwarded-Proto"} {
		if seen[name] != nil {
			got[name] = seen[name]
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		s.t.Errorf("%s: %s", x.name, d)
	}
}

// made is a traceparent of the gateway's own.
var made = regexp.MustCompile(`00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]`)

// comparable leaves out what is different each time, and gives names to what is random.
func (s *shop) comparable(x step, found map[string]any, id string) map[string]any {
	s.t.Helper()
	for _, key := range slices.Concat([]string{"field Date", "log time", "log duration_ms", "log upstream_ms", "service field X-Forwarded-For", "service field X-Forwarded-Proto"}, x.differs) {
		delete(found, key)
	}
	text, err := json.Marshal(found)
	if err != nil {
		s.t.Fatal(err)
	}
	named := strings.NewReplacer(id, "ID", s.issuer.URL, "ISSUER", s.dir, "DIR").Replace(string(text))
	if !strings.Contains(x.text(), "Traceparent") {
		named = made.ReplaceAllString(named, "MADE")
	}
	out := map[string]any{}
	if err := json.Unmarshal([]byte(named), &out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// counters are those of requests, by their labels.
func (s *shop) counters() map[string]float64 {
	s.t.Helper()
	families, err := s.gateway.Registry().Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "scopegate_gateway_request") && !strings.HasPrefix(f.GetName(), "scopegate_gateway_candidate_decisions") && !strings.HasPrefix(f.GetName(), "scopegate_gateway_upstream") {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			series := f.GetName()
			for _, name := range slices.Sorted(maps.Keys(labels)) {
				series += " " + name + "=" + labels[name]
			}
			out[series] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}
