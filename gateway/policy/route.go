package policy

import (
	"slices"
	"strings"
)

// Route is one path of a policy with its rules. It never changes.
type Route struct {
	pattern  pattern
	file     string
	line     int
	column   int
	rules    []*Rule // by method; ANY last
	any      *Rule
	allow    string
	accepts  GuardRules
	upgrades []string
}

// Template is the path as the policy writes it.
func (r *Route) Template() string { return r.pattern.template }

// File is the policy's file, as given to Load.
func (r *Route) File() string { return r.file }

// Line is where the path stands in the file, from 1.
func (r *Route) Line() int { return r.line }

// Rules lists the rules, sorted by method, ANY last.
func (r *Route) Rules() []*Rule { return slices.Clone(r.rules) }

// Allow is the value of an Allow field: the methods listed, and HEAD where GET
// is.
func (r *Route) Allow() string { return r.allow }

// Accepts reports whether requests that break the guard's rule may match.
func (r *Route) Accepts(rule GuardRule) bool { return r.accepts.Has(rule) }

// Accepted is the set of the guard's rules that the path waives.
func (r *Route) Accepted() GuardRules { return r.accepts }

// Upgrade reports whether a GET here may switch to the protocol, which
// compares without case.
func (r *Route) Upgrade(protocol string) bool {
	for _, u := range r.upgrades {
		if strings.EqualFold(u, protocol) {
			return true
		}
	}
	return false
}

// Upgrades lists the protocols that a GET here may switch to.
func (r *Route) Upgrades() []string { return slices.Clone(r.upgrades) }

// rule finds the rule for a method: its own, GET's for HEAD, ANY's. nil is 405.
func (r *Route) rule(method string) *Rule {
	if own := r.own(method); own != nil {
		return own
	}
	if method == "HEAD" {
		if get := r.own("GET"); get != nil {
			return get
		}
	}
	return r.any
}

func (r *Route) own(method string) *Rule {
	for _, rule := range r.rules {
		if rule.method == method && rule != r.any {
			return rule
		}
	}
	return nil
}

// finish sorts the rules and computes what follows from them.
func (r *Route) finish() {
	slices.SortFunc(r.rules, func(a, b *Rule) int {
		if (a == r.any) != (b == r.any) {
			if a == r.any {
				return 1
			}
			return -1
		}
		return strings.Compare(a.method, b.method)
	})
	var methods []string
	for _, rule := range r.rules {
		if rule != r.any {
			methods = append(methods, rule.method)
		}
	}
	if r.own("GET") != nil && r.own("HEAD") == nil {
		methods = append(methods, "HEAD")
	}
	slices.Sort(methods)
	r.allow = strings.Join(methods, ", ")
}

// access is what kind of door a rule is.
type access uint8

const (
	byRequirement access = iota
	toEveryone           // public
	toNobody             // nobody
)

// Rule is what one method of a path needs. It never changes.
type Rule struct {
	route      *Route
	method     string
	line       int
	column     int
	position   string
	access     access
	formula    formula
	conditions []condition
	claimBits  uint64 // issuer: and claims: conditions
	stepBits   uint64 // max_age: and acr: conditions
	text       string
}

// Route is the path that the rule belongs to.
func (r *Rule) Route() *Route { return r.route }

// Method is the method as the policy writes it: `GET` also for a HEAD that it
// answers, `ANY` for every method not named.
func (r *Rule) Method() string { return r.method }

// File is the policy's file, as given to Load.
func (r *Rule) File() string { return r.route.file }

// Line is where the rule stands in the file, from 1.
func (r *Rule) Line() int { return r.line }

// Position is `file:line`, for the log.
func (r *Rule) Position() string { return r.position }

// Requirement says in words what the rule asks for.
func (r *Rule) Requirement() string { return r.text }

// Public reports whether the rule asks for nothing.
func (r *Rule) Public() bool { return r.access == toEveryone }

// Claims lists the claims that the rule reads, by their names as written, each once.
func (r *Rule) Claims() []string {
	var names []string
	for i := range r.conditions {
		if c := &r.conditions[i]; c.kind == onClaim && !slices.Contains(names, c.claim) {
			names = append(names, c.claim)
		}
	}
	return names
}

// Closed reports whether the rule lets nobody in.
func (r *Rule) Closed() bool { return r.access == toNobody }

// met says which conditions a caller fulfils, by their bits.
func (r *Rule) met(c *Caller, path string) uint64 {
	var bits uint64
	for i := range r.conditions {
		if r.conditions[i].met(c, path) {
			bits |= 1 << i
		}
	}
	return bits
}

// everyCondition is the set of bits of all conditions.
func (r *Rule) everyCondition() uint64 { return r.claimBits | r.stepBits }
