package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/scopegate/scopegate/gateway/openapi"
	"github.com/scopegate/scopegate/gateway/policy"
)

// openapiCmd holds the commands about OpenAPI documents.
type openapiCmd struct {
	Import openapiImportCmd `cmd:"" help:"Draft a policy from what an OpenAPI document says about security."`
	Drift  openapiDriftCmd  `cmd:"" help:"Show where an OpenAPI document and a policy disagree."`
}

// documentFlags are what only a person can decide about a document.
type documentFlags struct {
	Prefix    *string  `placeholder:"PATH" help:"The path before those of the document, / for none. Else it is taken from the document's servers."`
	Unsecured string   `enum:"nobody,authenticated,public" default:"nobody" help:"Who may use the operations about which the document says nothing: ${enum}."`
	Bearer    []string `placeholder:"SCHEME" help:"A security scheme that is a Bearer token, although the document declares it otherwise."`
	Widen     bool     `help:"Write a wider path where the policy language cannot say the document's, instead of none."`
	Refs      string   `placeholder:"FOLDER" help:"The folder that references to other files may lead into; the document's own by default."`
}

func (f *documentFlags) options(service string) openapi.Options {
	return openapi.Options{Service: service, Prefix: f.Prefix, Unsecured: f.Unsecured, Bearer: f.Bearer, Widen: f.Widen}
}

// read reads a document and the files that it refers to.
func (f *documentFlags) read(file string) (*openapi.Document, error) {
	src, err := readUpTo(file, maxDocument)
	if err != nil {
		return nil, err
	}
	folder := f.Refs
	if folder == "" {
		folder = filepath.Dir(file)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, unreadable(folder, err)
	}
	defer root.Close()
	name, err := filepath.Rel(absolute(folder), absolute(file))
	if err != nil || !filepath.IsLocal(name) {
		return nil, fail(exitUsage, file+" does not lie in "+folder, "--refs names a folder around the document and all that it refers to")
	}
	left := maxDocument - len(src)
	doc, err := openapi.Read(file, folder, name, src, func(ref string) ([]byte, error) {
		f, err := root.Open(ref)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		more, err := io.ReadAll(io.LimitReader(f, int64(left)+1))
		if left -= len(more); left < 0 {
			return nil, fmt.Errorf("the document is larger than %d MiB with what it refers to", maxDocument>>20)
		}
		return more, err
	})
	if err != nil {
		return nil, fail(exitUsage, err.Error(), "")
	}
	return doc, nil
}

// maxDocument bounds an OpenAPI document with all that it refers to. GitHub's, of 1,200 operations,
// has 13 MB.
const maxDocument = 32 << 20

// openapiImportCmd drafts a policy. It exits with 0 whatever it had to close or leave out, and with
// 2 when the document cannot be used.
type openapiImportCmd struct {
	output
	documentFlags
	Service string `required:"" placeholder:"NAME" help:"The name of the service in the policy."`
	File    string `arg:"" name:"spec" help:"The OpenAPI document, of version 3.0 or 3.1."`
}

// drafted is what openapi import --format json prints.
type drafted struct {
	Policy     string          `json:"policy"`
	Operations int             `json:"operations"`
	Routes     int             `json:"routes"`
	Rules      int             `json:"rules"`
	Closed     int             `json:"closed"`
	LeftOut    int             `json:"left_out"`
	Findings   policy.Findings `json:"findings"`
}

// Run prints the policy on standard output and what was decided on standard error.
func (c *openapiImportCmd) Run(a *app) error {
	if !policy.ValidService(c.Service) {
		return fail(exitUsage, "--service "+c.Service+" cannot name a service", "use letters, digits, - _ and . and begin with a letter")
	}
	doc, err := c.read(c.File)
	if err != nil {
		return err
	}
	draft, err := doc.Import(c.options(c.Service))
	if err != nil {
		return fail(exitUsage, err.Error(), "")
	}
	if c.json() {
		return a.writeJSON(drafted{Policy: string(draft.Policy), Operations: draft.Operations, Routes: draft.Routes, Rules: draft.Rules,
			Closed: draft.Closed, LeftOut: draft.LeftOut, Findings: append(policy.Findings{}, draft.Findings...)})
	}
	writeFindings(a.stderr, draft.Findings)
	a.printf("%s", draft.Policy)
	a.errorf("%s: %s, %s, %d closed to all, %d left out.\n", c.File, count(draft.Operations, "operation"), count(draft.Rules, "rule"), draft.Closed, draft.LeftOut)
	a.errorf("Next: read the policy, then `gateway validate` it, and `gateway openapi drift` to keep the two together.\n")
	return nil
}
