package conformance

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scopegate/scopegate/deploy/parts"
	"github.com/scopegate/scopegate/deploy/uvicorn"
	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/probe"
)

// The services that are probed have two paths; the policy has wider ones around them, one public.
const probedPolicy = `version: 1
service: shop
scopes: { shop.read: Read, shop.admin: Administer }
routes:
  /reports/: { GET: shop.read }
  /admin/users: { GET: shop.admin }
  /{folder}/{page}: { GET: shop.read }
  /{page}: { GET: public }
`

// TestProbe: what `gateway probe` finds out about services in three languages. What a service
// folds is its makers' choice.
func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name     string
		start    func(t *testing.T) string
		same     []probe.Family // taken for the path itself
		redirect []probe.Family // sent back to it
		perhaps  []probe.Family // either, depending on the version
		open     []string       // by which the policy is open
	}{
		{name: "Go, net/http's ServeMux", start: startServeMux,
			redirect: []probe.Family{probe.TrailingSlash, probe.EmptySegment, probe.DotSegment}},
		{name: "Python, FastAPI", start: startFastAPI,
			same:     []probe.Family{probe.EncodedSlash}, // ASGI hands it the decoded path
			redirect: []probe.Family{probe.TrailingSlash},
			// Starlette's patterns end in $, which a line feed may follow.
			perhaps: []probe.Family{probe.EmptySegment, probe.EncodedControl}},
		{name: "Node, by the WHATWG URL", start: nodeService("url"),
			same: []probe.Family{probe.DotSegment, probe.EncodedBackslash, probe.Fragment}},
		{name: "Node, by hand and loosely", start: nodeService("loose"),
			same: []probe.Family{probe.Case, probe.TrailingSlash, probe.EmptySegment, probe.EncodedSlash, probe.Semicolon},
			open: []string{"/ADMIN/USERS", "/Admin/users", "/reports"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, findings := policy.Load("policy.yaml", []byte(probedPolicy))
			if p == nil {
				t.Fatal(findings)
			}
			service, err := probe.NewService(c.start(t), nil, nil, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			report, err := probe.Run(t.Context(), p, service, probe.Options{Jobs: 2})
			if err != nil {
				t.Fatal(err)
			}
			found := map[probe.Reading][]probe.Family{}
			var open []string
			for _, family := range report.Families() {
				for _, f := range report.ByFamily()[family] {
					if !slices.Contains(found[f.Reading], family) && !slices.Contains(c.perhaps, family) {
						found[f.Reading] = append(found[f.Reading], family)
					}
					if f.Open() && f.Reading == probe.Same {
						open = append(open, f.Target)
					}
				}
			}
			slices.Sort(open)
			if !slices.Equal(found[probe.Same], c.same) || !slices.Equal(found[probe.Redirect], c.redirect) {
				t.Errorf("it reads %v as the path, and redirects %v", found[probe.Same], found[probe.Redirect])
			}
			if !slices.Equal(open, c.open) {
				t.Errorf("open by %q", open)
			}
		})
	}
}

func startServeMux(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /reports/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/reports/" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("two reports"))
	})
	mux.HandleFunc("GET /admin/users", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ann")) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func startFastAPI(t *testing.T) string {
	uvicorn.Require(t, "uvicorn", "h11", "fastapi")
	return uvicorn.Serve(t, "testdata/probe", "fastapi_app:app")
}

// nodeService runs testdata/probe/service.mjs, which says on which port it listens.
func nodeService(kind string) func(t *testing.T) string {
	return func(t *testing.T) string {
		if _, err := exec.LookPath("node"); err != nil {
			parts.Missing(t, "node", err.Error())
		}
		node := exec.CommandContext(t.Context(), "node", "testdata/probe/service.mjs", kind)
		out, err := node.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = node.Wait() }) // the context has killed it
		port, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return "http://" + net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
	}
}
