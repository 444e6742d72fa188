package deploy_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/authserver/server"
)

// topLevel is everything that stands at the top, beside dot-files: a newcomer takes it in at
// one look, and the product's parts are the folders.
var topLevel = []string{"README.md", "authserver", "billing", "config", "deploy", "gateway", "go.mod", "go.sum"}

func TestTopLevelIsWhatItShouldBe(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		// data is where a server that was started here keeps its database; git ignores it.
		if !strings.HasPrefix(e.Name(), ".") && e.Name() != "data" {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, topLevel) {
		t.Errorf("the top level is %v, want %v", got, topLevel)
	}
}

// sources calls each for every file of the tree that people write.
func sources(t *testing.T, each func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == ".git" || name == "data" || name == "testdata") {
			return filepath.SkipDir
		}
		if !slices.Contains([]string{".go", ".md", ".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		each(path, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSourcesKeepTheirShape(t *testing.T) {
	unfinished := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	sources(t, func(path string, text []byte) {
		if at := unfinished.Find(text); at != nil {
			t.Errorf("%s says %s: finish it, or write an issue", path, at)
		}
		if lines := bytes.Count(text, []byte("\n")); filepath.Ext(path) == ".go" && lines > 500 {
			t.Errorf("%s has %d lines: a file of more than 500 has two subjects", path, lines)
		}
	})
}

// TestLinksLead: a relative link of a README goes to a file that is there.
func TestLinksLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	sources(t, func(path string, text []byte) {
		if filepath.Ext(path) != ".md" {
			return
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			target := string(m[1])
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s: %v", path, target, err)
			}
		}
	})
}

// TestCommandsOfTheReadmesExist builds what the READMEs tell people to run, and asks each
// verb for its help.
func TestCommandsOfTheReadmesExist(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binaries; the run without -short does it")
	}
	command := regexp.MustCompile(`go run \./([a-z/]+)((?: [a-z]+)*)`)
	bin, built := t.TempDir(), map[string]string{}
	build := func(folder string) string {
		if built[folder] == "" {
			built[folder] = filepath.Join(bin, filepath.Base(folder))
			cmd := exec.Command("go", "build", "-o", built[folder], "./"+folder)
			cmd.Dir = ".."
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("go build ./%s: %v\n%s", folder, err, out)
			}
		}
		return built[folder]
	}
	asked := map[string]bool{}
	sources(t, func(path string, text []byte) {
		if filepath.Ext(path) != ".md" {
			return
		}
		for _, m := range command.FindAllSubmatch(text, -1) {
			folder, verbs := string(m[1]), strings.Fields(string(m[2]))
			key := folder + " " + strings.Join(verbs, " ")
			if asked[key] {
				continue
			}
			asked[key] = true
			// What follows a verb may be an argument; then the words before it must be one.
			if !helps(build(folder), verbs) && (len(verbs) == 0 || !helps(build(folder), verbs[:len(verbs)-1])) {
				t.Errorf("%s says `%s`, which there is not", path, m[0])
			}
		}
	})
	if len(asked) < 5 {
		t.Errorf("only %d commands were found", len(asked))
	}
}

func helps(binary string, verbs []string) bool {
	return exec.Command(binary, append(slices.Clone(verbs), "--help")...).Run() == nil
}

// TestFirstTwoCommands: the first screen of README names them, and CI runs the second one
// exactly so.
func TestFirstTwoCommands(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	ci, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"    go run ./deploy/demo ", "    go test ./... "} {
		if !bytes.Contains(readme, []byte(want)) {
			t.Errorf("README.md does not say %q", want)
		}
	}
	if !regexp.MustCompile(`(?m)^section .* go test \./\.\.\.$`).Match(ci) {
		t.Error(".ci/run does not run `go test ./...` as README says")
	}
	info, err := os.Stat("../.ci/run")
	if err != nil || info.Mode()&0o111 == 0 {
		t.Errorf(".ci/run cannot be executed: %v", err)
	}
}

// TestComposeEnvironmentIsUnderstood: a variable that the auth server does not know would
// be passed over in silence.
func TestComposeEnvironmentIsUnderstood(t *testing.T) {
	environment := compose(t).Services["authserver"].Environment
	asked := map[string]bool{}
	cfg, err := server.Load("", func(name string) (string, bool) {
		asked[name] = true
		value, found := environment[name]
		return value, found
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range environment {
		if !asked[name] {
			t.Errorf("the auth server does not read %s", name)
		}
	}
	if cfg.Issuer != "http://localhost:8000" || cfg.Signup == "" || cfg.Claim == "" {
		t.Errorf("issuer %q, signup %q, claim %q: beyond loopback all are written", cfg.Issuer, cfg.Signup, cfg.Claim)
	}
}
