package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
)

// revision is a file or folder as a git revision has it, named as git does:
// REV:path, where the path counts from the top of the repository, or from here
// if it begins with ./
type revision struct {
	name   string // as it was named
	object string // its id, in hexadecimal
	folder bool
}

// isRevision tells a git revision from a file. A file of that name on disk wins.
func isRevision(name string) bool {
	rev, _, colon := strings.Cut(name, ":")
	if _, err := os.Lstat(name); err == nil || !colon {
		return false
	}
	return rev != ""
}

// revision looks an object up. From here on it goes by its id: names come from
// command lines of build servers, and must not become options or other commands.
func (a *app) revision(name string) (*revision, error) {
	if strings.HasPrefix(name, "-") {
		return nil, fail(exitUsage, "a git revision cannot begin with a dash: "+name, "")
	}
	id, err := a.git("rev-parse", "--verify", "--quiet", "--end-of-options", name)
	if err != nil {
		return nil, err
	}
	r := &revision{name: name, object: strings.TrimSpace(string(id))}
	if r.object == "" {
		return nil, a.noSuchRevision(name)
	}
	kind, err := a.git("cat-file", "-t", r.object)
	if err != nil {
		return nil, err
	}
	switch strings.TrimSpace(string(kind)) {
	case "blob":
	case "tree":
		r.folder = true
	default:
		return nil, fail(exitUsage, fmt.Sprintf("%s is neither a file nor a folder in git", name), "write REVISION:path, as in HEAD~1:config/policies")
	}
	return r, nil
}

// noSuchRevision says which half of a name git does not know.
func (a *app) noSuchRevision(name string) error {
	rev, file, _ := strings.Cut(name, ":")
	id, err := a.git("rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		return err
	}
	if len(id) == 0 {
		return fail(exitUsage, fmt.Sprintf("there is no file %s, and git knows no revision %s", name, rev),
			"in a shallow clone older revisions are missing: git fetch --unshallow, or fetch-depth: 0 in a workflow")
	}
	return fail(exitUsage, fmt.Sprintf("git has no %s in %s", file, rev), "the path counts from the top of the repository; begin it with ./ to count from here")
}

// read reads a file by its id.
func (a *app) readObject(name, object string) ([]byte, error) {
	src, err := a.git("cat-file", "blob", object)
	if err == nil && len(src) > maxFile {
		return nil, fail(exitUsage, fmt.Sprintf("%s is larger than %d MiB", name, maxFile>>20), "")
	}
	return src, err
}

// listed is one file below a folder of a revision.
type listed struct{ name, object string }

// files lists the YAML files below a folder, as expand does on disk.
func (a *app) files(r *revision) ([]listed, error) {
	out, err := a.git("ls-tree", "-r", "-z", "--full-tree", r.object)
	if err != nil {
		return nil, err
	}
	var all []listed
	for line := range strings.SplitSeq(string(out), "\x00") {
		about, name, ok := strings.Cut(line, "\t")
		words := strings.Fields(about)
		if !ok || len(words) != 3 || words[1] != "blob" || words[0] == "120000" || !isYAML(name) || hidden(name) {
			continue
		}
		all = append(all, listed{strings.TrimSuffix(r.name, "/") + "/" + name, words[2]})
	}
	return all, nil
}

func isYAML(name string) bool { return path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" }

// hidden tells what expand passes over.
func hidden(name string) bool {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ".") || part == "testdata" && i < len(parts)-1 {
			return true
		}
	}
	return false
}

// git runs git and returns what it prints. That a name is not known is no error,
// under rev-parse --quiet: then it prints nothing.
func (a *app) git(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(a.ctx, "git", args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{w: &out, left: 8 * maxFile}, &limited{w: &complaint, left: 1 << 10}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fail(exitUsage, "git is not installed here, and a revision can be read by it only", "compare files or folders instead")
	case errors.As(err, &exit) && complaint.Len() == 0 && args[0] == "rev-parse":
		return nil, nil
	case err != nil:
		return nil, fail(exitUsage, "git "+args[0]+": "+printable(strings.TrimSpace(or(complaint.String(), err.Error()))), "")
	}
	return out.Bytes(), nil
}

// limited writes up to a number of bytes and drops the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	_, err := l.w.Write(b[:n])
	return len(b), err
}
