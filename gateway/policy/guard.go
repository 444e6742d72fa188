package policy

import (
	"math/bits"
	"strings"
)

// GuardRule names one rule of the ambiguity guard. The zero value is no rule. The numbers are
// private to a process; what is stable is the name that String gives.
type GuardRule uint8

// The rules. Those that a route may waive with accept: come first, so that
// GuardRules.First names a waivable rule where a path breaks both kinds: the operator reads
// about the exception before reading about what stays forbidden inside it.
const (
	RuleEncodedSlash GuardRule = iota + 1
	RuleEncodedBackslash
	RuleSemicolon
	RuleDoubleEncoding
	RuleEmptySegment
	RuleMethodOverride
	RuleQueryToken

	RuleDotSegment
	RuleEncodedControl
	RuleFragment
	RuleBadUTF8
	RuleCompatChar
	RuleBadPercent
	RuleRawByte
	RuleNoLeadingSlash
	RuleTargetForm
	RuleHost
	RuleMethod
	RuleVersion
	ruleCount
)

// ruleText is the one table of the rules: their names on the wire, and what a person who was
// refused needs to know.
var ruleText = [ruleCount]struct{ name, about, cure string }{
	RuleEncodedSlash: {"encoded_slash",
		"the path holds an encoded slash (%2F), which some services read as the end of a segment",
		"send a plain slash, or add accept: [encoded_slash] to the route"},
	RuleEncodedBackslash: {"encoded_backslash",
		`the path holds a backslash, raw or as %5C, which some services read as a slash`,
		"send a slash, or add accept: [encoded_backslash] to the route"},
	RuleSemicolon: {"semicolon",
		"the path holds a semicolon, raw or as %3B, and some services drop what follows it",
		"take the path parameter out, or add accept: [semicolon] to the route"},
	RuleDoubleEncoding: {"double_encoding",
		"the path holds an encoded percent sign before two hex digits (as in %252F), which a service that decodes twice reads otherwise",
		"encode once, or add accept: [double_encoding] to the route"},
	RuleEmptySegment: {"empty_segment",
		"the path holds an empty segment (//), which some services merge away",
		"send a single slash; a route may add accept: [empty_segment], but never for the start of the path"},
	RuleMethodOverride: {"method_override",
		"a header or the query's _method asks for another method than the request's own",
		"send the method that is meant, or add accept: [method_override] to the route"},
	RuleQueryToken: {"query_token",
		"the query holds an access_token parameter, which ends up in logs and histories",
		"send the token in the Authorization header, or add accept: [query_token] to the route"},
	RuleDotSegment: {"dot_segment",
		`the path holds a segment "." or "..", in some spelling, which services resolve differently`,
		"send the resolved path"},
	RuleEncodedControl: {"encoded_control",
		"the path holds an encoded control or line-separator character",
		"take the character out"},
	RuleFragment: {"fragment",
		"the request target holds a raw #, and a fragment is never sent",
		"cut the fragment off, or encode the sign as %23"},
	RuleBadPercent: {"bad_percent",
		"a percent sign in the path is not followed by two hex digits",
		"encode a literal percent sign as %25"},
	RuleBadUTF8: {"bad_utf8",
		"the path does not decode to valid UTF-8",
		"encode the characters as UTF-8, each in its shortest form"},
	RuleCompatChar: {"compat_char",
		"the path holds a character that Unicode normalisation turns into one of / \\ . ; % ? #",
		"use another character"},
	RuleRawByte: {"raw_byte",
		"the request target holds a byte outside visible ASCII",
		"percent-encode it"},
	RuleNoLeadingSlash: {"no_leading_slash",
		"the request target does not begin with a slash",
		"begin the path with /"},
	RuleTargetForm: {"target_form",
		"the request target is neither a path nor a plain http or https URL",
		"send the path, without user information"},
	RuleHost: {"host",
		"the request does not name exactly one well-formed host",
		"send one Host field: a name or an IP address, with a port or without"},
	RuleMethod: {"method",
		"the method is not one that is served here: 1 to 32 of A-Z, - and _, and not TRACE, TRACK, CONNECT or PRI",
		"use an upper-case method such as GET"},
	RuleVersion: {"version",
		"the HTTP version is not 1.0, 1.1 or 2",
		"use HTTP/1.1 or HTTP/2"},
}

// String is the rule's stable name, as bodies, logs and accept: spell it; "" for no rule.
func (r GuardRule) String() string {
	if r >= ruleCount {
		return ""
	}
	return ruleText[r].name
}

// About says in one sentence what the rule found, and Cure what to do about it. Both are plain
// English without a final full stop, "" for no rule.
func (r GuardRule) About() string {
	if r >= ruleCount {
		return ""
	}
	return ruleText[r].about
}

// Cure says what the caller or the policy's author can do about a broken rule.
func (r GuardRule) Cure() string {
	if r >= ruleCount {
		return ""
	}
	return ruleText[r].cure
}

// Waivable reports whether accept: may name the rule.
func (r GuardRule) Waivable() bool { return r >= RuleEncodedSlash && r <= RuleQueryToken }

// GuardRuleNamed finds a rule by its stable name.
func GuardRuleNamed(name string) (GuardRule, bool) {
	for r := RuleEncodedSlash; r < ruleCount; r++ {
		if ruleText[r].name == name {
			return r, true
		}
	}
	return 0, false
}

// GuardRules is a set of rules. The zero value is the empty set.
type GuardRules uint32

// Waivable holds every rule that accept: may name.
const Waivable = GuardRules(1<<(RuleQueryToken+1) - 1<<RuleEncodedSlash)

// RuleSet makes a set of rules.
func RuleSet(rules ...GuardRule) GuardRules {
	var s GuardRules
	for _, r := range rules {
		s |= 1 << r
	}
	return s
}

// Has reports whether the set holds the rule.
func (s GuardRules) Has(r GuardRule) bool { return s&(1<<r) != 0 }

// First is the rule to report when one must stand for all; no rule when the set is empty.
func (s GuardRules) First() GuardRule {
	if s == 0 {
		return 0
	}
	return GuardRule(bits.TrailingZeros32(uint32(s)))
}

// Names lists the set's rules by name, in the order of First.
func (s GuardRules) Names() []string {
	var names []string
	for r := RuleEncodedSlash; r < ruleCount; r++ {
		if s.Has(r) {
			names = append(names, r.String())
		}
	}
	return names
}

// String joins Names with commas.
func (s GuardRules) String() string { return strings.Join(s.Names(), ",") }

// GuardKind tells apart the three answers that a refused request can get, without naming a
// status: statuses are assigned in the gate's one table.
type GuardKind uint8

// The kinds of refusal.
const (
	KindBadRequest     GuardKind = iota // more than one reading, or none: 400
	KindNotImplemented                  // a method that is never served: 501
	KindVersion                         // an HTTP version that is not spoken: 505
)

// GuardError says why a request has no single reading. Reason is ReasonAmbiguousRequest for
// KindBadRequest and ReasonMalformed for the two other kinds. The text never repeats bytes of
// the request, so it may be logged and answered as it is.
type GuardError struct {
	Rule   GuardRule
	Reason Reason
	Kind   GuardKind
}

// Error names the rule and what it found.
func (e *GuardError) Error() string {
	return e.Reason.String() + ": " + e.Rule.String() + ": " + e.Rule.About()
}

// guardErrors holds one value per rule, so that a flood of refused requests allocates nothing.
var guardErrors = func() (all [ruleCount]GuardError) {
	for r := range all {
		all[r] = GuardError{Rule: GuardRule(r), Reason: ReasonAmbiguousRequest}
	}
	return all
}()

var (
	errNotImplemented = &GuardError{Rule: RuleMethod, Reason: ReasonMalformed, Kind: KindNotImplemented}
	errVersion        = &GuardError{Rule: RuleVersion, Reason: ReasonMalformed, Kind: KindVersion}
)

// broken is the error of a rule that nothing waives; nil for no rule.
func broken(r GuardRule) *GuardError {
	if r == 0 {
		return nil
	}
	return &guardErrors[r]
}
