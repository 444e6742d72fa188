package learn

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/decisions"
	"github.com/scopegate/scopegate/gateway/policy"
)

// Config says what to learn.
type Config struct {
	// Service is the one whose lines count; "" for the only one of the log.
	Service string
	// Names is how many different names may stand at one place of a path before they count as
	// values of a parameter; 0 stands for DefaultNames.
	Names int
	// Current is the policy that is in force, for its vocabulary and implications; nil for none.
	Current *policy.Policy
}

// maxServices bounds the services of one log.
const maxServices = 64

// Log is what was gathered of a log. It belongs to one goroutine.
type Log struct {
	config   Config
	services map[string]*learner
}

// NewLog returns a log of which nothing is known.
func NewLog(c Config) *Log {
	c.Names = cmp.Or(c.Names, DefaultNames)
	return &Log{config: c, services: map[string]*learner{}}
}

// unmatched is how the log calls what no service or route is for.
const unmatched = "unmatched"

// Add takes note of a line.
func (g *Log) Add(r *decisions.Record) {
	if !policy.ValidService(r.Service) || r.Service == unmatched || g.config.Service != "" && r.Service != g.config.Service {
		return
	}
	l := g.services[r.Service]
	if l == nil {
		if len(g.services) == maxServices {
			return
		}
		name := strings.Clone(r.Service)
		l = newLearner(name, &g.config)
		g.services[name] = l
	}
	l.add(r)
}

// Services lists the services that the log has lines of, sorted.
func (g *Log) Services() []string { return slices.Sorted(maps.Keys(g.services)) }

// Draft is the draft for a service of the log; nil if the log allowed it nothing that can be learned from.
func (g *Log) Draft(service string) *Draft {
	l := g.services[service]
	if l == nil || l.allowed.Lines == l.unplaced.Lines {
		return nil
	}
	return l.draft()
}

// Weight counts lines, and the requests for which they stand.
type Weight struct {
	Lines    int64 `json:"lines"`
	Requests int64 `json:"requests"`
}

func (w *Weight) add(requests int64) {
	w.Lines++
	w.Requests += requests
}

// refusal is what was refused alike.
type refusal struct{ method, route, reason string }

// Bounds on them: what was never there cannot be told apart without end.
const (
	maxRefusals    = 10_000
	maxRefusedSets = 256 // different lists of scopes that were refused alike
)

// learner gathers one service's lines.
type learner struct {
	service  string
	names    int
	current  *policy.Policy
	tree     tree
	scopes   scopeSets
	allowed  Weight
	unplaced Weight // allowed, and left out: the path was cut, or there is no room
	refused  Weight
	refusals map[refusal]*refusedCalls
	used     map[*policy.Rule]bool // of current
}

// refusedCalls are what was refused alike, and to whom.
type refusedCalls struct {
	Weight
	sets map[int]bool
}

func newLearner(service string, c *Config) *learner {
	return &learner{service: service, names: c.Names, current: c.Current, refusals: map[refusal]*refusedCalls{}, used: map[*policy.Rule]bool{},
		scopes: scopeSets{vocabulary: c.Current, numbers: map[string]int{}}}
}

// add takes note of a line of the service.
func (l *learner) add(r *decisions.Record) {
	if strings.HasPrefix(r.Reason, "preflight") {
		return // a browser's question, which no rule answers
	}
	set := -1
	if r.Issuer != "" {
		set = l.scopes.number(r.ScopesText(), r.Scopes)
	}
	if !r.Allow {
		l.refuse(r, set)
		return
	}
	l.allowed.add(r.Sampled)
	var u *use
	if req, ok := request(r); ok && (set >= 0 || r.Issuer == "") {
		u = l.tree.find(r.Path, r.Method)
		if l.current != nil {
			l.used[l.current.Match(&req).Rule] = true
		}
	}
	if u == nil {
		l.unplaced.add(r.Sampled)
		return
	}
	u.add(r, set)
}

// request is the line's request if it is whole and in canonical form: nothing else may become a
// part of a policy.
func request(r *decisions.Record) (req policy.Request, ok bool) {
	if len(r.Path) >= decisions.MaxValue {
		return req, false
	}
	req, err := policy.NewRequest(&policy.Received{Method: r.Method, Target: r.Path, Hosts: anyHost, ProtoMajor: 1, ProtoMinor: 1})
	return req, err == nil && req.Path == r.Path && r.Method != "ANY" // which a policy would take for all of them
}

// anyHost stands for the host, which makes no difference to a path.
var anyHost = []string{"localhost"}

func (l *learner) refuse(r *decisions.Record, set int) {
	l.refused.add(r.Sampled)
	at := refusal{r.Method, r.Route, r.Reason}
	c := l.refusals[at]
	if c == nil {
		if len(l.refusals) == maxRefusals {
			return
		}
		c = &refusedCalls{sets: map[int]bool{}}
		l.refusals[refusal{strings.Clone(r.Method), strings.Clone(r.Route), strings.Clone(r.Reason)}] = c
	}
	c.Weight.add(r.Sampled)
	if set >= 0 && len(c.sets) < maxRefusedSets {
		c.sets[set] = true
	}
}

// need is what a rule for the calls has to ask for.
func (l *learner) need(u *use, method string) (policy.Need, []string) {
	if u.public > 0 {
		notes := []string(nil)
		if u.public < u.lines {
			notes = []string{"public in a part of the log only"}
		}
		return policy.Need{Word: "public"}, notes
	}
	e := evidence{allowed: l.wordsOf(slices.Sorted(maps.Keys(u.sets))), all: l.scopes.sets, holders: l.scopes.holders}
	for route := range u.recorded {
		if c := l.refusals[refusal{method, route, "insufficient_scope"}]; c != nil && route != unmatched {
			e.refused = append(e.refused, l.wordsOf(slices.Sorted(maps.Keys(c.sets)))...)
		}
	}
	return e.need()
}

// wordsOf are the sets of these numbers, each once and in an order that does not depend on the
// log's.
func (l *learner) wordsOf(numbers []int) (sets []words) {
	for _, n := range numbers {
		sets = append(sets, l.scopes.sets[n])
	}
	slices.SortFunc(sets, func(a, b words) int { return slices.Compare(a, b) })
	return slices.CompactFunc(sets, func(a, b words) bool { return slices.Equal(a, b) })
}

// sameNeed compares what two rules ask for.
func sameNeed(a, b policy.Need) bool {
	return a.Word == b.Word && slices.EqualFunc(a.Ways, b.Ways, func(x, y []string) bool { return slices.Equal(x, y) })
}
