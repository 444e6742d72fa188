package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// maxFile bounds what is read of one file; a policy of ten thousand routes has about 1 MiB.
const maxFile = 8 << 20

// readFile reads a file that a person named.
func readFile(file string) ([]byte, error) { return readUpTo(file, maxFile) }

// readUpTo reads a file of so many bytes at most.
func readUpTo(file string, limit int) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, unreadable(file, err)
	}
	if len(src) > limit {
		return nil, fail(exitUsage, fmt.Sprintf("%s is larger than %d MiB", file, limit>>20), "")
	}
	return src, nil
}

func unreadable(file string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	hint := ""
	if errors.Is(err, fs.ErrNotExist) {
		hint = "is the path right, seen from the current folder?"
	}
	return fail(exitUsage, fmt.Sprintf("read %s: %v", file, err), hint)
}

// loadPolicy reads the policy that a command works on. Its faults go to standard error; its
// warnings are validate's business.
func (a *app) loadPolicy(file string) (*policy.Policy, error) {
	src, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return a.parsePolicy(file, src)
}

// parsePolicy makes a policy of what a file holds, or held in another revision.
func (a *app) parsePolicy(file string, src []byte) (*policy.Policy, error) {
	if kindOf(file, src) == configFile {
		return nil, fail(exitUsage, file+" is a gateway.yaml and no policy", "name one of the files under services: policy: in it")
	}
	p, findings := policy.Load(file, src)
	if p == nil {
		writeFindings(a.stderr, findings.Errors())
		return nil, fail(exitUsage, "the policy "+file+" cannot be used", "")
	}
	return p, nil
}

// fileKind is what a YAML file is about.
type fileKind string

const (
	policyFile  fileKind = "policy"
	testsFile   fileKind = "tests"
	configFile  fileKind = "config"
	unknownFile fileKind = "unknown"
)

var (
	configKey = topLevelKey("listen", "admin", "issuers", "services", "trusted_proxies", "token_cache")
	policyKey = topLevelKey("routes", "scopes", "service")
	// The auth server's file shares keys with the gateway's; these are its own.
	authserverKey = topLevelKey("signup", "data", "issuer", "token")
)

// topLevelKey finds one of the keys at the start of a line, or in a document that is written
// as JSON at the start of the object.
func topLevelKey(names ...string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^(?:\{\s*)?["']?(?:` + strings.Join(names, "|") + `)["']?\s*:`)
}

// kindOf tells configs from policies by their top-level keys: people name their files as they
// like. A glance must do, since a file with faults has to find the loader that explains them.
func kindOf(file string, src []byte) fileKind {
	switch {
	case policyKey.Match(src):
		return policyFile
	case authserverKey.Match(src):
		return unknownFile
	case configKey.Match(src), strings.HasPrefix(filepath.Base(file), "gateway."):
		return configFile
	}
	return unknownFile
}

// expand replaces folders by the YAML files in them, in lexical order, without hidden ones and
// what lies in a folder called testdata: those are somebody's bad examples.
// inFolder tells which files were found and not named.
func expand(args []string) (files []string, inFolder map[string]bool, err error) {
	inFolder = map[string]bool{}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, nil, unreadable(arg, err)
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return unreadable(path, err)
			case path != arg && d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
				return filepath.SkipDir
			case strings.HasPrefix(filepath.Base(path), "."):
			case !d.IsDir() && slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)):
				files, inFolder[path] = append(files, path), true
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return files, inFolder, nil
}

// isCandidateFile tells the next policy of a service from the one that is served, where both lie in
// one folder: candidate: in gateway.yaml names it.
func isCandidateFile(file string) bool {
	return strings.HasSuffix(file, ".next.yaml") || strings.HasSuffix(file, ".next.yml")
}
