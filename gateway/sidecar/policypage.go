package sidecar

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The page /policy: what is loaded.
type (
	policyPage struct {
		Config     string        `json:"config"`
		LoadedAt   time.Time     `json:"loaded_at"`
		LastReload reloadPage    `json:"last_reload"`
		Services   []servicePage `json:"services"`
		Issuers    []issuerPage  `json:"issuers"`
	}
	reloadPage struct {
		At            time.Time `json:"at"`
		Successful    bool      `json:"successful"`
		RestartNeeded []string  `json:"restart_needed"`
		Errors        []string  `json:"errors"`
	}
	servicePage struct {
		Service   string         `json:"service"`
		Hash      string         `json:"hash"`
		File      string         `json:"file"`
		Hosts     []string       `json:"hosts"`
		Upstream  string         `json:"upstream"`
		Issuers   []string       `json:"issuers"`
		Routes    []routePage    `json:"routes"`
		Candidate *candidatePage `json:"candidate"`
		Held      *heldPage      `json:"held"`
	}
	routePage struct {
		Path    string     `json:"path"`
		Line    int        `json:"line"`
		Methods []rulePage `json:"methods"`
	}
	rulePage struct {
		Method      string `json:"method"`
		Requirement string `json:"requirement"`
		Line        int    `json:"line"`
	}
	issuerPage struct {
		Issuer     string   `json:"issuer"`
		Source     string   `json:"source"`
		Keys       int      `json:"keys"`
		KeyIDs     []string `json:"key_ids"`
		Skipped    []string `json:"skipped"` // why other keys of the set are not used
		AgeSeconds float64  `json:"age_seconds"`
		HadKeys    bool     `json:"had_keys"`
		Usable     bool     `json:"usable"`
		Stale      bool     `json:"stale"`
		LastError  string   `json:"last_error,omitempty"`
	}
)

// showPolicy answers /policy.
func (s *Sidecar) showPolicy(w http.ResponseWriter) {
	body, err := json.MarshalIndent(s.describe(), "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}

// describe collects what the page shows.
func (s *Sidecar) describe() policyPage {
	n, last := s.current.Load(), s.last.Load()
	page := policyPage{
		Config:   s.source.File,
		LoadedAt: n.loaded.UTC(),
		LastReload: reloadPage{
			At: last.at.UTC(), Successful: last.ok,
			RestartNeeded: orEmpty(last.restart), Errors: orEmpty(last.errors()),
		},
		Services: []servicePage{},
		Issuers:  []issuerPage{},
	}
	for i, svc := range n.snapshot.Services() {
		c := &n.config.Services[i]
		shown := describeService(c)
		shown.Candidate, shown.Held = describeCandidate(&c.Candidate, svc), s.describeHeld(n.holds(svc.Name()))
		page.Services = append(page.Services, shown)
	}
	for _, i := range n.verifier.Status() {
		page.Issuers = append(page.Issuers, issuerPage{
			Issuer: i.Issuer, Source: i.Source, Keys: i.Keys, KeyIDs: orEmpty(i.KeyIDs), Skipped: orEmpty(i.Skipped), AgeSeconds: i.Age.Seconds(),
			Stale: i.Stale, HadKeys: i.HadKeys, Usable: i.Usable, LastError: i.LastError,
		})
	}
	return page
}

func describeService(s *Service) servicePage {
	return servicePage{
		Service: s.Policy.Service(), Hash: s.Policy.Hash(), File: s.PolicyFile,
		Hosts: orEmpty(s.Hosts), Upstream: s.Upstream.String(), Issuers: orEmpty(s.Issuers),
		Routes: describeRoutes(s.Policy),
	}
}

func describeRoutes(p *policy.Policy) []routePage {
	all := []routePage{}
	for _, r := range p.Routes() {
		route := routePage{Path: r.Template(), Line: r.Line(), Methods: []rulePage{}}
		for _, rule := range r.Rules() {
			route.Methods = append(route.Methods, rulePage{Method: rule.Method(), Requirement: rule.Requirement(), Line: rule.Line()})
		}
		all = append(all, route)
	}
	return all
}

// orEmpty makes JSON say [] where there is nothing, and not null.
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
