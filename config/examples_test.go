package config_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the commands of README.md print into it")

// TestExamples does what a reader of README.md does, from the top: a block with a file's name
// behind its language is written to that file, and each `$ command` of a console block is run and
// prints what stands below it, standard error included.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, "bin", "gateway"), "../gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ran := 0
	now := regexp.MustCompile("(?ms)^```([a-z]+)(?: ([a-z./-]+))?\n(.*?)^```$").ReplaceAllStringFunc(string(text), func(block string) string {
		head, body, _ := strings.Cut(block, "\n")
		body = strings.TrimSuffix(body, "```")
		language, file, named := strings.Cut(strings.TrimPrefix(head, "```"), " ")
		switch {
		case named:
			path := filepath.Join(folder, filepath.FromSlash(file))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(body), 0o600)); err != nil {
				t.Error(err)
			}
		case language == "console":
			var said string
			for _, command := range regexp.MustCompile(`(?m)^\$ (.*(?:\\\n.*)*)$`).FindAllStringSubmatch(body, -1) {
				ran++
				said += "$ " + command[1] + "\n" + shell(t, folder, command[1])
			}
			return head + "\n" + said + "```"
		}
		return block
	})
	if ran < 10 {
		t.Errorf("only %d commands were found", ran)
	}
	if *update {
		if err := os.WriteFile("README.md", []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), now); diff != "" {
		t.Errorf("go test ./config -run Examples -update would write (- is, + is printed):\n%s", diff)
	}
}

// shell runs one command line; an exit code that is not 0 is an answer too.
func shell(t *testing.T, folder, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command+" 2>&1")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(folder, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Errorf("%s: %v", command, err)
	}
	return string(out)
}
