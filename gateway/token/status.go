package token

import (
	"maps"
	"slices"
	"time"
)

// Trigger says why keys were loaded.
type Trigger string

// The triggers, as in the label of jwks_refreshes_total.
const (
	TriggerStart      Trigger = "start"       // until the first success
	TriggerBackground Trigger = "background"  // the set was due
	TriggerRetry      Trigger = "retry"       // the load before failed
	TriggerUnknownKid Trigger = "unknown_kid" // tokens named a key that the set lacks
)

// Result says how a load of keys ended.
type Result string

// The results, as in the label of jwks_refreshes_total.
const (
	ResultOK        Result = "ok"
	ResultUnchanged Result = "not_modified"
	ResultFailed    Result = "error"
)

// Outcome says how a token with an unknown key id fared.
type Outcome string

// The outcomes, as in the label of unknown_kids_total.
const (
	OutcomeFetched     Outcome = "fetched"     // a load brought the key
	OutcomeAbsent      Outcome = "absent"      // a load did not
	OutcomeRemembered  Outcome = "remembered"  // a load of a moment ago did not
	OutcomeBudget      Outcome = "budget"      // no load is allowed yet; one is planned
	OutcomeCrowded     Outcome = "crowded"     // too many wait already
	OutcomeUnavailable Outcome = "unavailable" // the load failed, or took too long
)

// Refresh is one combination of labels of jwks_refreshes_total.
type Refresh struct {
	Trigger Trigger
	Result  Result
}

// IssuerStatus is what is known about one issuer's keys at a moment.
type IssuerStatus struct {
	Issuer  string
	Source  string   // where the keys come from: a URI, "inline", or "discovery" until that has succeeded
	Keys    int      // usable keys
	KeyIDs  []string // their ids, or thumbprints where they have none; sorted
	Skipped []string // why other keys of the set are not used
	// HadKeys is whether there ever was a set, from the network or from disk.
	HadKeys bool
	// Usable is whether there is one now, not older than max_stale.
	Usable bool
	// Stale is whether the last load failed, so that the keys, if any, are those of before.
	Stale     bool
	Age       time.Duration // since the set was last known to be current; zero for inline keys and where there are none
	LastError string        // of the last load that failed, kept after later successes

	Refreshes   map[Refresh]uint64
	UnknownKids map[Outcome]uint64
}

// report is the part of a source's state that only people and metrics look at.
type report struct {
	loaded    bool // a load has succeeded in this process
	hadKeys   bool
	uri       string
	lastError string
	refreshes map[Refresh]uint64
	unknown   map[Outcome]uint64
}

func newReport() report {
	return report{refreshes: map[Refresh]uint64{}, unknown: map[Outcome]uint64{}}
}

func (r *report) failed(trigger Trigger, err error) {
	r.refreshes[Refresh{trigger, ResultFailed}]++
	r.lastError = err.Error()
}

func (r *report) succeeded(trigger Trigger, doc *document) {
	result := ResultOK
	if doc.unchanged {
		result = ResultUnchanged
	}
	r.refreshes[Refresh{trigger, result}]++
	r.loaded, r.hadKeys, r.uri = true, true, doc.uri
}

func (s *source) status(now time.Time) IssuerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.snapshot()
	status := IssuerStatus{
		Issuer:      s.config.Issuer,
		Source:      s.origin(),
		HadKeys:     s.report.hadKeys,
		Usable:      snap.usable(now),
		Stale:       s.failures > 0,
		LastError:   s.report.lastError,
		Refreshes:   maps.Clone(s.report.refreshes),
		UnknownKids: maps.Clone(s.report.unknown),
	}
	if snap == nil {
		return status
	}
	status.Keys, status.KeyIDs = len(snap.set.keys), snap.set.ids()
	status.Skipped = slices.Clone(snap.set.skipped)
	if !snap.until.IsZero() {
		status.Age = max(0, now.Sub(snap.fetched))
	}
	return status
}

func (s *source) origin() string {
	switch {
	case s.load == nil:
		return "inline"
	case s.report.uri != "":
		return s.report.uri
	case s.config.JWKSURI != "":
		return s.config.JWKSURI
	}
	return "discovery"
}
