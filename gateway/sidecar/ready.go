package sidecar

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/token"
)

// ready says whether requests should be sent here, and if not, why. A policy that needs no
// token needs no keys either; a bad reload does not count, because the last good
// configuration is served.
func (s *Sidecar) ready() (why string) {
	if s.draining.Load() {
		return "draining"
	}
	n := s.current.Load()
	if n.needsKeys() && !hadKeys(n.verifier, n.config.ReadyAny) {
		return "waiting for keys"
	}
	return ""
}

func (n *state) needsKeys() bool {
	for i := range n.config.Services {
		if n.config.Services[i].Policy.NeedsTokens() {
			return true
		}
	}
	return false
}

func (s *Sidecar) readyz(w http.ResponseWriter) {
	if why := s.ready(); why != "" {
		say(w, http.StatusServiceUnavailable, "not ready: "+why+"\n")
		return
	}
	say(w, http.StatusOK, "ok\n")
}

// readyzVerbose has one line per thing that readiness depends on, or that an operator would
// ask about next.
func (s *Sidecar) readyzVerbose(w http.ResponseWriter) {
	var b strings.Builder
	line := func(ok bool, format string, args ...any) {
		mark := "[+]"
		if !ok {
			mark = "[-]"
		}
		fmt.Fprintf(&b, mark+format+"\n", args...)
	}
	draining := s.draining.Load()
	line(!draining, "draining: %t", draining)
	n := s.current.Load()
	for _, i := range n.verifier.Status() {
		line(i.HadKeys, "issuer %s: %s", i.Issuer, keysText(&i))
	}
	for _, svc := range n.snapshot.Services() {
		line(true, "policy %s: %s", svc.Name(), svc.Policy.Hash())
	}
	s.heldLines(n, line)
	n.candidateLines(line)
	s.reloadLines(line)
	status := http.StatusOK
	if why := s.ready(); why != "" {
		status = http.StatusServiceUnavailable
		fmt.Fprintf(&b, "not ready: %s\n", why)
	} else {
		b.WriteString("ready\n")
	}
	say(w, status, b.String())
}

func keysText(i *token.IssuerStatus) string {
	if !i.HadKeys {
		if i.LastError != "" {
			return "no keys yet: " + i.LastError
		}
		return "no keys yet"
	}
	text := fmt.Sprintf("%d keys, %s old", i.Keys, i.Age.Round(time.Second))
	if i.Stale {
		text += ", the last refresh failed: " + i.LastError
	}
	if !i.Usable {
		text += ", too old to be used"
	}
	return text
}

func (s *Sidecar) reloadLines(line func(bool, string, ...any)) {
	last := s.last.Load()
	line(last.ok, "last reload: %s at %s", result(last.ok), last.at.UTC().Format(time.RFC3339))
	for _, text := range last.errors() {
		line(false, "reload: %s", text)
	}
	for _, key := range last.restart {
		line(true, "restart needed for: %s", key)
	}
}

func result(ok bool) string {
	if ok {
		return "success"
	}
	return "failure"
}

// errors are why nothing was taken up; those of candidates keep nothing from being taken up.
func (r *reloadReport) errors() []string {
	if r.ok {
		return nil
	}
	out := lines(r.findings.Errors())
	if r.err != nil {
		out = append(out, r.err.Error())
	}
	return out
}
