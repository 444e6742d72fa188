package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/deploy/parts"
	"github.com/scopegate/scopegate/deploy/uvicorn"
)

// toldRoutes are what testdata/service.py answers.
const toldRoutes = `  /told: { GET: shop.use, POST: shop.use, PUT: shop.use }
  /large: { GET: shop.use }
  /kept: { GET: shop.keep }
  /socket: { GET: public, upgrade: [websocket] }
  /closed-socket: { GET: shop.use, upgrade: [websocket] }
`

// startTold serves testdata/service.py by uvicorn.
func startTold(t *testing.T) string {
	t.Helper()
	uvicorn.Require(t, "uvicorn", "h11", "wsproto")
	return uvicorn.Serve(t, "testdata", "service:app")
}

// TestNode runs testdata/client.mjs, and finds there each claim that the script makes: one
// that ends early with success proves nothing.
func TestNode(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		parts.Missing(t, "node", err.Error())
	}
	script := filepath.Join("testdata", "client.mjs")
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	var claims []string
	for _, m := range regexp.MustCompile(`(?m)^await claim\('([^']+)'`).FindAllSubmatch(text, -1) {
		claims = append(claims, string(m[1]))
	}
	upstream := startTold(t)
	lanes(t, func(t *testing.T, secure bool) {
		g := startGateway(t, secure, upstream, toldRoutes)
		args := []string{script, g.url(""), token(t, "shop.use"), g.ca}
		if exec.CommandContext(t.Context(), "node", "--experimental-websocket", "-e", "").Run() == nil {
			args = slices.Insert(args, 0, "--experimental-websocket")
		}
		node := exec.CommandContext(t.Context(), "node", args...)
		node.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+g.ca, "NODE_NO_WARNINGS=1")
		out, err := node.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, lastLines(string(out), 30))
		}
		var held []string
		for _, m := range regexp.MustCompile(`(?m)^ok (.+)$`).FindAllSubmatch(out, -1) {
			held = append(held, string(m[1]))
		}
		if !slices.Equal(held, claims) {
			t.Errorf("held:\n%v\nclaimed:\n%v", held, claims)
		}
		if strings.Contains(g.log.String(), "upstream_broken") {
			t.Error("the service is blamed for what Node ended")
		}
	})
}
