package sidecar

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fileSet reads the files of one configuration and remembers what they said.
//
// Kubernetes shows a ConfigMap through a symlink "..data" that it moves to a new folder in
// one step. A set therefore resolves each folder once, and reads all files through what it
// found: half of them cannot come from before the move and half from after it.
type fileSet struct {
	read    map[string]fileState // by the path as it was asked for
	folders map[string]string    // folder as written -> folder to read from
	inOrder []string             // paths as they were asked for first
}

type fileState struct {
	data []byte
	err  error
}

func newFileSet() *fileSet {
	return &fileSet{read: map[string]fileState{}, folders: map[string]string{}}
}

const maxFileBytes = 8 << 20

// file returns the contents of the file at path. A file is read once per set.
func (s *fileSet) file(path string) ([]byte, error) {
	path = filepath.Clean(path)
	if had, ok := s.read[path]; ok {
		return had.data, had.err
	}
	data, err := readBounded(s.resolve(path))
	s.read[path] = fileState{data, err}
	s.inOrder = append(s.inOrder, path)
	return data, err
}

// resolve finds the place behind path by way of its folder, resolved once.
func (s *fileSet) resolve(path string) string {
	for folder := filepath.Dir(path); ; folder = filepath.Dir(folder) {
		if base, ok := s.folders[folder]; ok && base != "" {
			if rest, err := filepath.Rel(folder, path); err == nil {
				if inside := filepath.Join(base, rest); exists(inside) {
					return inside
				}
			}
		}
		if folder == filepath.Dir(folder) {
			break
		}
	}
	folder := filepath.Dir(path)
	if _, ok := s.folders[folder]; !ok {
		s.folders[folder] = atomicFolder(folder)
		if inside := filepath.Join(s.folders[folder], filepath.Base(path)); s.folders[folder] != "" && exists(inside) {
			return inside
		}
	}
	return path
}

// atomicFolder returns the folder that "..data" in folder stands for, else the folder with
// its own symlinks resolved, else "".
func atomicFolder(folder string) string {
	if data, err := filepath.EvalSymlinks(filepath.Join(folder, "..data")); err == nil {
		return data
	}
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		return real
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readBounded reads a regular file of a bounded size; a pipe or a device would hold the
// reload forever.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes", maxFileBytes)
	}
	return data, nil
}

// plain drops the path from an error of package os: the finding names the file already, as
// it was written and not as it was resolved.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// names returns the paths that were asked for, sorted.
func (s *fileSet) names() []string {
	out := make([]string, 0, len(s.read))
	for name := range s.read {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// hash identifies the names and contents of the whole set.
func (s *fileSet) hash() string {
	h := sha256.New()
	for _, name := range s.names() {
		state := s.read[name]
		fmt.Fprintf(h, "%d:%s%d:", len(name), name, len(state.data))
		h.Write(state.data)
		if state.err != nil {
			fmt.Fprintf(h, "!%s", state.err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// watchFolders returns every folder in which a change may mean a new configuration.
func (s *fileSet) watchFolders() []string {
	var out []string
	add := func(folder string) {
		if folder != "" && !slices.Contains(out, folder) {
			out = append(out, folder)
		}
	}
	for name := range s.read {
		add(filepath.Dir(name))
		if target, err := filepath.EvalSymlinks(name); err == nil {
			add(filepath.Dir(target))
		}
	}
	slices.Sort(out)
	return out
}

// relative turns a path of gateway.yaml into one that can be opened: relative to that file,
// with or without file: in front.
func relative(config, path string) string {
	if rest, ok := strings.CutPrefix(path, "file:"); ok {
		path = strings.TrimPrefix(rest, "//")
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(config), path)
}
