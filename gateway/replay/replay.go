package replay

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/policy"
)

// Config says what to ask, and how much to tell.
type Config struct {
	// Policies are asked about the lines of their services, by the services' names in the log.
	Policies map[string]*policy.Policy
	// Audit judges only lines that the very same policy decided, by its hash, and compares
	// the rule's line as well.
	Audit bool
	// Samples is the number of lines shown for each change.
	Samples int
}

// The kinds of a change.
const (
	DenyToAllow = "deny_to_allow"
	AllowToDeny = "allow_to_deny"
	Reason      = "reason" // allowed or denied as before, for another reason
)

// Change is requests of one route and method that would be answered otherwise in the same way.
type Change struct {
	Kind    string `json:"kind"`
	Service string `json:"service"`
	Method  string `json:"method"` // "other" where no policy names it
	// Route is the template in the policy that was asked, Recorded the one in the log; "" and
	// "unmatched" where there is none.
	Route    string `json:"route"`
	Recorded string `json:"recorded_route"`
	From     string `json:"from"`
	To       string `json:"to"`
	Weight
	Samples []Sample `json:"samples"`
}

// Open is requests of which the log has too little to judge them.
type Open struct {
	Why      string `json:"why"`
	Service  string `json:"service"`
	Method   string `json:"method"`
	Route    string `json:"route"`
	Recorded string `json:"recorded_route"`
	Allowed  bool   `json:"allowed"` // then
	From     string `json:"from"`
	Weight
	Samples []Sample `json:"samples"`
}

// Report is what a replay found. Its changes are sorted: new access first, then lost access, the
// most requests first.
type Report struct {
	Judged    Weight            `json:"judged"` // decisions of the policies' services
	Unchanged Weight            `json:"unchanged"`
	NewAccess Weight            `json:"deny_to_allow"`
	Lost      Weight            `json:"allow_to_deny"`
	Reasons   Weight            `json:"other_reason"`
	Undecided Weight            `json:"undecided"`
	OpenAllow Weight            `json:"undecided_allowed"` // of Undecided: recorded as allowed
	Beyond    map[string]Weight `json:"not_the_policys"`   // by reason: no policy has a say in them
	Changes   []Change          `json:"changes"`
	Open      []Open            `json:"undecided_requests"`
	Complete  bool              `json:"complete"` // false: too many different changes to list them all
	Services  map[string]int64  `json:"other_services"`
	Policies  map[string]int64  `json:"recorded_by"` // lines by the hash of the policy that decided
	Counts    decisions.Counts  `json:"-"`
}

// BeyondLines is the number of lines in which no policy has a say.
func (r *Report) BeyondLines() (n int64) {
	for _, w := range r.Beyond {
		n += w.Lines
	}
	return n
}

// Run reads the sources and asks the policies.
func (c *Config) Run(ctx context.Context, reader *decisions.Reader, sources []decisions.Source) (*Report, error) {
	tallies := make([]*tally, max(1, reader.Jobs))
	for i := range tallies {
		t := &tally{judges: map[string]*judge{}, audit: c.Audit, samples: c.Samples, services: map[string]int64{}, recordedBy: map[string]int64{},
			beyond: map[string]Weight{}, places: map[place]*count{}}
		for service, p := range c.Policies {
			t.judges[service] = newJudge(p)
		}
		tallies[i] = t
	}
	counts, err := reader.Read(ctx, sources, func(worker int, r *decisions.Record) { tallies[worker].visit(r) })
	if err != nil {
		return nil, err
	}
	sum := tallies[0]
	for _, t := range tallies[1:] {
		sum.merge(t)
	}
	report := sum.report(sources)
	report.Counts = counts
	return report, nil
}

func (t *tally) merge(o *tally) {
	t.judged.add(o.judged)
	t.same.add(o.same)
	for name, n := range o.services {
		t.services[name] += n
	}
	for hash, n := range o.recordedBy {
		t.recordedBy[hash] += n
	}
	for reason, w := range o.beyond {
		sum := t.beyond[reason]
		sum.add(w)
		t.beyond[reason] = sum
	}
	for at, c := range o.places {
		if t.places[at] == nil {
			t.places[at] = &count{}
		}
		t.places[at].merge(c, t.samples)
	}
	for kind := range o.elsewhere {
		t.elsewhere[kind].add(o.elsewhere[kind])
	}
}

// report sums up.
func (t *tally) report(sources []decisions.Source) *Report {
	r := &Report{Judged: t.judged, Unchanged: t.same, Beyond: t.beyond, Services: t.services, Policies: t.recordedBy, Changes: []Change{}, Open: []Open{}, Complete: true}
	sums := t.elsewhere
	for _, w := range sums {
		r.Complete = r.Complete && w.Lines == 0
	}
	for _, at := range slices.SortedFunc(maps.Keys(t.places), func(a, b place) int { return t.order(a, b) }) {
		c := t.places[at]
		sums[at.kind].add(c.Weight)
		for i := range c.samples {
			c.samples[i].File = sources[c.samples[i].source].Name
		}
		if c.samples == nil {
			c.samples = []Sample{}
		}
		if at.kind == undecided {
			r.Open = append(r.Open, Open{at.to, at.service, at.method, at.route, at.recorded, at.allow, at.from, c.Weight, c.samples})
			if at.allow {
				r.OpenAllow.add(c.Weight)
			}
			continue
		}
		r.Changes = append(r.Changes, Change{kindNames[at.kind], at.service, at.method, at.route, at.recorded, at.from, at.to, c.Weight, c.samples})
	}
	r.NewAccess, r.Lost, r.Reasons, r.Undecided = sums[allowsNow], sums[deniesNow], sums[otherReason], sums[undecided]
	return r
}

var kindNames = map[kind]string{allowsNow: DenyToAllow, deniesNow: AllowToDeny, otherReason: Reason}

// order puts what matters most first, and everything always in one order.
func (t *tally) order(a, b place) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(t.places[b].Requests, t.places[a].Requests),
		strings.Compare(a.service, b.service), strings.Compare(a.route, b.route), strings.Compare(a.recorded, b.recorded),
		strings.Compare(a.method, b.method), strings.Compare(a.from, b.from), strings.Compare(a.to, b.to))
}

// lineOf is the line of a rule's position, file:line.
func lineOf(position string) int {
	line, _ := strconv.Atoi(position[strings.LastIndexByte(position, ':')+1:])
	return line
}
