package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The words of explain. They must do for somebody who has never seen the tool and who holds
// nothing but this output: what was decided, by which line, what was missing, what to change.

// words fills in why the request was decided so, and what would change the answer. They are made
// of what x says, so that they are the same for a request that is asked about and for one that a
// gateway recorded.
func (x *explained) words() {
	if write := wordsFor[x.Reason]; write != nil {
		write(x)
		return
	}
	switch {
	case tokenCures[x.Reason] != "":
		x.refusedToken()
	default:
		x.Why = "The gateway answered " + x.Reason + or(": "+x.cause, "") + ". No policy had a say in it."
	}
}

var wordsFor = map[string]func(*explained){
	"allowed": func(x *explained) { x.Why = "The caller has everything that the rule needs." },
	"public": func(x *explained) {
		x.Why = "The rule is public: no token is asked for, and one that is sent is not looked at."
	},
	"ambiguous_request":  (*explained).twoReadings,
	"malformed":          (*explained).twoReadings,
	"no_route":           (*explained).noRoute,
	"method_not_allowed": (*explained).noMethod,
	"forbidden": func(x *explained) {
		x.Why = "The rule is nobody: no caller is let in, whatever the token."
		x.fix("Change %s if somebody is to be let in", x.line())
	},
	"token_missing":      (*explained).noToken,
	"insufficient_scope": (*explained).noScope,
	"claim_mismatch":     (*explained).otherCaller,
	"step_up_required":   (*explained).stepUp,
}

// tokenCures say what to do about a token that is not accepted.
var tokenCures = map[string]string{
	"token_malformed":     "Send the access token whole and as it was issued: three parts in base64url, separated by dots",
	"token_expired":       "Log in again and send the new token",
	"token_not_yet_valid": "Compare the clocks of the issuer and of the gateway",
	"token_signature":     "Check that the keys are those of the token's issuer, and that the token is whole",
	"token_issuer":        "Get a token of an issuer that the service takes, or add this one to gateway.yaml, spelled exactly as in iss",
	"token_audience":      "Get a token that was issued for this service, or set audience: in gateway.yaml to what aud says",
	"token_unknown_key":   "Check that the keys are those of the token's issuer: the token's kid is not among them",
	"token_type":          "Send an access token; this looks like another kind, such as an ID or a refresh token",
	"token_algorithm":     "Have the issuer sign with an algorithm that algorithms: in gateway.yaml lists and that fits its key",
	"token_bound":         "Get a token without cnf: the gateway cannot check to whom a token is bound",
	"token_ambiguous":     "Send one credential: one Authorization field, and no access_token in the query",
	"keys_unavailable":    "Check that the issuer's jwks_uri can be reached from here, or give its keys by --jwks",
}

func (x *explained) refusedToken() {
	x.Why = "The rule needs a valid token, and this one is not accepted"
	if x.Reason == "keys_unavailable" {
		x.Why = "The rule needs a valid token, and the keys to verify this one cannot be had"
	}
	if x.cause != "" {
		x.Why += ": " + strings.TrimPrefix(x.cause, x.Reason+": ")
	}
	x.Why += "."
	x.fix("%s", tokenCures[x.Reason])
}

func (x *explained) twoReadings() {
	rule, _ := policy.GuardRuleNamed(x.Guard)
	switch {
	case rule == 0:
		x.Why = "The request is not well formed" + or(": "+x.cause, "") + "."
		return
	case x.Route == nil && x.accepted == "":
		x.Why = "The gateway refuses the request before it looks at any route: " + rule.About() + "."
	default:
		x.Why = "The request has more than one reading: " + rule.About() + "."
	}
	switch upper := strings.ToUpper(x.Request.Method); {
	case rule == policy.RuleMethod && x.Status == 501:
		x.fix("Use another method: %s is never served", x.Request.Method)
	case rule == policy.RuleMethod && policy.ValidMethod(upper):
		x.fix("Write the method in upper case: %s", upper)
	default:
		x.fix("%s", capital(rule.Cure()))
	}
	if plain := plainTarget(x.Request.Target); plain != "" && slices.Contains(respelt, rule) {
		x.fix("If this is what is meant, ask for %s %s", x.Request.Method, plain)
	}
	if x.accepted != "" {
		x.fix("The route in question is %s", x.accepted)
	}
}

func (x *explained) noRoute() {
	x.Why = "No path of the policy matches " + printable(x.Request.Path) + ", and what no path matches is denied."
	for _, near := range x.Near {
		x.fix("Ask for %s, which the policy has at %s (a trailing slash counts, and so does case)", near.Path, place(near.File, near.Line))
	}
	if x.file == "" {
		x.fix("Add the path to the service's policy, if it ought to be there")
		return
	}
	x.fix("Add the path to %s; `gateway routes %s` lists those that are there", x.file, x.file)
}

func (x *explained) noMethod() {
	path := x.Request.Path
	if x.Route != nil {
		path = x.Route.Path
	}
	x.Why = fmt.Sprintf("The path %s answers this request, and does not list %s.", path, x.Request.Method)
	if x.Allow != "" {
		x.Why += " It lists: " + x.Allow + "."
	}
	x.fix("Use a method that is listed, or add %s below %s", x.Request.Method, x.line())
}

func (x *explained) noToken() {
	x.Why = "The rule needs a token, and the request has none."
	switch {
	case len(x.Missing) > 0:
	case x.Needs == "" || x.Needs == "authenticated":
		x.fix("Send a valid token: Authorization: Bearer …")
		return
	default:
		x.fix("Send a token that has what the rule needs: Authorization: Bearer …")
		return
	}
	x.fix("Send a token with %s: Authorization: Bearer …", scopeList(x.Missing))
	x.fix("Get it from the issuer by asking for scope=%q", strings.Join(x.Missing, " "))
}

func (x *explained) noScope() {
	x.Why = "The token's scopes do not satisfy the rule."
	if len(x.Missing) > 0 {
		x.fix("Get a token that has %s too: ask its issuer for scope=%q", scopeList(x.Missing), strings.Join(union(x.held(), x.Missing), " "))
		x.fix("If the issuer does not grant it, have the caller given %s there first", scopeList(x.Missing))
	}
	if x.file != "" {
		x.fix("Other scopes may do as well: gateway who %s \"%s %s\"", x.file, x.Request.Method, x.Request.Path)
	}
	if x.Caller != nil {
		for _, s := range x.Caller.Unknown {
			x.fix("Check the spelling of %s: the policy declares no such scope, so it counts for nothing", s)
		}
	}
	if len(x.Unmet) > 0 {
		x.fix("Then mind the conditions that are not met either")
	}
}

// held are the caller's scopes that the policy knows, as they were presented.
func (x *explained) held() []string {
	if x.Caller == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(x.Caller.Scopes), func(s string) bool { return slices.Contains(x.Caller.Unknown, s) })
}

// union lists a, then what only b has.
func union(a, b []string) []string {
	return append(slices.Clone(a), slices.DeleteFunc(slices.Clone(b), func(s string) bool { return slices.Contains(a, s) })...)
}

// otherCaller is for conditions that this caller's tokens do not meet.
func (x *explained) otherCaller() {
	x.Why = "The token's scopes would do, but its issuer or a claim is not what the rule asks for."
	later := false
	for _, u := range x.Unmet {
		switch kind, rest, _ := strings.Cut(u.Condition, " "); kind {
		case "issuer":
			x.fix("Use a token of the issuer %s; this one is of %s", rest, u.Has)
		case "claim":
			x.fix("Use a token with the claim %s; this one has %s", rest, u.Has)
			if strings.Contains(rest, "= {") {
				x.fix("Or ask for a path that belongs to this caller: the rule compares a part of it with the claim")
			}
		default:
			later = true
		}
	}
	if len(x.Fix) == 0 {
		x.fix("Use a token that meets the rule's conditions")
	}
	if later {
		x.fix("Then mind the other conditions that are not met: they are about the login")
	}
}

// respelt are the guard's rules that another spelling of the path keeps.
var respelt = []policy.GuardRule{policy.RuleDotSegment, policy.RuleEmptySegment, policy.RuleEncodedSlash, policy.RuleEncodedBackslash, policy.RuleSemicolon, policy.RuleNoLeadingSlash}

// plainTarget is what a target with more than one reading is most often meant to be: dot segments
// resolved, slashes plain and single, parameters dropped. It is "" where that has no one reading either.
func plainTarget(target string) string {
	rest, query, hasQuery := strings.Cut(target, "?")
	rest = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/", `\`, "/", "%2e", ".", "%2E", ".").Replace(rest)
	var segments []string
	for _, s := range strings.Split(rest, "/") {
		s, _, _ = strings.Cut(s, ";")
		segments = append(segments, s)
	}
	plain := path.Clean("/" + strings.Join(segments, "/"))
	if last := segments[len(segments)-1]; plain != "/" && (last == "" || last == "." || last == "..") {
		plain += "/"
	}
	if hasQuery {
		plain += "?" + query
	}
	req, err := policy.NewRequest(&policy.Received{Method: "GET", Target: plain, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if err != nil || req.Broken != 0 || plain == target {
		return ""
	}
	return plain
}

func (x *explained) stepUp() {
	x.Why = "The login behind the token is too old or too weak for the rule."
	if x.MaxAge > 0 {
		x.fix("Log in again and use the new token within %s (its auth_time counts; a token without one never does)", shortest(time.Duration(x.MaxAge)*time.Second))
	}
	if len(x.ACRValues) > 0 {
		x.fix("Log in with an authentication context of %s (the claim acr)", strings.Join(x.ACRValues, " or "))
	}
	var ask []string // RFC 9470 section 4
	if x.MaxAge > 0 {
		ask = append(ask, fmt.Sprintf("max_age=%d", x.MaxAge))
	}
	if len(x.ACRValues) > 0 {
		ask = append(ask, fmt.Sprintf("acr_values=%q", strings.Join(x.ACRValues, " ")))
	}
	if len(ask) > 0 {
		x.fix("An application asks the issuer for it by %s", strings.Join(ask, " and "))
	}
}

// line is the place to change.
func (x *explained) line() string {
	if x.Route == nil || x.Route.File == "" {
		return "the rule"
	}
	return fmt.Sprintf("line %d of %s", x.Route.Line, x.Route.File)
}

func (x *explained) fix(format string, args ...any) {
	x.Fix = append(x.Fix, fmt.Sprintf(format, args...))
}
