package probe

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Options say how to probe.
type Options struct {
	// Segments are values for {names} of the policy's paths, by name, and under
	// `**` one for what stands in the place of a tail. A path with a name that
	// has no value is left out.
	Segments map[string]string
	// Post asks besides, by POST requests with a form, whether the service takes
	// the method from a header or the form.
	Post bool
	// Jobs is how many routes are probed at a time; at least 1.
	Jobs int
	// Progress, if not nil, is called after each route, from several goroutines.
	Progress func(done, total int)
}

// Report is what a run found.
type Report struct {
	Requests int
	Routes   []Probed // by template
}

// Probed is one route of the policy.
type Probed struct {
	Route *policy.Route
	// Path is what was asked for; empty when nothing was.
	Path string
	// Untold is why nothing can be said about the route; empty otherwise.
	Untold string
	// Folds are the twins that lead to the same place.
	Folds []Fold
}

// Fold is a twin that the service took for the path itself.
type Fold struct {
	Twin
	Reading Reading
	// Refused is the reason why the gateway does not let the twin through, and
	// Guard the rule of the ambiguity guard if that is why. Both are zero when
	// it does.
	Refused policy.Reason
	Guard   policy.GuardRule
	// Under is the route by which the gateway judges the twin, nil without one.
	Under *policy.Route
	// Strict and Weaker are two rules of the same method, of the path's own
	// route and of Under, of which the second lets in somebody whom the first
	// refuses: a bypass. Both are nil when there is none. Strict is nil too where
	// the path's route does not list the method.
	Strict, Weaker *policy.Rule
	// Who is let in; nil where that could not be decided.
	Who *policy.Persona
}

// Open reports a bypass.
func (f *Fold) Open() bool { return f.Weaker != nil }

// Open counts the bypasses.
func (r *Report) Open() (n int) {
	for i := range r.Routes {
		for j := range r.Routes[i].Folds {
			if r.Routes[i].Folds[j].Open() {
				n++
			}
		}
	}
	return n
}

// Run probes the service with every route of the policy. The error is one of
// reaching the service.
func Run(ctx context.Context, p *policy.Policy, s *Service, o Options) (*Report, error) {
	routes := p.Routes()
	report := &Report{Routes: make([]Probed, len(routes))}
	var requests, done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, o.Jobs))
	for i, route := range routes {
		group.Go(func() error {
			r := &run{ctx: ctx, policy: p, service: s, options: o}
			var err error
			report.Routes[i], err = r.route(route)
			requests.Add(int64(r.requests))
			if n := done.Add(1); o.Progress != nil && err == nil {
				o.Progress(int(n), len(routes))
			}
			return err
		})
	}
	err := group.Wait()
	report.Requests = int(requests.Load())
	return report, err
}

// run probes one route.
type run struct {
	ctx      context.Context
	policy   *policy.Policy
	service  *Service
	options  Options
	requests int
}

func (r *run) ask(q question) (answer, error) {
	r.requests++
	return r.service.ask(r.ctx, q)
}

func (r *run) get(target string, fields ...string) (answer, error) {
	return r.ask(question{method: http.MethodGet, target: target, fields: fields})
}

func (r *run) route(route *policy.Route) (Probed, error) {
	out := Probed{Route: route}
	path, why := r.path(route)
	if why != "" {
		out.Untold = why
		return out, nil
	}
	out.Path = path
	y, err := r.measure(path)
	if err != nil {
		return out, err
	}
	if !y.tellable {
		out.Untold = "the service answers it like a path that does not exist"
		return out, nil
	}
	for _, twin := range Twins(path) {
		fold, ok := r.judge(route, twin, path)
		if !ok {
			continue
		}
		a, err := r.get(fold.Target)
		if err != nil {
			return out, err
		}
		if fold.Reading = y.reading(fold.Target, a); fold.Reading != Apart {
			out.Folds = append(out.Folds, fold)
		}
	}
	err = r.markers(&out, y)
	return out, err
}

var nameOrTail = regexp.MustCompile(`\{[^/]*\}|\*\*`)

// path fills a route's pattern, or says why it cannot.
func (r *run) path(route *policy.Route) (path, why string) {
	path = nameOrTail.ReplaceAllStringFunc(route.Template(), func(s string) string {
		value, ok := r.options.Segments[strings.Trim(s, "{}")]
		if !ok && s != "**" {
			why = "no value for " + s
		}
		return value
	})
	if why != "" {
		return "", why
	}
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: encoded(path), Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil {
		return "", err.Error()
	}
	if r.policy.Match(&req).Route != route {
		return "", req.Path + " belongs to another route"
	}
	return req.Path, ""
}

// encoded writes a decoded path as a target.
func encoded(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`%?#`, rune(c)) {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + hex(c))
		}
	}
	return b.String()
}

// nowhere is a segment that no service has.
const nowhere = "scopegate-probe-nowhere"

// measure asks for the path twice, and for paths beside it that do not exist.
func (r *run) measure(path string) (*yardstick, error) {
	var known [2]answer
	for i := range known {
		var err error
		if known[i], err = r.get(path); err != nil {
			return nil, err
		}
	}
	bare := strings.TrimSuffix(path, "/")
	beside := bare[:strings.LastIndexByte("/"+bare, '/')] + "/" + nowhere
	beside = "/" + strings.TrimLeft(beside, "/")
	unknown := map[string]answer{}
	for _, target := range []string{"/" + nowhere, beside, beside + path[len(bare):]} {
		if _, asked := unknown[target]; asked {
			continue
		}
		a, err := r.get(target)
		if err != nil {
			return nil, err
		}
		unknown[target] = a
	}
	return newYardstick(path, known, unknown), nil
}

// judge says what the gateway would do with a twin, and what it would send. ok
// is false for what is no twin to the policy: a path with a route of its own
// name, or one that has the same reading.
func (r *run) judge(route *policy.Route, twin Twin, path string) (f Fold, ok bool) {
	f.Twin = twin
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: twin.Target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if guard, is := err.(*policy.GuardError); is {
		f.Refused, f.Guard = guard.Reason, guard.Rule
		return f, true
	}
	m := r.policy.Match(&req)
	f.Under, f.Refused, f.Guard = m.Route, m.Reason, m.Guard
	if req.Path == path || m.Route != nil && m.Route != route && m.Route.Template() == req.Path {
		return f, false
	}
	if m.Reason != policy.ReasonAmbiguousRequest {
		f.Target = req.Path // the one spelling that the service would see
	}
	if m.Route != nil && m.Route != route {
		f.Strict, f.Weaker, f.Who = r.policy.Weakened(route, m.Route, path)
		f.Refused = 0 // as far as any method goes
	}
	return f, true
}

// markers asks whether something other than the request line counts.
func (r *run) markers(out *Probed, y *yardstick) error {
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL"} {
		a, err := r.get("/"+nowhere, name+": "+out.Path)
		if err != nil {
			return err
		}
		if y.reading("/"+nowhere, a) == Same {
			out.Folds = append(out.Folds, Fold{Twin: Twin{RewriteHeader, name + ": " + out.Path}, Reading: Same, Refused: policy.ReasonMalformed})
		}
	}
	if !r.options.Post {
		return nil
	}
	return r.methods(out, y)
}

// methods posts with and without something that asks for GET. The gateway
// refuses the header; a form's field is in the body, which it does not read.
func (r *run) methods(out *Probed, y *yardstick) error {
	plain, err := r.ask(question{method: http.MethodPost, target: out.Path})
	if err != nil || y.reading(out.Path, plain) == Same {
		return err
	}
	header, err := r.ask(question{method: http.MethodPost, target: out.Path, fields: []string{"X-HTTP-Method-Override: GET"}})
	if err != nil {
		return err
	}
	if y.reading(out.Path, header) == Same {
		out.Folds = append(out.Folds, Fold{Twin: Twin{OverrideHeader, "X-HTTP-Method-Override: GET"}, Reading: Same,
			Refused: policy.ReasonAmbiguousRequest, Guard: policy.RuleMethodOverride})
	}
	form, err := r.ask(question{method: http.MethodPost, target: out.Path, body: "_method=GET"})
	if err != nil || y.reading(out.Path, form) != Same {
		return err
	}
	fold := Fold{Twin: Twin{FormMethod, "_method=GET"}, Reading: Same, Under: out.Route, Refused: policy.ReasonMethodNotAllowed}
	fold.Strict, fold.Weaker, fold.Who = r.policy.WeakerPost(out.Route, out.Path)
	if fold.Weaker != nil {
		fold.Refused = 0
	}
	out.Folds = append(out.Folds, fold)
	return nil
}

// ByFamily groups folds, in the order of the families' table.
func (r *Report) ByFamily() map[Family][]Fold {
	all := map[Family][]Fold{}
	for _, p := range r.Routes {
		for _, f := range p.Folds {
			all[f.Family] = append(all[f.Family], f)
		}
	}
	return all
}

// Families lists those that the service folds, in the order of their table.
func (r *Report) Families() []Family {
	var out []Family
	for f := range r.ByFamily() {
		out = append(out, f)
	}
	slices.SortFunc(out, compareFamilies)
	return out
}
