package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// There is no container engine where these tests run: they read the manifests and hold
// them to what must be true of any image and any composition. What only an engine can tell
// (that the image builds and starts) is not shown by them.

// composeFile is the part of compose.yaml that the invariants are about.
type composeFile struct {
	Name     string
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Build struct {
		Context, Dockerfile string
		Args                map[string]string
	}
	Image       string
	Command     []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	NetworkMode string         `yaml:"network_mode"`
	DependsOn   map[string]any `yaml:"depends_on"`
	ReadOnly    bool           `yaml:"read_only"`
	CapDrop     []string       `yaml:"cap_drop"`
	SecurityOpt []string       `yaml:"security_opt"`
	Init        bool           `yaml:"init"`
	Restart     string         `yaml:"restart"`
	Grace       string         `yaml:"stop_grace_period"`
}

func compose(t *testing.T) composeFile {
	t.Helper()
	src, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The anchor's own key is compose's way to say "not a service".
	var parts map[string]yaml.Node
	if err := yaml.Unmarshal(src, &parts); err != nil {
		t.Fatal(err)
	}
	for key := range parts {
		if !slices.Contains([]string{"name", "services", "volumes"}, key) && !strings.HasPrefix(key, "x-") {
			t.Errorf("compose.yaml has a top-level key %q that nothing here judges", key)
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(src)))
	var file composeFile
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestComposeKeepsTheServiceBehindItsGateway(t *testing.T) {
	file := compose(t)
	billing, gateway := file.Services["billing"], file.Services["gateway"]
	if gateway.NetworkMode != "service:billing" {
		t.Errorf("the gateway's network is %q: a sidecar shares the namespace of its service", gateway.NetworkMode)
	}
	if len(gateway.Ports) > 0 {
		t.Error("the gateway publishes ports although its namespace is billing's: compose refuses that")
	}
	if want := []string{"127.0.0.1:8001:8001"}; !slices.Equal(billing.Ports, want) {
		t.Errorf("the shared namespace publishes %v, want the gateway's port only: %v", billing.Ports, want)
	}
	for name, value := range billing.Environment {
		t.Errorf("billing has %s=%s: its defaults are loopback, leave them", name, value)
	}
	for _, argument := range billing.Command {
		if strings.Contains(argument, "insecure") {
			t.Errorf("billing is started with %s", argument)
		}
	}
}

func TestComposePublishesNothingBeyondTheHost(t *testing.T) {
	for name, service := range compose(t).Services {
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s to everybody who reaches the host", name, port)
			}
			if regexp.MustCompile(`:90\d\d$`).MatchString(port) {
				t.Errorf("%s publishes its admin port: %s", name, port)
			}
		}
	}
}

func TestComposeServicesAreHardenedAndBuiltFromTheOneDockerfile(t *testing.T) {
	file := compose(t)
	for _, name := range []string{"authserver", "billing", "gateway"} {
		service, found := file.Services[name]
		if !found {
			t.Errorf("there is no service %s", name)
			continue
		}
		if service.Build.Args["SERVICE"] != name || service.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s is built with %+v", name, service.Build)
		}
		if !service.ReadOnly || !slices.Contains(service.CapDrop, "ALL") || !slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may write its file system, keep capabilities or gain privileges", name)
		}
		if service.Init {
			t.Errorf("%s has an init before it: the binary handles its signals itself", name)
		}
	}
	if len(file.Services) != 3 {
		t.Errorf("compose.yaml has %d services", len(file.Services))
	}
}

// What is mounted must exist here, and the configuration that the gateway is started with
// must be one of the mounted files.
func TestComposeMountsWhatItStartsWith(t *testing.T) {
	file := compose(t)
	inside := map[string]string{} // path in the container -> path here
	for name, service := range file.Services {
		for _, volume := range service.Volumes {
			parts := strings.Split(volume, ":")
			if _, named := file.Volumes[parts[0]]; named {
				continue
			}
			if info, err := os.Stat(parts[0]); err != nil || !info.IsDir() {
				t.Errorf("%s mounts %s, which is no folder: %v", name, parts[0], err)
			}
			if len(parts) != 3 || parts[2] != "ro" {
				t.Errorf("%s mounts %s writable", name, parts[0])
			}
			inside[parts[1]] = parts[0]
		}
	}
	command := file.Services["gateway"].Command
	path := command[len(command)-1]
	here, mounted := inside[filepath.Dir(path)]
	if !mounted {
		t.Fatalf("the gateway starts with %s, which is not mounted", path)
	}
	if _, err := os.Stat(filepath.Join(here, filepath.Base(path))); err != nil {
		t.Error(err)
	}
}

// instruction is one line of a Dockerfile, continuation lines joined.
type instruction struct{ word, rest string }

func dockerfile(t *testing.T) (build, final []instruction) {
	t.Helper()
	src, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(src), "\\\n", " ")
	stages := 0
	for line := range strings.Lines(joined) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if word == "FROM" {
			stages++
		}
		if stages < 2 {
			build = append(build, instruction{word, strings.TrimSpace(rest)})
		} else {
			final = append(final, instruction{word, strings.TrimSpace(rest)})
		}
	}
	if stages != 2 {
		t.Fatalf("the Dockerfile has %d stages", stages)
	}
	return build, final
}

func has(stage []instruction, word, containing string) bool {
	return slices.ContainsFunc(stage, func(i instruction) bool {
		return i.word == word && strings.Contains(i.rest, containing)
	})
}

func TestImageIsSmallUnprivilegedAndAsksItself(t *testing.T) {
	build, final := dockerfile(t)
	for _, c := range []struct {
		claim            string
		stage            []instruction
		word, containing string
	}{
		{"one Dockerfile builds each binary", build, "ARG", "SERVICE"},
		{"cgo is off: the final stage has no C library", build, "RUN", "CGO_ENABLED=0"},
		{"the chosen folder is built", build, "RUN", `"./$SERVICE"`},
		{"modules are a layer of their own", build, "COPY", "go.mod go.sum"},
		{"other architectures are cross-compiled", build, "FROM", "--platform=$BUILDPLATFORM"},
		{"no shell and no packages", final, "FROM", "scratch"},
		{"the authorities that https needs", final, "COPY", "ca-certificates.crt"},
		{"not root, by number, as Kubernetes asks", final, "USER", "65532:65532"},
		{"health is asked by the binary itself", final, "HEALTHCHECK", `CMD ["/service", "health"]`},
		{"the binary is process 1 and gets the signals", final, "ENTRYPOINT", `["/service"]`},
		{"the default verb is serve", final, "CMD", `["serve"]`},
		{"what is written has an owner", final, "COPY", "--chown=65532:65532"},
	} {
		if !has(c.stage, c.word, c.containing) {
			t.Errorf("%s: no %s with %q", c.claim, c.word, c.containing)
		}
	}
	if has(final, "RUN", "") {
		t.Error("the final stage runs something, but it has no shell")
	}
	if has(final, "EXPOSE", "90") {
		t.Error("the admin port is not for others")
	}
}

// The build context must hold every folder that a binary is built from, and the tests'
// data must not get into an image.
func TestDockerignoreLetsTheSourcesIn(t *testing.T) {
	src, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(src), "\n")
	for _, line := range []string{"*", "!go.mod", "!go.sum", "!authserver", "!gateway", "!billing", "!config", "**/testdata"} {
		if !slices.Contains(lines, line) {
			t.Errorf(".dockerignore has no line %q", line)
		}
	}
}

func TestImageIsBuiltWithTheGoOfTheModule(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	build, _ := dockerfile(t)
	if version == nil || !has(build, "FROM", "golang:"+string(version[1])) {
		t.Errorf("the image is not built with the Go of go.mod (%s)", version)
	}
}
