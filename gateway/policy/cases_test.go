package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/scopegate/scopegate/gateway/policy"
)

// TestCases runs testdata/cases: one file, one claim about the language. A file
// holds policy.yaml and requests; a line of requests is
//
//	METHOD target [who] -> reason [route]
//
// where who is a space-separated list of scopes, name=value for a claim (the
// value as JSON, else a string), @issuer:…, @acr:…, @age:…; `-` is a token that
// says nothing, and nothing at all is a request without a token.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string]string{}
			for _, f := range archive.Files {
				parts[f.Name] = string(f.Data)
			}
			p, findings := policy.Load("policy.yaml", []byte(parts["policy.yaml"]))
			if p == nil {
				t.Fatal(findings)
			}
			ran := 0
			for line := range strings.Lines(parts["requests"]) {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
					runCase(t, p, line)
					ran++
				}
			}
			if ran == 0 {
				t.Error("no requests")
			}
		})
	}
}

func runCase(t *testing.T, p *policy.Policy, line string) {
	t.Helper()
	ask, want, ok := strings.Cut(line, " -> ")
	words := strings.Fields(ask)
	if !ok || len(words) < 2 {
		t.Fatalf("cannot read %q", line)
	}
	in := policy.Received{Method: words[0], Target: words[1], Hosts: []string{"h"}, ProtoMajor: 1, ProtoMinor: 1}
	caller := who(t, p, words[2:])
	req, err := policy.NewRequest(&in)
	got := ""
	if err != nil {
		got = err.(*policy.GuardError).Reason.String()
	} else {
		d := p.Decide(&req, caller)
		got = d.Reason.String()
		if d.Match.Route != nil {
			got += " " + d.Match.Route.Template()
		}
		if d.Reason == policy.ReasonInsufficientScope {
			got += " " + strings.Join(d.Missing(), ",")
		}
		if d.Reason == policy.ReasonMethodNotAllowed {
			got += " Allow=" + strings.ReplaceAll(d.Match.Route.Allow(), " ", "")
		}
	}
	if got != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%s\n\tgot -> %s", line, got)
	}
}

func who(t *testing.T, p *policy.Policy, words []string) *policy.Caller {
	t.Helper()
	if len(words) == 0 {
		return &policy.Caller{Anonymous: true}
	}
	c := &policy.Caller{Claims: map[string]any{}}
	var scopes []string
	for _, w := range words {
		name, value, claim := strings.Cut(w, "=")
		switch kind, rest, _ := strings.Cut(w, ":"); {
		case w == "-":
		case kind == "@issuer":
			c.Issuer = rest
		case kind == "@acr":
			c.ACR = rest
		case kind == "@age":
			age, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatal(err)
			}
			c.AuthAge, c.AuthAgeKnown = age, true
		case claim:
			c.Claims[name] = jsonValue(value)
		default:
			scopes = append(scopes, w)
		}
	}
	c.Scopes = p.Scopes(scopes)
	return c
}

func jsonValue(s string) any {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return s
	}
	return v
}

// TestFaults runs testdata/faults and testdata/remarks: one file, one mistake.
// Comments of the form `# want ID line:column text` name every finding that
// the file must give, and nothing else may be found.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/[fr]*s/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no faults", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(src)) {
				if w, ok := strings.CutPrefix(line, "# want "); ok {
					want = append(want, strings.TrimSpace(w))
				}
			}
			p, findings := policy.Load(file, src)
			if remark := strings.Contains(file, "remarks"); remark != (p != nil) {
				t.Errorf("loaded: %v, want %v", p != nil, remark)
			}
			for i := range max(len(want), len(findings)) {
				switch {
				case i >= len(want):
					t.Errorf("unexpected: %s", findings[i])
				case i >= len(findings):
					t.Errorf("not found: %s", want[i])
				default:
					f := findings[i]
					parts := strings.SplitN(want[i], " ", 3)
					if got := fmt.Sprintf("%s %d:%d", f.ID, f.Line, f.Column); got != parts[0]+" "+parts[1] || !strings.Contains(f.Message+" ("+f.Hint+")", parts[2]) {
						t.Errorf("got %s\nwant %s", f, want[i])
					}
				}
			}
		})
	}
}

// Every kind of finding has a file that gives it.
func TestEveryKindOfFindingHasAFile(t *testing.T) {
	files, err := filepath.Glob("testdata/[fr]*s/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(src)
	}
	made := map[string]bool{"SG002": true, "SG030": true, // by size; see TestSizesAreBounded
		"SG032": true} // by a test file; see gateway's validate.txtar
	for _, k := range policy.Kinds() {
		if !made[k.ID] && !strings.Contains(all.String(), "# want "+k.ID) {
			t.Errorf("no file shows %s (%s)", k.ID, k.Doc)
		}
	}
}

func TestSizesAreBounded(t *testing.T) {
	deep := "version: 1\nservice: s\nroutes:\n  /:\n    GET: " + strings.Repeat("{ all: [", 60) + "a" + strings.Repeat("] }", 60) + "\n"
	cases := map[string]struct{ src, id string }{
		"a file beyond 4 MiB":   {strings.Repeat("#", 4<<20+1), "SG002"},
		"nesting":               {deep, "SG002"},
		"findings":              {"version: 1\nservice: s\nroutes:\n" + strings.Repeat("  x: 1\n", 1), "SG015"},
		"a thousand and more":   {"version: 1\nservice: s\nroutes:\n  /:\n    GET: { any: [" + strings.Repeat("x, ", 1500) + "x] }\n", "SG030"},
		"a bomb of aliases":     {"a: &a [x, x]\nb: &b [*a, *a]\nversion: *b\n", "SG004"},
		"no bytes at all":       {"", "SG003"},
		"comments alone":        {"# nothing\n", "SG003"},
		"a NUL":                 {"version: 1\x00", "SG001"},
		"bytes that are no UTF": {"version: \xff", "SG001"},
	}
	for name, c := range cases {
		p, findings := policy.Load("f", []byte(c.src))
		if p != nil {
			t.Errorf("%s: loaded", name)
		}
		found := false
		for _, f := range findings {
			found = found || f.ID == c.id
		}
		if !found {
			t.Errorf("%s: %d findings, none is %s", name, len(findings), c.id)
		}
	}
}
