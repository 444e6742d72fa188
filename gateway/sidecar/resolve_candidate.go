package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/scopegate/scopegate/gateway/policy"
)

// candidate loads a service's candidate. What is found about it stands aside from all other
// findings: no fault of a candidate keeps the policies from being served.
func (r *resolver) candidate(raw *rawService, s *Service, known []string) {
	if !raw.candidate.set || s.Policy == nil {
		return
	}
	aside := &resolver{decoder: newDecoder(r.file), files: r.files, config: r.config}
	aside.origin = r.origin
	c := &s.Candidate
	c.File = relative(r.config, raw.candidate.v)
	c.Policy = aside.candidatePolicy(raw, s)
	if c.Policy != nil {
		aside.issuersOfPolicy(raw, c.Policy, known)
	}
	if c.Faults = aside.findings.Errors(); len(c.Faults) > 0 {
		c.Policy = nil
	}
	for _, f := range aside.findings {
		if !slices.Contains(r.findings, f) && !slices.Contains(r.aside, f) {
			r.aside = append(r.aside, f)
		}
	}
}

func (r *resolver) candidatePolicy(raw *rawService, s *Service) *policy.Policy {
	c, at := &s.Candidate, raw.candidate.node
	if c.File == s.PolicyFile {
		r.fault(idCandidate, at, "the candidate is the policy itself", "copy the policy, and change the copy")
		return nil
	}
	text, err := r.files.file(c.File)
	if errors.Is(err, fs.ErrNotExist) {
		c.Absent = true
		r.warn(idNoCandidate, at, fmt.Sprintf("candidate %s is not there, so that nothing is compared", c.File), "it may come later; take the key away if none will")
		return nil
	}
	if err != nil {
		r.fault(idUnreadable, at, fmt.Sprintf("candidate %s: %s", c.File, err), "")
		return nil
	}
	p, findings := policy.Load(c.File, text)
	r.findings = append(r.findings, findings...)
	if p != nil && p.Service() != s.Policy.Service() {
		r.fault(idCandidate, at, fmt.Sprintf("candidate %s is for the service %q, and the policy for %q", c.File, p.Service(), s.Policy.Service()),
			"a candidate is the next policy of the same service")
	}
	return p
}
