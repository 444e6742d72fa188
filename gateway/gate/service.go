package gate

import (
	"slices"
	"sync/atomic"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/token"
)

// Explain says how much a refusal tells the caller, the most first.
type Explain uint8

const (
	ExplainScopes Explain = iota // scope= of RFC 6750 and the members of RFC 9457
	ExplainSealed                // the whole reason, but for operators' eyes only ([Sealer])
	ExplainNone                  // the bare body and challenge
)

// Sealer explains refusals to a service's operators by way of its callers, who
// cannot read it. It runs on the request's goroutine.
type Sealer interface {
	// Seal appends the explanation of x's refusal, which is answered with status,
	// to b: visible ASCII that fits a field value.
	Seal(b []byte, x *Exchange, status int) []byte
}

// Service is one protected service: its policy and how its requests travel.
// It must not be changed once it is part of a snapshot.
type Service struct {
	Policy *policy.Policy
	// Candidate is a policy that is asked for the record and never obeyed; nil
	// for none.
	Candidate *policy.Policy
	// Hosts are lower-case names without port; "*.example.com" stands for one
	// or more labels before example.com. None: any host.
	Hosts        []string
	Accept       token.Acceptance
	Explain      Explain
	Sealer       Sealer // for ExplainSealed
	ForwardToken bool
	HideRoutes   bool
	// ClaimHeaders are the extra identity fields, in the order of the file.
	ClaimHeaders []ClaimHeader
	// KeepHeaders are field names that go on although the gate removes them
	// from other services' requests.
	KeepHeaders []string
	// CORS is what pages of other origins may do; nil leaves the service's own
	// answers to browsers as they are.
	CORS *CORS
	// Metadata is published at its well-known path; nil leaves that to the service.
	Metadata *Metadata
	// UpstreamHost is the Host to send; "" sends the client's.
	UpstreamHost string
	// IdentityMax bounds the identity fields' names and values together, in
	// bytes; 0 means 16 KiB.
	IdentityMax int
	// InFlight counts requests between admission and end. It is shared by the
	// services that follow one another under one name through reloads.
	InFlight *atomic.Int64
	// InFlightMax bounds InFlight; 0 means no bound.
	InFlightMax int64
	// Upstream belongs to the lanes; the gate never looks at it.
	Upstream any
	// Meter belongs to the recorder; the gate never looks at it.
	Meter any

	keep     map[string]bool // folded KeepHeaders
	pages    *pages          // compiled CORS
	document *document       // compiled Metadata
	claims   []string        // members of a token's claim set that the policies read
}

// ClaimHeader sends a claim of the token to the service. Arrays are sent
// comma-separated, objects and null not at all.
type ClaimHeader struct {
	Claim  string // as in the policy's claims:, dots reach into objects
	Header string // field name
}

// Name is the policy's service name, as it stands in metrics and logs.
func (s *Service) Name() string { return s.Policy.Service() }

// ClaimNames lists the claims that the policy or its candidate reads, as
// written, sorted.
func (s *Service) ClaimNames() []string {
	names := s.Policy.ClaimNames()
	if s.Candidate != nil {
		names = append(names, s.Candidate.ClaimNames()...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	return names
}

func (s *Service) identityMax() int {
	if s.IdentityMax > 0 {
		return s.IdentityMax
	}
	return 16 << 10
}

func (s *Service) enter() bool {
	if s.InFlight == nil {
		return true
	}
	if n := s.InFlight.Add(1); s.InFlightMax > 0 && n > s.InFlightMax {
		s.InFlight.Add(-1)
		return false
	}
	return true
}

func (s *Service) leave() {
	if s.InFlight != nil {
		s.InFlight.Add(-1)
	}
}
