package deploy_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/scopegate/scopegate"

// listed is what `go list` says of one package of this module.
type listed struct {
	ImportPath, Dir, Name, Doc         string
	Imports, TestImports, XTestImports []string
	Deps                               []string
	GoFiles                            []string
}

// rel is the package's path inside the module: gateway/policy.
func (p *listed) rel() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// packages lists the module's packages with their dependencies.
func packages(t *testing.T) []*listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,Imports,TestImports,XTestImports,Deps,GoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []*listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := &listed{}
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// within tells whether path is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}

// libraries says where a foreign package may be imported, tests included. A type of a
// library that leaks into a second room makes the library impossible to replace.
var libraries = []struct {
	library string
	rooms   []string
	why     string
}{
	{"github.com/labstack/echo", []string{"authserver/server"}, "the web framework is the auth server's business, and only its outer room's"},
	{"github.com/labstack/gommon", []string{"authserver/server"}, "it is a part of echo"},
	{"database/sql", []string{"authserver/store"}, "SQL stays behind the store interface"},
	{"modernc.org", []string{"authserver/store"}, "SQL stays behind the store interface"},
	{"github.com/pressly/goose", []string{"authserver/store"}, "migrations belong to the store"},
	{"github.com/prometheus", []string{"gateway/sidecar", "authserver/server", "billing/ledger"}, "inner rooms report through hooks and know no exporter"},
	{"github.com/lestrrat-go/jwx", []string{"authserver/token", "gateway/token"}, "one JOSE room on each side, so that the library's next major version is two small changes"},
	{"gopkg.in/yaml.v3", []string{"gateway/policy", "gateway/openapi", "gateway/sidecar", "authserver/server", "config", "deploy"}, "YAML is read where a file becomes a value, and nowhere else"},
	{"github.com/alecthomas/kong", []string{"authserver", "gateway", "billing", "deploy/demo"}, "flags are the business of the four main packages"},
	{"github.com/getkin/kin-openapi", []string{"gateway/openapi"}, "the library's types change with each of its versions"},
	{"github.com/fsnotify/fsnotify", []string{"gateway/sidecar"}, "only the sidecar watches files"},
}

// kong is for main packages themselves, not for what lies below them.
const kong = "github.com/alecthomas/kong"

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range slices.Concat(p.Imports, testImports(p)) {
			for _, l := range libraries {
				if !within(imported, l.library) {
					continue
				}
				allowed := slices.ContainsFunc(l.rooms, func(room string) bool {
					return p.rel() == room || l.library != kong && within(p.rel(), room)
				})
				if !allowed {
					t.Errorf("%s imports %s: %s (allowed in %s)", p.rel(), imported, l.why, strings.Join(l.rooms, ", "))
				}
			}
		}
	}
}

// testImports are the imports of a package's tests, except the foreign judges that a test
// may bring: SQL to look into a database file, JOSE to forge, metrics to lint.
func testImports(p *listed) []string {
	judges := []string{"database/sql", "modernc.org", "github.com/lestrrat-go/jwx", "github.com/prometheus", "gopkg.in/yaml.v3"}
	return slices.DeleteFunc(slices.Concat(p.TestImports, p.XTestImports), func(imported string) bool {
		return slices.ContainsFunc(judges, func(judge string) bool { return within(imported, judge) })
	})
}

// rooms says which of our packages a package must not import, in its code and in its tests.
var rooms = []struct {
	room      string
	forbidden []string
	why       string
}{
	{"authserver", []string{"gateway", "billing", "deploy", "config"}, "the three binaries share the wire and nothing else"},
	{"gateway", []string{"authserver", "billing", "deploy", "config"}, "the three binaries share the wire and nothing else"},
	{"billing", []string{"authserver", "gateway", "deploy", "config"}, "the three binaries share the wire and nothing else"},
	{"authserver/account", []string{"authserver/server", "authserver/token", "authserver/store"}, "the rules of who may do what know no HTTP, no SQL and no keys; the store's interface stands in account"},
	{"authserver/token", []string{"authserver/server", "authserver/store", "authserver/account"}, "issuing knows claims and keys, not users or rows' engine"},
	{"authserver/store", []string{"authserver/server"}, "storage is below the server"},
	{"gateway/policy", []string{"gateway"}, "the policy engine stands on nothing of ours"},
	{"gateway/openapi", []string{"gateway/token", "gateway/gate", "gateway/dataport", "gateway/proxy", "gateway/fastlane", "gateway/sidecar"}, "reading documents has nothing to do with serving"},
	{"gateway/token", []string{"gateway/policy", "gateway/gate", "gateway/dataport", "gateway/proxy", "gateway/fastlane", "gateway/sidecar"}, "verifying tokens and judging requests do not know each other"},
	{"gateway/gate", []string{"gateway/seal", "gateway/dataport", "gateway/proxy", "gateway/fastlane", "gateway/sidecar"}, "the gate knows no server, so that a second lane can stand beside the first"},
	{"gateway/seal", []string{"gateway/policy", "gateway/token", "gateway/gate", "gateway/dataport", "gateway/proxy", "gateway/fastlane", "gateway/sidecar"}, "what is sealed is bytes to the room that seals it"},
	{"gateway/dataport", []string{"gateway/policy", "gateway/token", "gateway/gate", "gateway/proxy", "gateway/fastlane", "gateway/sidecar"}, "the data port knows sockets, not requests"},
	{"gateway/decisions", []string{"gateway"}, "reading the log knows its lines, and no policy"},
	{"gateway/replay", []string{"gateway/sidecar", "gateway/proxy", "gateway/fastlane", "gateway/dataport", "gateway/token"}, "a replay asks policies about lines, and starts no gateway"},
	{"gateway/learn", []string{"gateway/sidecar", "gateway/proxy", "gateway/fastlane", "gateway/dataport", "gateway/token", "gateway/gate", "gateway/replay"}, "learning stands on the log and the policy language alone"},
	{"gateway/proxy", []string{"gateway/sidecar", "gateway/fastlane"}, "lanes are below the sidecar and do not know each other"},
	{"gateway/fastlane", []string{"gateway/sidecar", "gateway/proxy"}, "lanes are below the sidecar and do not know each other"},
}

// schemas is data that binaries carry to print it: the formats are the contract with editors.
const schemas = "config/schema"

func TestRoomsDoNotReachThroughWalls(t *testing.T) {
	for _, p := range packages(t) {
		for _, r := range rooms {
			if !within(p.rel(), r.room) {
				continue
			}
			imports := slices.Concat(p.Imports, p.TestImports)
			if !strings.Contains(r.room, "/") {
				imports = append(imports, p.XTestImports...)
			} // else: an external test stands outside the room, and may bring its real neighbours of the same binary
			for _, imported := range imports {
				target, ours := strings.CutPrefix(imported, module+"/")
				if !ours || within(target, r.room) || target == schemas {
					continue
				}
				if slices.ContainsFunc(r.forbidden, func(f string) bool { return within(target, f) }) {
					t.Errorf("%s imports %s: %s", p.rel(), target, r.why)
				}
			}
		}
	}
}

// A whole binary is looked at by its transitive dependencies: nothing slips in through a
// package in between.
func TestBinariesDoNotContainOneAnother(t *testing.T) {
	binaries := []string{"authserver", "gateway", "billing"}
	for _, p := range packages(t) {
		if !slices.Contains(binaries, p.rel()) {
			continue
		}
		for _, dep := range p.Deps {
			target, ours := strings.CutPrefix(dep, module+"/")
			if ours && !within(target, p.rel()) && target != schemas {
				t.Errorf("the binary %s contains %s: the three binaries share the wire and nothing else", p.rel(), target)
			}
		}
		contains := func(library string) bool {
			return slices.ContainsFunc(p.Deps, func(dep string) bool { return within(dep, library) })
		}
		if p.rel() == "billing" && contains("github.com/lestrrat-go/jwx") {
			t.Error("billing contains a JOSE library: it must know nothing of tokens")
		}
		// database/sql itself is in it: client_golang's collectors import it for a collector of
		// database statistics. A driver would be ours.
		if p.rel() == "gateway" && (contains("modernc.org") || contains("github.com/labstack/echo")) {
			t.Error("gateway contains a database or a web framework: it is stateless, and its path is its own")
		}
	}
}

// impure are the direct imports by which the policy engine could see the world. fmt and
// the YAML decoder import os themselves, so the check is on what the room writes.
var impure = []string{"net", "net/http", "os", "os/exec", "os/signal", "io/fs", "log", "log/slog", "runtime", "sync", "syscall", "context", "math/rand", "math/rand/v2", "crypto/rand", "unsafe"}

// clocks are the functions of package time that read one.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep"}

func TestPolicyIsPure(t *testing.T) {
	for _, p := range packages(t) {
		if p.rel() != "gateway/policy" {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains(impure, imported) {
				t.Errorf("gateway/policy imports %s: bytes in, decisions out; who calls it opens files, reads clocks and logs", imported)
			}
		}
		for _, dep := range p.Deps {
			if within(dep, "net/http") || within(dep, "log") {
				t.Errorf("gateway/policy depends on %s: the engine is used where there is no server", dep)
			}
		}
		for _, file := range p.GoFiles {
			noClockNoGoroutine(t, filepath.Join(p.Dir, file))
		}
		return
	}
	t.Error("there is no package gateway/policy")
}

func noClockNoGoroutine(t *testing.T, path string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a goroutine in the policy engine; a decision is one function", set.Position(n.Pos()))
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
				t.Errorf("%s: time.%s in the policy engine; the caller reads the clock", set.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	drawers := []string{"util", "utils", "common", "misc", "helper", "helpers", "manager", "types", "models"}
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.rel())
		}
		if slices.Contains(drawers, p.Name) {
			t.Errorf("%s is a drawer, not a room: name the job it has", p.rel())
		}
	}
}

// The walls are only as good as the test that walks them: each kind must be able to fail.
func TestWithin(t *testing.T) {
	for _, c := range []struct {
		path, root string
		want       bool
	}{
		{"gateway/policy", "gateway", true},
		{"gateway", "gateway", true},
		{"gatewayed", "gateway", false},
		{"github.com/lestrrat-go/jwx/v2/jwt", "github.com/lestrrat-go/jwx", true},
		{"github.com/lestrrat-go/jwxx", "github.com/lestrrat-go/jwx", false},
	} {
		if got := within(c.path, c.root); got != c.want {
			t.Errorf("within(%s, %s) = %s", c.path, c.root, strconv.FormatBool(got))
		}
	}
}
