package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReadmeStandsAsTheToolWroteIt: but for its figures, what stands between the marks of
// gateway/README.md is what the tool writes today: its workloads, its proxies, its targets.
func TestReadmeStandsAsTheToolWroteIt(t *testing.T) {
	text, err := os.ReadFile("../../gateway/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), readmeBegin)
	between, _, found := strings.Cut(rest, readmeEnd)
	if !found {
		t.Fatal("there are no marks")
	}
	if diff := cmp.Diff(shape(t, invented().markdown()), shape(t, between)); diff != "" {
		t.Errorf("run `go run ./deploy/bench --readme gateway/README.md` (- as it would be, + as it is):\n%s", diff)
	}
}

// invented is a report of everything, with every figure 1.
func invented() *Report {
	s := settings{rounds: 3, duration: time.Second}
	r := newReport(time.Now(), s, Machine{Processor: "One", Processors: 2, Kernel: "6.1", Go: "go1.26", Pinning: pinning{}.String()},
		map[string]string{nginx: "1.0.0", haproxy: "1.0.0", caddy: "1.0.0 with go1.19"}, workloads)
	for _, w := range workloads {
		for _, proxy := range w.proxies {
			for range s.rounds {
				r.add(w.name, proxy, sample{Requests: 1, Seconds: 1, CPU: 1e-6, P50: 1, P99: 1, Resident: 1024, IdleKiB: 1})
			}
		}
	}
	r.summarize()
	return r
}

var (
	provenance = regexp.MustCompile(`^\n.+, \d+ processors, Linux \S+, go\S+; \d+ [A-Z][a-z]+ \d{4} \d\d:\d\d \w+; revision \S+;\n` +
		`\d+ rounds of [\d.]+s, load before the run [\d.]+; .+;\nnginx [\d.]+\S*, haproxy [\d.]+\S*, caddy [\d.]+\S* with go[\d.]+\.\n`)
	figure = regexp.MustCompile(`^(\(?[\d.]+(-[\d.]+\))?%?|[\d.]+ \([\d.]+\)|yes|no)$`)
)

// shape is what the tool wrote, without who, when and how much.
func shape(t *testing.T, text string) []string {
	t.Helper()
	if !provenance.MatchString(text) {
		t.Errorf("it does not say where the figures come from: %.300s", text)
	}
	lines := strings.Split(provenance.ReplaceAllString(text, ""), "\n")
	for i, line := range lines {
		cells := strings.Split(line, "|")
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
			if n > 1 && figure.MatchString(cells[n]) { // the first names the workload
				cells[n] = "1"
			}
		}
		lines[i] = strings.Join(cells, "|")
	}
	return lines
}

func TestRewriteLeavesTheRestAlone(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"between the marks":   {"a\n" + readmeBegin + "old\n" + readmeEnd + "b\n", "a\n" + readmeBegin + "new\n" + readmeEnd + "b\n"},
		"for the first time":  {readmeBegin + readmeEnd, readmeBegin + "new\n" + readmeEnd},
		"no marks":            {"a\n", ""},
		"no end":              {readmeBegin + "old\n", ""},
		"the end comes first": {readmeEnd + readmeBegin, ""},
		"two beginnings":      {readmeBegin + readmeBegin + readmeEnd, ""},
		"two ends":            {readmeBegin + readmeEnd + readmeEnd, ""},
	} {
		got, err := splice(tc.text, "new\n")
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
}

// TestReadmeIsCheckedBeforeAnythingIsMeasured: a run of half an hour must not end in an error.
func TestReadmeIsCheckedBeforeAnythingIsMeasured(t *testing.T) {
	folder := t.TempDir()
	good, bad := filepath.Join(folder, "good.md"), filepath.Join(folder, "bad.md")
	for file, text := range map[string]string{good: readmeBegin + readmeEnd, bad: "nothing\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"good":           {[]string{"--readme", good}, ""},
		"no marks":       {[]string{"--readme", bad}, "it needs the lines"},
		"no file":        {[]string{"--readme", filepath.Join(folder, "none.md")}, "no such file"},
		"some workloads": {[]string{"--readme", good, "--workloads", "one"}, "a run of everything"},
		"some proxies":   {[]string{"--readme", good, "--proxies", nginx}, "a run of everything"},
		"with profiles":  {[]string{"--readme", good, "--profile", folder}, "a run of everything"},
	} {
		_, err := parse(tc.args, io.Discard)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	text, err := os.ReadFile(good)
	if err != nil || string(text) != readmeBegin+readmeEnd {
		t.Errorf("looking at the file has changed it: %q, %v", text, err)
	}
}
