package main

import (
	"runtime"
	"runtime/debug"
)

// versionCmd shows what was built.
type versionCmd struct{ output }

// build is what version --format json prints. Revision is empty where the build did not see a
// repository.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
}

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	b := buildOf()
	if c.json() {
		return a.writeJSON(b)
	}
	a.printf("gateway %s", b.Version)
	if b.Revision != "" {
		a.printf(" (%s", b.Revision)
		if b.Modified {
			a.printf(", modified")
		}
		a.printf(")")
	}
	a.printf(" %s\n", b.Go)
	return nil
}

func buildOf() build {
	b := build{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
