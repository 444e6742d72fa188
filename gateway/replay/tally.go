package replay

import (
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/decisions"
)

// Weight counts lines, and the requests for which they stand: a sampled line stands for many.
type Weight struct {
	Lines    int64 `json:"lines"`
	Requests int64 `json:"requests"`
}

func (w *Weight) add(o Weight) {
	w.Lines += o.Lines
	w.Requests += o.Requests
}

// Sample is a line that shows what a group is about.
type Sample struct {
	File      string   `json:"file"`
	Line      int64    `json:"line"`
	Time      string   `json:"time"`
	RequestID string   `json:"request_id"`
	Method    string   `json:"method"`
	Path      string   `json:"path"`
	Scopes    []string `json:"scopes"`

	source int
	scopes string
}

// before orders samples as the log has their lines.
func (s *Sample) before(o *Sample) int {
	if s.source != o.source {
		return s.source - o.source
	}
	return int(min(1, max(-1, s.Line-o.Line)))
}

// place is what lines have in common that are counted together.
type place struct {
	kind            kind
	service, method string
	route           string // of the policy that is asked; "" for none
	recorded        string // of the policy of that day
	allow           bool   // recorded
	from, to        string // reasons; to says why where the kind is undecided
}

// count is what was counted for a place.
type count struct {
	Weight
	samples []Sample
}

// mostPlaces bounds what a tally holds: routes come from the log as well, and a log may be forged.
const mostPlaces = 20_000

// tally is what one worker has counted.
type tally struct {
	judges  map[string]*judge // by service
	audit   bool
	samples int

	judged, same Weight
	services     map[string]int64 // lines of services that no policy is for
	recordedBy   map[string]int64 // lines by the hash of the policy that decided
	beyond       map[string]Weight
	places       map[place]*count
	elsewhere    [beyond]Weight // by kind, of places beyond mostPlaces
}

// visit counts one decision.
func (t *tally) visit(r *decisions.Record) {
	j := t.judges[r.Service]
	if j == nil {
		bump(t.services, r.Service)
		return
	}
	bump(t.recordedBy, r.Policy)
	if t.audit && r.Policy != j.policy.Hash() {
		return
	}
	v := j.judge(r)
	if t.audit && v.kind == unchanged && v.match.Rule != nil && r.Rule != "" && v.match.Rule.Line() != lineOf(r.Rule) {
		v.kind, v.reason = otherReason, "another rule"
	}
	w := Weight{1, r.Sampled}
	switch t.judged.add(w); v.kind {
	case unchanged:
		t.same.add(w)
	case beyond:
		sum := t.beyond[v.reason]
		sum.add(w)
		t.beyond[strings.Clone(v.reason)] = sum
	default:
		t.note(r, j, &v, w)
	}
}

// mostNames bounds the maps by names of the log.
const mostNames = 1000

// bump counts a name; names beyond mostNames count as one.
func bump(m map[string]int64, name string) {
	if _, known := m[name]; !known && len(m) >= mostNames {
		name = "(others)"
	}
	m[strings.Clone(name)]++
}

// note counts a change, or what cannot be judged.
func (t *tally) note(r *decisions.Record, j *judge, v *verdict, w Weight) {
	at := place{kind: v.kind, service: r.Service, method: methodOf(r, j, v), recorded: r.Route, allow: r.Allow, from: r.Reason, to: v.reason}
	if v.match.Route != nil {
		at.route = v.match.Route.Template()
	}
	c := t.places[at]
	if c == nil {
		if len(t.places) == mostPlaces {
			t.elsewhere[v.kind].add(w)
			return
		}
		c = &count{}
		at.service, at.method, at.recorded, at.from = strings.Clone(at.service), strings.Clone(at.method), strings.Clone(at.recorded), strings.Clone(at.from)
		t.places[at] = c
	}
	c.add(w)
	c.sample(r, t.samples)
}

// methodOf is the method if the policy or everybody knows it. Others are the clients' choice.
func methodOf(r *decisions.Record, j *judge, v *verdict) string {
	standard := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	if v.match.Rule != nil && v.match.Rule.Method() == r.Method || j.policy.NamesMethod(r.Method) || slices.Contains(standard, r.Method) {
		return r.Method
	}
	return "other"
}

// sample keeps the first lines whose tokens have different scopes: they say the most.
func (c *count) sample(r *decisions.Record, most int) {
	if len(c.samples) >= most || slices.ContainsFunc(c.samples, func(s Sample) bool { return s.scopes == r.ScopesText() }) {
		return
	}
	scopes := r.Scopes()
	for i := range scopes {
		scopes[i] = strings.Clone(scopes[i])
	}
	c.samples = append(c.samples, Sample{
		Line: r.Line, Time: strings.Clone(r.Time), RequestID: strings.Clone(r.RequestID), Method: strings.Clone(r.Method), Path: strings.Clone(r.Path),
		Scopes: append([]string{}, scopes...), source: r.File, scopes: strings.Clone(r.ScopesText()),
	})
}

// merge adds what another worker has counted for the place. Each worker has read its lines in
// the order of the log, so that the first samples of all are among the first of each.
func (c *count) merge(o *count, most int) {
	c.Weight.add(o.Weight)
	all := slices.Concat(c.samples, o.samples)
	slices.SortFunc(all, func(x, y Sample) int { return x.before(&y) })
	c.samples = nil
	for _, s := range all {
		if len(c.samples) < most && !slices.ContainsFunc(c.samples, func(k Sample) bool { return k.scopes == s.scopes }) {
			c.samples = append(c.samples, s)
		}
	}
}
