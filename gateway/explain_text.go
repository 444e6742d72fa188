package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The words of explain. They must do for somebody who has never seen the tool and who holds
// nothing but this output: what was decided, by which line, what was missing, what to change.

// refuseReading is the answer to a request that has no single reading.
func (x *explained) refuseReading(g *policy.GuardError) {
	x.Decision, x.Reason, x.Guard = "deny", g.Reason.String(), g.Rule.String()
	x.Status = map[policy.GuardKind]int{policy.KindBadRequest: 400, policy.KindNotImplemented: 501, policy.KindVersion: 505}[g.Kind]
	x.Why = "The gateway refuses the request before it looks at any route: " + g.Rule.About() + "."
	x.fix("%s", capital(g.Rule.Cure()))
	if g.Rule.Waivable() {
		x.Why += " At this place no route can accept that."
	}
}

// refuseToken is the answer to a token that --jwks did not bear out.
func (x *explained) refuseToken(t *tokenRefused) {
	x.Decision, x.Status, x.Reason = "deny", 401, t.reason
	if t.reason == "keys_unavailable" {
		x.Status = 503
	}
	x.Why = "The rule needs a valid token, and this one is not accepted: " + t.detail + "."
	x.fix("%s", or(tokenCures[t.reason], "Send an access token of this issuer, as it was issued"))
}

// tokenCures say what to do about a token that is not accepted.
var tokenCures = map[string]string{
	"token_expired":       "Log in again and send the new token",
	"token_not_yet_valid": "Compare the clocks of the issuer and of this machine",
	"token_signature":     "Check that the keys given are those of the token's issuer, and that the token is whole",
	"token_unknown_key":   "Check that the keys given are those of the token's issuer: the token's kid is not among them",
	"token_type":          "Send an access token; this looks like another kind, such as an ID or a refresh token",
	"token_algorithm":     "Have the issuer sign with an asymmetric algorithm that fits its key",
}

// explain fills in why the policy decided so, and what would change its answer.
func (x *explained) explain(p *policy.Policy, req *policy.Request, e *policy.Explanation) {
	d := &e.Decision
	switch d.Reason {
	case policy.ReasonAllowed:
		x.Why = "The caller has everything that the rule needs."
	case policy.ReasonPublic:
		x.Why = "The rule is public: no token is asked for, and one that is sent is not looked at."
	case policy.ReasonAmbiguousRequest:
		x.Why = "The request has more than one reading: " + d.Match.Guard.About() + "."
		x.fix("%s", capital(d.Match.Guard.Cure()))
		plain := *req
		plain.Broken = 0 // which route would have answered, had it accepted everything
		if route := p.Match(&plain).Route; route != nil && d.Match.Guard.Waivable() {
			x.fix("The route in question is %s at %s", route.Template(), place(route.File(), route.Line()))
		}
	case policy.ReasonNoRoute:
		x.Why = "No path of the policy matches " + req.Path + ", and what no path matches is denied."
		if near := p.Hint(req); near != "" {
			x.fix("Ask for %s, which the policy has (a trailing slash counts, and so does case)", near)
		}
		x.fix("Add the path to %s; `gateway routes %s` lists those that are there", p.File(), p.File())
	case policy.ReasonMethodNotAllowed:
		x.Allow = d.Match.Route.Allow()
		x.Why = fmt.Sprintf("The path %s answers this request, and does not list %s. It lists: %s.", x.Route.Path, x.Request.Method, or(x.Allow, "nothing"))
		x.fix("Use a method that is listed, or add %s below line %d of %s", x.Request.Method, x.Route.Line, x.Route.File)
	case policy.ReasonForbidden:
		x.Why = "The rule is nobody: no caller is let in, whatever the token."
		x.fix("Change line %d of %s if somebody is to be let in", x.Route.Line, x.Route.File)
	default:
		x.explainCaller(d)
	}
}

// explainCaller is for refusals that another caller would not meet.
func (x *explained) explainCaller(d *policy.Decision) {
	switch d.Reason {
	case policy.ReasonTokenMissing:
		x.Why = "The rule needs a token, and the request has none."
		if len(x.Missing) == 0 {
			x.fix("Send a valid token: Authorization: Bearer …")
		} else {
			x.fix("Send a token with %s: Authorization: Bearer …", scopeList(x.Missing))
		}
	case policy.ReasonInsufficientScope:
		x.Why = "The token's scopes do not satisfy the rule."
		x.fix("Give the caller %s, and let it get a new token", scopeList(x.Missing))
		for _, s := range x.Caller.Unknown {
			x.fix("Check the spelling of %s: the policy declares no such scope, so it counts for nothing", s)
		}
		if len(x.Unmet) > 0 {
			x.fix("Then mind the conditions that are not met either")
		}
	case policy.ReasonClaimMismatch:
		x.Why = "The token's scopes would do, but its issuer or a claim is not what the rule asks for."
		x.fix("Use a token that meets the condition, or check the request's path where the condition names a part of it")
	case policy.ReasonStepUpRequired:
		x.Why = "The login behind the token is too old or too weak for the rule."
		maxAge, acr := d.StepUp()
		if maxAge > 0 {
			x.fix("Log in again and use the new token within %s (its auth_time counts; a token without one never does)", shortest(maxAge))
		}
		if len(acr) > 0 {
			x.fix("Log in with an authentication context of %s (the claim acr)", strings.Join(acr, " or "))
		}
	}
}

func (x *explained) fix(format string, args ...any) {
	x.Fix = append(x.Fix, fmt.Sprintf(format, args...))
}

// show prints the explanation.
func (x *explained) show(a *app, asJSON bool) error {
	if asJSON {
		return a.writeJSON(x)
	}
	verdict := "DENIED"
	if x.Decision == "allow" {
		verdict = "ALLOWED"
	}
	if x.Decision == "allow" {
		a.printf("%s  %s\n", verdict, x.Reason)
	} else {
		a.printf("%s  %d %s\n", verdict, x.Status, x.Reason)
	}
	a.printf("%s\n\n", x.Why)
	writeTable(a.stdout, "  ", x.facts())
	if len(x.Others) > 0 {
		a.printf("\nThese paths match too, and lost:\n")
		var rows [][]string
		for _, o := range x.Others {
			rows = append(rows, []string{o.Path, place(o.File, o.Line), o.Why})
		}
		writeTable(a.stdout, "  ", rows)
	}
	if len(x.Fix) > 0 {
		a.printf("\nWhat would help:\n")
		for _, f := range x.Fix {
			a.printf("  - %s.\n", f)
		}
	}
	if x.Caller != nil && x.Caller.Token != nil {
		a.printf("\nNote: %s.\n", x.Caller.Token.Note)
	}
	return nil
}

// facts are the rows between the verdict and the advice.
func (x *explained) facts() [][]string {
	rows := [][]string{{"request", printable(x.Request.Method + " " + or(x.Request.Path, x.Request.Target))}}
	if x.Guard != "" {
		rows = append(rows, []string{"guard rule", x.Guard})
	}
	if x.Route != nil {
		at := x.Route.Path + "  at " + place(x.Route.File, x.Route.Line)
		if x.Route.Method == nil {
			rows = append(rows, []string{"path", at})
		} else {
			rows = append(rows, []string{"rule", *x.Route.Method + " " + at})
		}
	}
	if x.Needs != "" {
		rows = append(rows, []string{"needs", x.Needs})
	}
	if x.Caller != nil {
		rows = append(rows, x.Caller.facts()...)
	}
	if len(x.Missing) > 0 {
		rows = append(rows, []string{"missing", strings.Join(x.Missing, ", ")})
	}
	for _, u := range x.Unmet {
		rows = append(rows, []string{"not met", u.Condition + "  at " + place(x.Route.File, u.Line) + "; the token has " + u.Has})
	}
	return append(rows, []string{"policy", x.Policy})
}

func (c *callerReport) facts() [][]string {
	if c.Anonymous {
		return [][]string{{"caller", "no token"}}
	}
	rows := [][]string{{"caller", "a token with " + or(scopeList(c.Scopes), "no scopes")}}
	if len(c.Held) > 0 && strings.Join(c.Held, " ") != strings.Join(c.Scopes, " ") {
		rows = append(rows, []string{"", "which counts as " + strings.Join(c.Held, ", ")})
	}
	if len(c.Unknown) > 0 {
		rows = append(rows, []string{"", "of which the policy does not know " + strings.Join(c.Unknown, ", ")})
	}
	if c.Issuer != "" {
		rows = append(rows, []string{"", "issued by " + c.Issuer})
	}
	if c.AuthAge != "" {
		rows = append(rows, []string{"", "after a login " + c.AuthAge + " ago"})
	}
	if c.ACR != "" {
		rows = append(rows, []string{"", "of the class " + c.ACR})
	}
	return rows
}

// scopeList names scopes in a sentence; "" for none.
func scopeList(scopes []string) string {
	switch len(scopes) {
	case 0:
		return ""
	case 1:
		return "the scope " + scopes[0]
	}
	return "the scopes " + strings.Join(scopes, ", ")
}

func place(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }

// has says what a caller has where a condition of the policy asks for something else.
func has(p *policy.Policy, c *policy.Caller, condition string) string {
	kind, rest, _ := strings.Cut(condition, " ")
	switch {
	case kind == "issuer":
		return or(c.Issuer, "none")
	case kind == "acr":
		return or(c.ACR, "none")
	case kind == "max_age" && c.AuthAgeKnown:
		return "a login " + shortest(c.AuthAge) + " ago"
	case kind == "max_age":
		return "no auth_time"
	}
	for _, name := range p.ClaimNames() {
		if !strings.HasPrefix(rest, name+" ") {
			continue
		}
		if value := policy.Claim(c.Claims, name); value != nil {
			text, err := json.Marshal(value)
			return or(string(text), fmt.Sprint(err))
		}
	}
	return "no such claim"
}

// shortest writes a duration without the zeros that Go appends: 15m, not 15m0s.
func shortest(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// printable escapes what a terminal would act on: the request may be an attacker's.
func printable(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\\`, `\`), `\"`, `"`)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
