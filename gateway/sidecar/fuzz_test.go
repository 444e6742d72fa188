package sidecar

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: whatever a file says, it is judged without a panic; what is taken has a service,
// and what is refused says why, at a place inside the file.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			must(f, err)
			f.Add(src)
		}
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? {a: b}\n: c"))
	f.Add([]byte("<<: {version: 1}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		d := newDecoder("testdata/good/fuzz.yaml")
		raw, d := parse(d.file, src, []override{{"limits.connections", "5", "flag"}, {"tls.cert", "x", "flag"}})
		if raw == nil {
			if !d.findings.HasErrors() {
				t.Fatal("refused without a reason")
			}
			return
		}
		r := &resolver{decoder: d, files: newFileSet(), config: d.file}
		cfg := r.resolve(raw)
		if d.findings.HasErrors() {
			return
		}
		if len(cfg.Services) == 0 || cfg.Services[0].Policy == nil || cfg.Services[0].Upstream.Address == "" {
			t.Fatalf("taken: %+v", cfg)
		}
		for _, i := range cfg.Issuers {
			if i.Issuer == "" || i.Audience.Mode == 0 {
				t.Fatalf("taken: %+v", i)
			}
		}
	})
}
