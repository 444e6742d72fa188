package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Kind says how a document and a policy disagree.
type Kind string

// The kinds of drift, each with its id of a finding.
const (
	// Undocumented: the policy lets requests in that the document does not have.
	Undocumented Kind = "undocumented"
	// Unrouted: the policy has no rule for an operation of the document.
	Unrouted Kind = "unrouted"
	// Looser: the policy lets callers in of whom the document asks more.
	Looser Kind = "looser"
	// Stricter: the policy refuses callers who have what the document asks for.
	Stricter Kind = "stricter"
	// Different: the policy is looser for some callers and stricter for others.
	Different Kind = "different"
	// Public: the policy asks for no token where the document does.
	Public Kind = "public"
	// Secured: the policy asks for a token where the document does not.
	Secured Kind = "secured"
	// AnyForAll: the policy takes any one of the scopes of which the document asks for all.
	AnyForAll Kind = "any_for_all"
	// AllForAny: the policy asks for all of the scopes of which any one does in the document.
	AllForAny Kind = "all_for_any"
	// Undecided: the two could not be compared.
	Undecided Kind = "undecided"
)

// Difference is one place where a document and a policy disagree. It shows a request and a caller
// about whom both were asked; only Undecided has none.
type Difference struct {
	Kind Kind
	// Method and Path are those of the rule, in the document's words where it has the operation.
	Method, Path string
	// Document and Policy are where each of them says so; zero where it says nothing.
	Document, Policy Place
	// Asks and Needs are what the document asks for and the policy needs, in words; "" for
	// nothing that answers.
	Asks, Needs string
	// Conditional tells that the policy's rule has conditions, which the witnesses are taken to meet.
	Conditional bool
	Witnesses   []policy.Change
}

// Report is everything in which a document and a policy disagree.
type Report struct {
	Differences []Difference
	// Remarks are no drift: what of the document could not be compared, and words that only one
	// of the two declares.
	Remarks    policy.Findings
	Operations int
	Rules      int
	// Unnamed operations have paths that no policy can name; they were not compared. Unsaid ones ask
	// for what no policy can say: of them it was compared only whether there is a rule, and whether
	// it is public. Conditional rules of the policy have conditions, which no document can say; they
	// were taken as fulfilled.
	Unnamed, Unsaid, Conditional int
}

// Drift compares a policy with what a document says, over all requests and scopes. It drafts a
// policy from the document, with the vocabulary of the one given, so that what one scope implies
// counts on both sides, and lets package policy compare the two.
func (d *Document) Drift(p *policy.Policy, options Options) (*Report, error) {
	options.Service, options.compare, options.vocabulary = p.Service(), true, p.Vocabulary()
	draft, err := d.Import(options)
	if err != nil {
		return nil, err
	}
	said, found := policy.Load(d.file, draft.Policy)
	if said == nil {
		return nil, fmt.Errorf("%w: %s: no policy can hold it: %w", ErrUnusable, d.file, found.Errors()[:1])
	}
	c := &comparison{draft: draft, document: d, policy: p, bare: p.WithoutConditions(), routes: map[string]*route{}, found: map[pair]int{},
		report: &Report{Operations: draft.Operations}}
	for _, r := range draft.routes {
		c.routes[r.template] = r
	}
	compared := policy.Compare(said, c.bare)
	for i := range compared.Changes {
		c.change(&compared.Changes[i])
	}
	c.finish()
	return c.report, nil
}

// comparison turns what package policy found into differences.
type comparison struct {
	draft    *Draft
	document *Document
	policy   *policy.Policy
	bare     *policy.Policy    // policy with its conditions taken as fulfilled
	routes   map[string]*route // of the draft, by template
	report   *Report
	found    map[pair]int // the place of a difference in the report
}

// pair is an operation or a request that no operation answers, and what the policy has for it.
type pair struct {
	method, path string
	policy       Place
	undocumented bool
}

// change takes up one change from the document's policy to the one given.
func (c *comparison) change(x *policy.Change) {
	if x.Exception != 0 || x.Upgrade != "" {
		return // no document can say them, and validate shows them
	}
	asked := c.asked(x.Old.Rule)
	kind := meaning(x, asked)
	if kind == "" || kind == Undocumented && c.leftOut(x.New.Rule) {
		return
	}
	found := Difference{Kind: kind, Witnesses: []policy.Change{*x}}
	if route := x.New.Route; route != nil {
		found.Policy = Place{File: route.File(), Line: route.Line()}
		found.Path = route.Template()
	}
	if rule := x.New.Rule; rule != nil {
		found.Policy.Line, found.Needs, found.Method = rule.Line(), rule.Requirement(), rule.Method()
	}
	if route := x.Old.Route; route != nil {
		found.Document = c.routes[route.Template()].place
	}
	if asked != nil {
		found.Document, found.Method, found.Path = asked.operation.place, asked.method, asked.path
		if asked.need.Word != wordNobody {
			found.Asks = x.Old.Rule.Requirement()
		}
	}
	if rule := c.policy.Match(&x.Request).Rule; rule != nil {
		found.Conditional = rule.Conditional()
	}
	c.add(&found)
}

// add unites what was found between two rules, and keeps a witness for each direction.
func (c *comparison) add(found *Difference) {
	key := pair{found.Method, found.Path, found.Policy, found.Kind == Undocumented}
	i, known := c.found[key]
	if !known {
		c.found[key] = len(c.report.Differences)
		c.report.Differences = append(c.report.Differences, *found)
		return
	}
	d := &c.report.Differences[i]
	if d.Kind != found.Kind && (d.Kind == Looser || d.Kind == Stricter) {
		d.Kind = Different
	}
	if d.Witnesses[0].Kind.Widens() != found.Witnesses[0].Kind.Widens() && len(d.Witnesses) == 1 {
		d.Witnesses = append(d.Witnesses, found.Witnesses...)
	}
}

// meaning says what a change means; "" for one that is no drift.
func meaning(x *policy.Change, asked *rule) Kind {
	switch {
	case !x.Kind.Proven():
		return Undecided
	case asked == nil:
		return Undocumented
	case x.New.Rule == nil:
		return Unrouted
	case x.New.Rule.Public():
		return Public
	case asked.beyond():
		return "" // the document asks for what the gateway does not check
	case x.Old.Rule.Public():
		return Secured
	case x.Kind.Widens():
		return Looser
	}
	return Stricter
}

// asked is the operation behind a rule of the draft.
func (c *comparison) asked(r *policy.Rule) *rule {
	if r == nil {
		return nil
	}
	rules := c.routes[r.Route().Template()].rules
	return &rules[slices.IndexFunc(rules, func(made rule) bool { return made.method == r.Method() })]
}

// leftOut reports whether a rule stands where a person would write one for an operation whose path
// no policy can name. What such a rule needs is not compared.
func (c *comparison) leftOut(r *policy.Rule) bool {
	return slices.ContainsFunc(c.draft.leftOut, func(o leftOut) bool {
		return o.method == r.Method() && !r.Public() && o.wider != "" && shape(o.wider) == shape(r.Route().Template())
	})
}

// finish sharpens the kinds, and counts what was not compared.
func (c *comparison) finish() {
	for i := range c.report.Differences {
		c.quantify(&c.report.Differences[i])
	}
	for _, route := range c.draft.routes {
		for i := range route.rules {
			if r := &route.rules[i]; r.beyond() {
				c.report.Unsaid++
			}
		}
	}
	for _, o := range c.draft.leftOut {
		if served(o.method) {
			c.report.Unnamed++
		}
	}
	for _, route := range c.policy.Routes() {
		for _, rule := range route.Rules() {
			c.report.Rules++
			if rule.Conditional() {
				c.report.Conditional++
			}
		}
	}
	c.words()
}

// quantify finds where one side asks for any and the other for all of the same scopes: the most
// frequent mistake with lists of scopes, and the worst. The policy is asked, not its text.
func (c *comparison) quantify(d *Difference) {
	x := &d.Witnesses[0]
	asked := c.asked(x.Old.Rule)
	if len(d.Witnesses) != 1 || asked == nil || asked.need.Word != "" || x.New.Rule == nil {
		return
	}
	ways := asked.need.Ways
	lets := func(scopes ...string) bool {
		caller := policy.Caller{Scopes: c.bare.Scopes(scopes)}
		decision := c.bare.Decide(&x.Request, &caller)
		return decision.Allow
	}
	switch {
	case d.Kind == Looser && len(ways) == 1 && len(ways[0]) > 1 && !lets():
		if !slices.ContainsFunc(ways[0], func(s string) bool { return !lets(s) }) {
			d.Kind = AnyForAll
		}
	case d.Kind == Stricter && len(ways) > 1:
		all := slices.Concat(ways...)
		without := func(s string) bool {
			return lets(slices.DeleteFunc(slices.Clone(all), func(o string) bool { return o == s })...)
		}
		if len(all) == len(ways) && lets(all...) && !slices.ContainsFunc(all, without) {
			d.Kind = AllForAny
		}
	}
}

// words remarks on scopes that only one side declares.
func (c *comparison) words() {
	documented := map[string]bool{}
	for _, s := range c.draft.scopes {
		documented[s.Name] = true
	}
	own := map[string]bool{}
	for _, s := range c.policy.Vocabulary() {
		own[s.Name] = true
		if !documented[s.Name] && len(documented) > 0 {
			c.remark(Place{File: c.policy.File(), Line: 1, Column: 1}, "the policy's scope "+s.Name+" is not in "+c.document.file)
		}
	}
	for _, s := range c.draft.scopes {
		if !own[s.Name] {
			c.remark(Place{File: c.document.file, Line: 1, Column: 1}, "the document's scope "+s.Name+" is not declared in "+c.policy.File())
		}
	}
}

func (c *comparison) remark(at Place, message string) {
	c.report.Remarks = append(c.report.Remarks, warning(at, idWords, "", message))
}

// String says in words what the kind means.
func (k Kind) String() string { return strings.ReplaceAll(string(k), "_", " ") }
