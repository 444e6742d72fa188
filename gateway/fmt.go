package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// fmtCmd gives policies and test files their canonical layout. It exits with 1 when --check finds
// a file without it, and with 2 when a file has faults; such a file is left as it is.
type fmtCmd struct {
	Check bool     `help:"Change nothing; list the files that would change."`
	Files []string `arg:"" name:"file" help:"Policies, *.test.yaml files, or folders of them; - is standard input and output."`
}

// Run lays out every file, or tells which ones would change.
func (c *fmtCmd) Run(a *app) error {
	if len(c.Files) == 1 && c.Files[0] == "-" {
		return c.filter(a)
	}
	files, inFolder, err := expand(c.Files)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fail(exitUsage, "no YAML file in "+strings.Join(c.Files, ", "), "name a policy, or a folder that holds one")
	}
	changed, last := 0, error(nil)
	for _, file := range files {
		src, err := readFile(file)
		if err != nil {
			return err
		}
		if inFolder[file] && !isTestFile(file) && kindOf(file, src) != policyFile {
			continue
		}
		out, err := a.format(file, src)
		if err != nil { // the others are laid out all the same
			a.report(last)
			last = err
			continue
		}
		if bytes.Equal(src, out) {
			continue
		}
		changed++
		a.printf("%s\n", file)
		if !c.Check {
			if err := replace(file, out); err != nil {
				return fail(exitFailed, fmt.Sprintf("write %s: %v", file, err), "")
			}
		}
	}
	if last != nil {
		return last
	}
	if c.Check && changed > 0 {
		return fail(exitFailed, count(changed, "file")+" without the canonical layout", "run gateway fmt without --check")
	}
	return nil
}

func (c *fmtCmd) filter(a *app) error {
	src, err := io.ReadAll(io.LimitReader(a.stdin, maxFile))
	if err != nil {
		return fail(exitUsage, "read standard input: "+err.Error(), "")
	}
	out, err := a.format("standard input", src)
	if err != nil {
		return err
	}
	if c.Check {
		if !bytes.Equal(src, out) {
			return fail(exitFailed, "standard input has not the canonical layout", "")
		}
		return nil
	}
	_, err = a.stdout.Write(out)
	return err
}

// format lays out a file that its reader takes.
func (a *app) format(file string, src []byte) ([]byte, error) {
	var findings policy.Findings
	if isTestFile(file) {
		_, findings = policy.ReadSuite(file, src)
	} else {
		_, findings = policy.Load(file, src)
	}
	if findings.HasErrors() {
		writeFindings(a.stderr, findings.Errors())
		return nil, fail(exitUsage, file+" has faults and is left as it is", "")
	}
	out, err := policy.Format(src)
	if err != nil {
		return nil, fail(exitUsage, file+" is left as it is: "+err.Error(), "lay these lines out by hand")
	}
	return out, nil
}

// replace writes a file in one step, with the mode that it has. What is behind a symbolic link is
// replaced, not the link.
func replace(file string, text []byte) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".fmt-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	for _, step := range []func() error{
		func() error { return temp.Chmod(info.Mode() & fs.ModePerm) },
		temp.Sync,
	} {
		if err == nil {
			err = step()
		}
	}
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	return err
}
