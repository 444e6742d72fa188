package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// configMap lays files out as Kubernetes does: in a folder of their own, behind a symlink
// ..data, and each name a symlink through that.
type configMap struct {
	t   *testing.T
	dir string
	n   int
}

func (c *configMap) write(files map[string]string) {
	c.t.Helper()
	c.n++
	generation := "..2026_0" + string(rune('0'+c.n))
	for name, text := range files {
		path := filepath.Join(c.dir, generation, name)
		must(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(c.t, os.WriteFile(path, []byte(text), 0o644))
	}
	must(c.t, os.Symlink(generation, filepath.Join(c.dir, "..data_tmp")))
	must(c.t, os.Rename(filepath.Join(c.dir, "..data_tmp"), filepath.Join(c.dir, "..data")))
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		if err := os.Symlink(filepath.Join("..data", top), filepath.Join(c.dir, top)); err != nil && !os.IsExist(err) {
			c.t.Fatal(err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Between two reads of one set, Kubernetes moves ..data: the set must go on reading the old
// folder, or the policy of one version would be served with the upstream of another.
func TestOneSetReadsOneGeneration(t *testing.T) {
	for name, policy := range map[string]string{"beside": "billing.yaml", "in a folder": "policies/billing.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := &configMap{t: t, dir: dir}
			m.write(map[string]string{"gateway.yaml": "old", policy: "old"})
			set := newFileSet()
			first, err := set.file(filepath.Join(dir, "gateway.yaml"))
			must(t, err)
			m.write(map[string]string{"gateway.yaml": "new", policy: "new"})
			second, err := set.file(filepath.Join(dir, policy))
			must(t, err)
			if string(first) != "old" || string(second) != "old" {
				t.Errorf("read %s and %s", first, second)
			}
			again := set.again()
			if again.hash() == set.hash() {
				t.Error("the next set sees no change")
			}
			if text, _ := again.file(filepath.Join(dir, policy)); string(text) != "new" {
				t.Errorf("the next set reads %s", text)
			}
		})
	}
}

// A folder that is itself a symlink to a release is resolved once, too.
func TestOneSetReadsOneRelease(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []string{"r1", "r2"} {
		must(t, os.Mkdir(filepath.Join(dir, r), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, r, "a"), []byte(r), 0o644))
		must(t, os.WriteFile(filepath.Join(dir, r, "b"), []byte(r), 0o644))
	}
	link := filepath.Join(dir, "current")
	must(t, os.Symlink("r1", link))
	set := newFileSet()
	a, err := set.file(filepath.Join(link, "a"))
	must(t, err)
	must(t, os.Remove(link))
	must(t, os.Symlink("r2", link))
	b, err := set.file(filepath.Join(link, "b"))
	must(t, err)
	if string(a) != "r1" || string(b) != "r1" {
		t.Errorf("read %s and %s", a, b)
	}
}

// A pipe would hold a reload for ever, and a device has no end.
func TestOnlyRegularFilesOfABoundedSizeAreRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	large := filepath.Join(dir, "large")
	must(t, os.WriteFile(large, nil, 0o600))
	must(t, os.Truncate(large, maxFileBytes+1))
	set := newFileSet()
	for _, path := range []string{pipe, large, dir, "/dev/zero", filepath.Join(dir, "nowhere")} {
		if _, err := set.file(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}

func TestWatchedFoldersHoldWhatSymlinksStandFor(t *testing.T) {
	dir := t.TempDir()
	m := &configMap{t: t, dir: dir}
	m.write(map[string]string{"gateway.yaml": "x"})
	set := newFileSet()
	_, err := set.file(filepath.Join(dir, "gateway.yaml"))
	must(t, err)
	folders := strings.Join(set.watchFolders(), " ")
	if !strings.Contains(folders, dir) {
		t.Errorf("watches %s", folders)
	}
}
