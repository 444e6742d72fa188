package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/scopegate/scopegate/deploy/parts"
)

// workflow is the part of github/policy.yml that runs commands.
type workflow struct {
	Env  map[string]string
	Jobs map[string]struct {
		Steps []struct {
			Name, Run string
			Env       map[string]string
		}
	}
}

// TestPolicyWorkflow runs the commands of github/policy.yml, word for word, on a repository with a
// pull request: one that opens nothing passes, one that opens something fails, and is shown at its
// line, unless it says that it means to.
func TestPolicyWorkflow(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the gateway")
	}
	if _, err := exec.LookPath("git"); err != nil {
		parts.Missing(t, "git", err.Error())
	}
	src, err := os.ReadFile(filepath.Join("github", "policy.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(src, &w); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "gateway"), "../gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shipped, err := os.ReadFile("../config/policies/billing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const door = "    DELETE: example_service.billing.delete\n"
	for _, c := range []struct {
		name, change, meant string
		fails               []string // steps
		says                string
	}{
		{"nothing opens", strings.Replace(string(shipped), "Read billing", "Read all of billing", 1), "false", nil, ""},
		{"a rule is weaker", strings.Replace(string(shipped), door, "    DELETE: example_service.billing.write\n", 1), "false",
			[]string{"Personas, coverage and mutants", "New access"}, "::error file=config/policies/billing.yaml,line=14"},
		{"a path is new", strings.Replace(string(shipped), "  /healthz:\n", "  /news:\n    GET: public\n  /healthz:\n", 1), "true", nil, "GET /news"},
		{"a fault", strings.Replace(string(shipped), door, "    DELETE: example_service.billing.erase\n", 1), "false",
			[]string{"Layout", "Faults and remarks", "Personas, coverage and mutants", "New access"}, "SG013"},
	} {
		t.Run(c.name, func(t *testing.T) {
			repository := t.TempDir()
			policy := filepath.Join(repository, "config", "policies", "billing.yaml")
			run := func(env []string, script string) (string, error) {
				cmd := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script)
				cmd.Dir = repository
				cmd.Env = append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null"), env...)
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(policy), 0o700), os.WriteFile(policy, shipped, 0o600)); err != nil {
				t.Fatal(err)
			}
			base, err := run(nil, `git init -q . && git add . && git -c user.name=t -c user.email=t@t commit -qm base && git rev-parse HEAD`)
			if err != nil {
				t.Fatal(base)
			}
			if err := os.WriteFile(policy, []byte(c.change), 0o600); err != nil {
				t.Fatal(err)
			}
			var failed []string
			var said strings.Builder
			for _, step := range w.Jobs["policy"].Steps {
				if step.Run == "" || strings.HasPrefix(step.Run, "go install ") {
					continue
				}
				env := []string{"POLICIES=" + w.Env["POLICIES"], "BASE=" + strings.TrimSpace(base), "MEANT=" + c.meant}
				out, err := run(env, step.Run)
				said.WriteString(out)
				if err != nil {
					failed = append(failed, step.Name)
				}
			}
			if strings.Join(failed, "; ") != strings.Join(c.fails, "; ") || !strings.Contains(said.String(), c.says) {
				t.Errorf("failed: %q; said:\n%s", failed, said.String())
			}
		})
	}
}
