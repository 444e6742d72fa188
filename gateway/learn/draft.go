package learn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Draft is what was learned of a service.
type Draft struct {
	Service  string      `json:"service"`
	Allowed  Weight      `json:"allowed"`  // what was learned from
	Unplaced Weight      `json:"unplaced"` // of it: not covered by the draft, for want of room or of a whole path
	Refused  Weight      `json:"refused"`  // left out
	Routes   []Route     `json:"routes"`   // by path
	Scopes   []HeldScope `json:"scopes"`   // that tokens had, by name
	Refusals []Refusal   `json:"refusals"` // the most frequent first
	Unused   []Unused    `json:"unused"`   // rules of the policy in force that no allowed call needed
	YAML     string      `json:"draft"`
}

// Route is a path of the draft.
type Route struct {
	Path   string   `json:"path"`
	Accept []string `json:"accept"`
	Rules  []Rule   `json:"rules"`
}

// Rule is a method of a path and what the log shows of it.
type Rule struct {
	Method string `json:"method"`
	Needs  string `json:"needs"` // as the draft writes it
	Weight
	Callers    int      `json:"callers"`    // different subjects, counted up to 64; 0 where no token was asked for
	Confidence string   `json:"confidence"` // high, medium or low
	Notes      []string `json:"notes"`      // what a person has to look at
}

// HeldScope is a word that tokens of the log had.
type HeldScope struct {
	Name   string `json:"name"`
	Lines  int64  `json:"lines"`
	Needed bool   `json:"needed"` // by a rule of the draft
}

// Refusal is what was refused in the log; the route is that of the policy of that day.
type Refusal struct {
	Method string `json:"method"`
	Route  string `json:"route"`
	Reason string `json:"reason"`
	Weight
}

// Unused is a rule of the policy in force that no allowed call of the log needed.
type Unused struct {
	Path   string `json:"path"`
	Method string `json:"method"`
	Line   int    `json:"line"`
}

// The values of Confidence: below these numbers of requests or callers it is less.
const (
	fewRequests, someRequests = 10, 100
	fewCallers, someCallers   = 2, 3
)

func confidence(u *use) string {
	callers := len(u.callers)
	if u.public > 0 {
		callers = someCallers // nobody is asked, so that it does not count who came
	}
	switch {
	case u.requests < fewRequests || callers < fewCallers:
		return "low"
	case u.requests < someRequests || callers < someCallers:
		return "medium"
	}
	return "high"
}

// drafter builds the draft.
type drafter struct {
	*learner
	out    *Draft
	draft  policy.Draft
	needed map[string]bool
}

func (l *learner) draft() *Draft {
	l.settle(&l.tree.root, 0)
	d := &drafter{learner: l, needed: map[string]bool{}, draft: policy.Draft{Service: l.service},
		out: &Draft{Service: l.service, Allowed: l.allowed, Unplaced: l.unplaced, Refused: l.refused, Routes: []Route{}, Scopes: []HeldScope{}, Refusals: []Refusal{}, Unused: []Unused{}}}
	d.walk(&l.tree.root, nil, nil)
	slices.SortFunc(d.draft.Routes, func(a, b policy.DraftRoute) int { return strings.Compare(a.Template, b.Template) })
	slices.SortFunc(d.out.Routes, func(a, b Route) int { return strings.Compare(a.Path, b.Path) })
	d.scopes()
	d.refusals()
	d.unused()
	d.head()
	d.out.YAML = d.draft.YAML()
	return d.out
}

// parameter is a segment of a template that stands for any.
type parameter struct {
	segment int
	name    string
}

// walk writes the routes at and below a place. template is the path so far by segments.
func (d *drafter) walk(n *node, template []string, parameters []parameter) {
	if n == nil {
		return
	}
	if len(n.uses) > 0 {
		d.route(n, "/"+strings.Join(template, "/"), parameters)
	}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		text, _ := literal(name) // what is none varies
		d.walk(n.names[name], append(slices.Clip(template), text), parameters)
	}
	id := "id"
	if len(parameters) > 0 {
		id += strconv.Itoa(len(parameters) + 1)
	}
	d.walk(n.other, append(slices.Clip(template), "{"+id+"}"), append(slices.Clip(parameters), parameter{len(template), id}))
	d.walk(n.tail, append(slices.Clip(template), "**"), parameters)
}

// route writes one path.
func (d *drafter) route(n *node, template string, parameters []parameter) {
	if head, get := n.uses["HEAD"], n.uses["GET"]; head != nil && get != nil { // GET's rule answers HEAD
		get.merge(head)
		delete(n.uses, "HEAD")
	}
	accepted := map[string]bool{}
	for _, u := range n.uses {
		maps.Copy(accepted, u.accepted)
	}
	route := policy.DraftRoute{Template: template, Accept: slices.Sorted(maps.Keys(accepted))}
	if len(accepted) > 0 {
		route.Notes = append(route.Notes, "CHECK: exceptions to the ambiguity guard that calls of the log needed")
	}
	report := Route{Path: template, Accept: append([]string{}, route.Accept...), Rules: []Rule{}}
	for _, method := range slices.Sorted(maps.Keys(n.uses)) {
		u := n.uses[method]
		need, notes := d.learner.need(u, method)
		if need.Word != "public" {
			need.Claims, notes = d.claims(u, parameters, notes)
		}
		notes = append(notes, d.missed(u, method, &need)...)
		for _, way := range need.Ways {
			for _, word := range way {
				d.needed[word] = true
			}
		}
		rule := Rule{Method: method, Needs: need.String(), Weight: Weight{u.lines, u.requests}, Callers: len(u.callers), Confidence: confidence(u), Notes: append([]string{}, notes...)}
		report.Rules = append(report.Rules, rule)
		route.Rules = append(route.Rules, policy.DraftRule{Method: method, Need: need, Note: rule.comment()})
	}
	d.draft.Routes = append(d.draft.Routes, route)
	d.out.Routes = append(d.out.Routes, report)
}

// comment says what the log shows of a rule.
func (r *Rule) comment() string {
	text := count(r.Requests, "request")
	if r.Callers >= maxCallers {
		text += fmt.Sprintf(" of %d or more callers", maxCallers)
	} else if r.Callers > 0 {
		text += " of " + count(int64(r.Callers), "caller")
	}
	text += ", confidence " + r.Confidence
	if len(r.Notes) > 0 {
		text += "; CHECK: " + strings.Join(r.Notes, "; ")
	}
	return text
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// claims are conditions that every call fulfilled: a claim of the token was the path's segment.
func (d *drafter) claims(u *use, parameters []parameter, notes []string) ([]policy.SegmentClaim, []string) {
	var found []policy.SegmentClaim
	for _, b := range slices.SortedFunc(maps.Keys(u.bindings), func(a, b binding) int {
		return cmp.Or(strings.Compare(a.claim, b.claim), cmp.Compare(a.segment, b.segment))
	}) {
		for _, p := range parameters {
			taken := slices.ContainsFunc(found, func(c policy.SegmentClaim) bool { return c.Claim == b.claim })
			if p.segment != b.segment || taken {
				continue
			}
			found = append(found, policy.SegmentClaim{Claim: b.claim, Segment: p.name})
			if !u.bindings[b].varied {
				notes = append(notes, "{"+p.name+"} had one value only")
			}
		}
	}
	return found, notes
}

// missed names conditions that the policy of that day had and that no log can show.
func (d *drafter) missed(u *use, method string, need *policy.Need) (notes []string) {
	for _, reason := range []string{"claim_mismatch", "step_up_required"} {
		if reason == "claim_mismatch" && len(need.Claims) > 0 {
			continue
		}
		for route := range u.recorded {
			if route != unmatched && d.learner.refusals[refusal{method, route, reason}] != nil {
				notes = append(notes, "calls were refused for "+reason+", and a condition for it is missing here")
				break
			}
		}
	}
	return notes
}

// scopes fills the vocabulary: the words that rules need, and those that imply them.
func (d *drafter) scopes() {
	seen := map[string]bool{}
	for _, set := range d.learner.scopes.sets {
		for _, word := range set {
			seen[word] = true
		}
	}
	declared := maps.Clone(d.needed)
	known := map[string]policy.Scope{}
	if d.current != nil {
		for _, s := range d.current.Vocabulary() {
			known[s.Name] = s
			if seen[s.Name] && slices.ContainsFunc(s.Implies, func(word string) bool { return d.needed[word] }) {
				declared[s.Name] = true
			}
		}
	}
	for _, word := range slices.Sorted(maps.Keys(seen)) {
		lines := d.learner.scopes.holders(word)
		d.out.Scopes = append(d.out.Scopes, HeldScope{word, lines, declared[word]})
		if !declared[word] {
			continue
		}
		scope := policy.Scope{Name: word, About: cmp.Or(known[word].About, "Held in "+count(lines, "line")+" of the log")}
		for _, implied := range known[word].Implies {
			if declared[implied] {
				scope.Implies = append(scope.Implies, implied)
			}
		}
		d.draft.Scopes = append(d.draft.Scopes, scope)
	}
}

func (d *drafter) refusals() {
	for at, c := range d.learner.refusals {
		d.out.Refusals = append(d.out.Refusals, Refusal{at.method, at.route, at.reason, c.Weight})
	}
	slices.SortFunc(d.out.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Route, b.Route), strings.Compare(a.Method, b.Method), strings.Compare(a.Reason, b.Reason))
	})
}

// unused lists rules of the policy in force without an allowed call.
func (d *drafter) unused() {
	if d.current == nil {
		return
	}
	for _, route := range d.current.Routes() {
		for _, rule := range route.Rules() {
			if !d.used[rule] && !rule.Closed() {
				d.out.Unused = append(d.out.Unused, Unused{route.Template(), rule.Method(), rule.Line()})
			}
		}
	}
}

// head writes the comments at the head of the draft.
func (d *drafter) head() {
	const most = 20
	note := func(format string, args ...any) { d.draft.Notes = append(d.draft.Notes, fmt.Sprintf(format, args...)) }
	note("A draft from %s. It shows what was done, and cannot know what was meant:", count(d.allowed.Requests, "allowed request"))
	note("edit it, and try it with gateway replay before it counts.")
	note("Protocols that may be switched to (upgrade:) and conditions on the login are not in a log.")
	if d.unplaced.Lines > 0 {
		note("CHECK: %s of those are not covered: their paths were cut, or there were too many.", count(d.unplaced.Requests, "request"))
	}
	var idle words
	for _, s := range d.out.Scopes {
		if !s.Needed {
			idle = append(idle, s.Name)
		}
	}
	if len(idle) > 0 {
		note("Held by tokens and needed by no rule: %s", list(idle))
	}
	for i := range d.out.Unused[:min(len(d.out.Unused), most)] {
		u := &d.out.Unused[i]
		note("Without a call in the log, in line %d of the policy in force: %s %s", u.Line, u.Method, u.Path)
	}
	for i := range d.out.Refusals[:min(len(d.out.Refusals), most)] {
		r := &d.out.Refusals[i]
		note("Refused and left out: %s %s, %s: %s", r.Method, r.Route, r.Reason, count(r.Requests, "request"))
	}
	if more := len(d.out.Refusals) + len(d.out.Unused) - most; more > 0 && (len(d.out.Refusals) > most || len(d.out.Unused) > most) {
		note("and more of these: gateway learn --format json lists them all.")
	}
}
