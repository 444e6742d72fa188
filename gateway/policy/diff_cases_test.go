package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/scopegate/scopegate/gateway/policy"
)

// TestDiffCases runs testdata/diff: one file, one claim about a pair of policies.
// A file holds old.yaml, new.yaml and changes, which lists every change, one a
// line, in order; the file is empty where nothing changes. A line is
//
//	KIND METHODS OLD -> NEW: METHOD target [who] [!exception]
//
// OLD and NEW are the paths that answer, `-` for none; what follows the colon is
// the witness, with who as in testdata/cases, and after the `!` the guard's rule
// that the request breaks or the protocol that it asks to switch to.
//
// Each pair is compared in the other direction too: what was opened is closed
// then, what was loosened tightened, and the reverse.
func TestDiffCases(t *testing.T) {
	files, err := filepath.Glob("testdata/diff/*.txtar")
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
			old, new := loadPart(t, parts, "old.yaml"), loadPart(t, parts, "new.yaml")
			diff, back := policy.Compare(old, new), policy.Compare(new, old)
			if got := written(&diff); got != parts["changes"] {
				t.Errorf("changes:\n%s\n%s", got, cmp.Diff(parts["changes"], got))
			}
			if there, again := kindsOf(&diff, false), kindsOf(&back, true); !slices.Equal(there, again) {
				t.Errorf("in the other direction:\n%s", cmp.Diff(there, again))
			}
			for _, p := range []*policy.Policy{old, new} {
				if same := policy.Compare(p, p); len(same.Changes) > 0 || !same.Exact {
					t.Errorf("%s differs from itself: %s", p.File(), written(&same))
				}
			}
		})
	}
}

func loadPart(t *testing.T, parts map[string]string, name string) *policy.Policy {
	t.Helper()
	p, findings := policy.Load(name, []byte(parts[name]))
	if p == nil {
		t.Fatal(findings)
	}
	return p
}

func written(d *policy.Comparison) string {
	var out strings.Builder
	for i := range d.Changes {
		x := &d.Changes[i]
		line := fmt.Sprintf("%s %s %s -> %s: %s %s", x.Kind, strings.Join(x.Methods, ","), templateOf(x.Old.Route), templateOf(x.New.Route), x.Received.Method, x.Received.Target)
		if x.Who != nil {
			line += whoIs(x.Who)
		}
		if x.Exception != 0 || x.Upgrade != "" {
			line += " !" + x.Exception.String() + x.Upgrade
		}
		out.WriteString(line + "\n")
	}
	if !d.Exact {
		out.WriteString("not exact\n")
	}
	return out.String()
}

func templateOf(r *policy.Route) string {
	if r == nil {
		return "-"
	}
	return r.Template()
}

// whoIs writes a caller as the cases do.
func whoIs(p *policy.Persona) string {
	if p.Anonymous {
		return ""
	}
	out := slices.Clone(p.Scopes)
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		value, ok := p.Claims[name].(string)
		if !ok {
			text, _ := json.Marshal(p.Claims[name])
			value = string(text)
		}
		out = append(out, name+"="+value)
	}
	if p.Issuer != "" {
		out = append(out, "@issuer:"+p.Issuer)
	}
	if p.ACR != "" {
		out = append(out, "@acr:"+p.ACR)
	}
	if p.AuthAgeKnown {
		out = append(out, "@age:"+p.AuthAge.String())
	}
	if len(out) == 0 {
		out = []string{"-"}
	}
	return " " + strings.Join(out, " ")
}

// kindsOf lists the changes without their witnesses, as they are seen from the
// other side if back is true.
func kindsOf(d *policy.Comparison, back bool) []string {
	reverse := map[string]string{"opened": "closed", "closed": "opened", "loosened": "tightened", "tightened": "loosened",
		"may_widen": "may_tighten", "may_tighten": "may_widen"}
	var out []string
	for i := range d.Changes {
		x := &d.Changes[i]
		kind, old, new := x.Kind.String(), x.Old, x.New
		if back {
			kind, old, new = reverse[kind], new, old
		}
		out = append(out, fmt.Sprintf("%s %v %s %s %s%s", kind, x.Methods, templateOf(old.Route), templateOf(new.Route), x.Exception, x.Upgrade))
	}
	slices.Sort(out)
	return out
}
