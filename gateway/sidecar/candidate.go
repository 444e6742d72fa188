package sidecar

import (
	"github.com/scopegate/scopegate/gateway/gate"
	"github.com/scopegate/scopegate/gateway/policy"
)

// candidateOf is the candidate that is evaluated: where its file has faults, the last good one.
func candidateOf(c *Service, before *state) *policy.Policy {
	if len(c.Candidate.Faults) == 0 || before == nil {
		return c.Candidate.Policy
	}
	for i := range before.config.Services {
		had := &before.config.Services[i]
		if had.Candidate.File == c.Candidate.File && had.Policy.Service() == c.Policy.Service() {
			return before.snapshot.Services()[i].Candidate
		}
	}
	return nil
}

// described are the candidates of a state by the labels of candidate_info.
type described struct{ service, hash string }

func (n *state) candidates() map[described]bool {
	out := map[described]bool{}
	if n == nil {
		return out
	}
	for _, svc := range n.snapshot.Services() {
		if svc.Candidate != nil {
			out[described{svc.Name(), svc.Candidate.Hash()}] = true
		}
	}
	return out
}

// describeCandidates sets the gauges about candidates. A service that has none, or whose
// candidate's file is not there, leaves them.
func (m *metrics) describeCandidates(before, n *state) {
	for gone := range before.candidates() {
		if !n.candidates()[gone] {
			m.candidateInfo.DeleteLabelValues(gone.service, gone.hash)
		}
	}
	for c := range n.candidates() {
		m.candidateInfo.WithLabelValues(c.service, c.hash).Set(1)
	}
	good := n.candidatesGood()
	for name := range before.candidatesGood() {
		if _, still := good[name]; !still {
			m.candidateOK.DeleteLabelValues(name)
		}
	}
	for name, ok := range good {
		m.candidateOK.WithLabelValues(name).Set(truth(ok))
	}
}

// candidatesGood tells for each service with a candidate whether its file can be used.
func (n *state) candidatesGood() map[string]bool {
	good := map[string]bool{}
	if n == nil {
		return good
	}
	for i := range n.config.Services {
		s := &n.config.Services[i]
		if c := &s.Candidate; c.File != "" && !c.Absent {
			name := s.Policy.Service()
			earlier, seen := good[name]
			good[name] = len(c.Faults) == 0 && (earlier || !seen)
		}
	}
	return good
}

// candidateHashes are the candidates' hashes by service, for the log.
func (n *state) candidateHashes() map[string]string {
	out := map[string]string{}
	for c := range n.candidates() {
		out[c.service] = c.hash
	}
	return out
}

// candidateLines are those of /readyz?verbose. No candidate makes a gateway less ready.
func (n *state) candidateLines(line func(bool, string, ...any)) {
	for i, svc := range n.snapshot.Services() {
		c := &n.config.Services[i].Candidate
		switch {
		case c.File == "":
			continue
		case c.Absent:
			line(true, "candidate %s: none, %s is not there", svc.Name(), c.File)
		case svc.Candidate == nil:
			line(false, "candidate %s: none, %s has faults", svc.Name(), c.File)
		case len(c.Faults) > 0:
			line(false, "candidate %s: %s, the last good one, since %s has faults", svc.Name(), svc.Candidate.Hash(), c.File)
		default:
			line(true, "candidate %s: %s", svc.Name(), svc.Candidate.Hash())
		}
		for _, text := range lines(c.Faults) {
			line(false, "candidate %s: %s", svc.Name(), text)
		}
	}
}

// candidatePage is a service's candidate on the page /policy.
type candidatePage struct {
	File   string      `json:"file"`
	Hash   string      `json:"hash"` // "": none is evaluated
	Errors []string    `json:"errors"`
	Routes []routePage `json:"routes"`
}

// describeCandidate is nil where none is configured.
func describeCandidate(c *Candidate, svc *gate.Service) *candidatePage {
	if c.File == "" {
		return nil
	}
	page := &candidatePage{File: c.File, Errors: lines(c.Faults), Routes: []routePage{}}
	if svc.Candidate != nil {
		page.Hash, page.Routes = svc.Candidate.Hash(), describeRoutes(svc.Candidate)
	}
	return page
}
