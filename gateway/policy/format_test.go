package policy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scopegate/scopegate/gateway/policy"
)

// TestFormat: testdata/format has files as people write them, and as they come out; a line
// `--- formatted ---` stands between the two.
func TestFormat(t *testing.T) {
	files, err := filepath.Glob("testdata/format/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			before, after, ok := bytes.Cut(text, []byte("--- formatted ---\n"))
			if !ok {
				t.Fatal("no line between before and after")
			}
			got, err := policy.Format(before)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(after), string(got)); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
			checkFormat(t, before)
		})
	}
}

// checkFormat holds a source that is a policy or a test file to what fmt promises.
func checkFormat(t *testing.T, src []byte) {
	t.Helper()
	out, err := policy.Format(src)
	if err != nil {
		return // left as it is
	}
	again, err := policy.Format(out)
	if err != nil || !bytes.Equal(out, again) {
		t.Errorf("not the same the second time: %v\n%s", err, cmp.Diff(string(out), string(again)))
	}
	if squeezed(src) != squeezed(out) {
		t.Errorf("more than white space changed:\n%s", cmp.Diff(string(src), string(out)))
	}
	before, _ := policy.Load("f", src)
	after, findings := policy.Load("f", out)
	if (before == nil) != (after == nil) {
		t.Fatalf("a policy before %v, after %v: %v\n%s", before != nil, after != nil, findings, out)
	}
	if before == nil {
		return
	}
	if c := policy.Compare(before, after); len(c.Changes) > 0 || !c.Exact {
		t.Errorf("access changed: %+v\n%s", c.Changes, out)
	}
	if diff := cmp.Diff(requirements(before), requirements(after)); diff != "" {
		t.Error(diff)
	}
}

func squeezed(b []byte) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(string(b), "\xef\xbb\xbf")), "")
}

// requirements lists each rule in words.
func requirements(p *policy.Policy) (out []string) {
	for _, route := range p.Routes() {
		for _, rule := range route.Rules() {
			out = append(out, route.Template()+" "+rule.Method()+" "+rule.Requirement())
		}
	}
	return out
}

// TestFormatEverything: the promises hold for every policy of the tests, and shipped ones are as
// they should be.
func TestFormatEverything(t *testing.T) {
	seen := 0
	for _, pattern := range []string{"testdata/*/*.yaml", "../../config/testdata/policy/*/*.yaml", "../../config/testdata/tests/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, _ := policy.Load(file, src)
			if p == nil {
				continue
			}
			seen++
			if _, err := policy.Format(src); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			checkFormat(t, src)
		}
	}
	if seen < 30 {
		t.Errorf("only %d policies", seen)
	}
}

func FuzzFormat(f *testing.F) {
	files, err := filepath.Glob("testdata/format/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		before, _, _ := bytes.Cut(text, []byte("--- formatted ---\n"))
		f.Add(before)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if p, _ := policy.Load("f", src); p == nil {
			if s, _ := policy.ReadSuite("f", src); s == nil {
				return
			}
		}
		checkFormat(t, src)
	})
}
