package sidecar

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Source says where a configuration comes from. Flags win over the environment, that over
// the file, and the file over the defaults.
type Source struct {
	File    string            // path of gateway.yaml
	Flags   map[string]string // by [Setting].Path; only what was given
	Environ []string          // as of [os.Environ]; nil means none
	Strict  bool              // warnings are errors
}

// LoadConfig reads gateway.yaml and every file that it names, and checks them whole. The
// findings hold every fault and every warning, those of policies included, sorted by file and
// line. The Config is nil when one of them is an error (with Strict, when there is any), but for
// those of candidates: they stand in [Candidate].Faults.
func LoadConfig(src Source) (*Config, policy.Findings) {
	cfg, findings, _ := load(src)
	return cfg, findings
}

// load is LoadConfig, and also returns the files that were read, for a watch that must go on
// when the configuration is bad.
func load(src Source) (*Config, policy.Findings, *fileSet) {
	files := newFileSet()
	file := src.File
	text, err := files.file(file)
	if err != nil {
		d := newDecoder(file)
		d.fault(idUnreadable, nil, "cannot be read: "+err.Error(), "")
		return nil, d.findings, files
	}
	over := newDecoder(file)
	settings := overrides(over, src.Flags, src.Environ)
	raw, d := parse(file, text, settings)
	maps.Copy(d.origin, over.origin)
	d.findings = append(over.findings, d.findings...)
	r := &resolver{decoder: d, files: files, config: file}
	var cfg *Config
	if raw != nil {
		cfg = r.resolve(raw)
	}
	findings, aside := d.findings, r.aside
	if src.Strict {
		findings, aside = strictly(findings), strictly(aside)
	}
	all := sorted(slices.Concat(findings, aside))
	if findings.HasErrors() || cfg == nil {
		return nil, all, files
	}
	cfg.Source, cfg.files, cfg.Warnings = src, files, all
	return cfg, all, files
}

// strictly makes errors of warnings.
func strictly(f policy.Findings) policy.Findings {
	out := slices.Clone(f)
	for i := range out {
		out[i].Severity = policy.SeverityError
	}
	return out
}

// DefaultFile is the configuration that is read when none is named: config/gateway.yaml in
// the working folder if it is there, else "".
func DefaultFile() string {
	name := filepath.Join("config", "gateway.yaml")
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}

func sorted(f policy.Findings) policy.Findings {
	out := slices.Clone(f)
	slices.SortStableFunc(out, func(a, b policy.Finding) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return out
}
