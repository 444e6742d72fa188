package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The words of diff: a review for somebody who knows neither policy by heart.

// maxShown bounds the changes of one service that are printed as text.
const maxShown = 200

func (d *difference) print(a *app) {
	for _, c := range d.services {
		if len(c.Changes) > 0 {
			c.print(a, d)
		}
	}
	a.printf("%s\n", d.summary())
	if d.refused() {
		a.printf("FAILED: --forbid-new-access allows none of what widens access\n")
	}
}

func (c *compared) print(a *app, d *difference) {
	switch {
	case c.old == nil:
		a.printf("The service %s is new: %s has no policy for it.\n\n", c.service, d.old.name)
	case c.new == nil:
		a.printf("The service %s is gone: %s has no policy for it.\n\n", c.service, d.new.name)
	case len(d.services) > 1:
		a.printf("Service %s\n\n", c.service)
	}
	for i := range c.Changes {
		if i == maxShown {
			a.printf("… and %s more of %s; --format json lists all.\n\n", count(len(c.Changes)-maxShown, "change"), c.service)
			return
		}
		c.printChange(a, &c.Changes[i])
	}
}

// printChange writes one change as a paragraph: what, who, and the two rules.
func (c *compared) printChange(a *app, x *policy.Change) {
	if x.Received.Method == "" {
		a.printf("%s  the rest\n  The policies overlap in too many ways to look at all of them.\n\n", strings.ToUpper(x.Kind.String()))
		return
	}
	a.printf("%s  %s %s\n", strings.ToUpper(x.Kind.String()), strings.Join(x.Methods, ", "), template(x))
	for _, line := range wrap(story(x), 96) {
		a.printf("  %s\n", line)
	}
	rows := [][]string{{"old", c.old.where(&x.Old), verdictText(&x.Old, x.Who != nil)}, {"new", c.new.where(&x.New), verdictText(&x.New, x.Who != nil)}}
	if needs := requirements(x); needs != nil {
		rows[0] = append(rows[0], needs[0])
		rows[1] = append(rows[1], needs[1])
	}
	writeTable(a.stdout, "    ", rows)
	if try := c.try(x); try != "" {
		a.printf("    try  %s\n", try)
	}
	a.printf("\n")
}

// template is the path as the policies write it: the new one's, and the old
// one's where that is another.
func template(x *policy.Change) string {
	switch {
	case x.New.Route == nil:
		return x.Old.Route.Template()
	case x.Old.Route == nil || shape(x.Old.Route) == shape(x.New.Route):
		return x.New.Route.Template()
	}
	return x.New.Route.Template() + "  (was answered by " + x.Old.Route.Template() + ")"
}

var pathName = regexp.MustCompile(`\{[^/]*\}`)

// shape is a path without the names of its segments, which make no difference.
func shape(r *policy.Route) string { return pathName.ReplaceAllString(r.Template(), "{}") }

// story says who may do what now, or not any more.
func story(x *policy.Change) string {
	who := whoWords(x.Who)
	request := x.Received.Method + " " + printable(x.Received.Target)
	switch {
	case x.Upgrade != "":
		request += " with a switch to " + x.Upgrade
	case len(x.Received.Overrides) > 0:
		request += " with " + overrideField + ": " + x.Received.Overrides[0]
	}
	if x.Exception != 0 {
		request += " (which breaks the guard's rule " + x.Exception.String() + ")"
	}
	switch x.Kind {
	case policy.Opened:
		return fmt.Sprintf("Nobody could %s. Now %s can.", request, who)
	case policy.Loosened:
		return fmt.Sprintf("%s can %s now, and could not before.", capital(who), request)
	case policy.Tightened:
		return fmt.Sprintf("%s could %s, and cannot now. Others still can.", capital(who), request)
	case policy.Closed:
		return fmt.Sprintf("%s could %s. Now nobody can.", capital(who), request)
	}
	return "The two rules have too many alternatives to be compared exactly. Read them side by side, or split them."
}

// whoWords is the caller of a witness in words.
func whoWords(p *policy.Persona) string {
	switch {
	case p == nil:
		return ""
	case p.Anonymous:
		return "anybody without a token"
	}
	var with []string
	switch len(p.Scopes) {
	case 0:
	case 1:
		with = append(with, "only the scope "+p.Scopes[0])
	default:
		with = append(with, "only the scopes "+list(p.Scopes))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		text, _ := json.Marshal(p.Claims[name])
		with = append(with, "the claim "+name+" = "+printable(string(text)))
	}
	if p.ACR != "" {
		with = append(with, "the acr "+printable(p.ACR))
	}
	if p.AuthAgeKnown {
		with = append(with, "a login "+exactly(p.AuthAge)+" ago")
	}
	if p.Issuer != "" {
		with = append(with, "the issuer "+printable(p.Issuer))
	}
	if len(with) == 0 {
		return "a valid token without any scope"
	}
	if len(p.Scopes) == 0 {
		return "a token without scopes but with " + list(with)
	}
	return "a token with " + list(with)
}

// list joins for a sentence: "a", "a and b", "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// where is the place of a rule, or what stands in its place.
func (s *sided) where(a *policy.Answer) string {
	switch {
	case a.Rule != nil:
		return a.Rule.Position()
	case a.Route != nil:
		return place(a.Route.File(), a.Route.Line())
	case s == nil:
		return "no policy"
	}
	return s.file
}

func verdictText(a *policy.Answer, known bool) string {
	switch {
	case !known:
		return ""
	case a.Allow:
		return "allowed"
	}
	return or(a.Reason, "denied")
}

// requirements are what the two rules need, where it is worth reading.
func requirements(x *policy.Change) []string {
	text := func(r *policy.Rule) string {
		if r == nil {
			return ""
		}
		needs := printable(r.Requirement())
		if len(needs) > 160 {
			needs = needs[:160] + "…"
		}
		return "needs " + needs
	}
	if x.Old.Rule == nil && x.New.Rule == nil {
		return nil
	}
	return []string{text(x.Old.Rule), text(x.New.Rule)}
}

// summary is one line for all.
func (d *difference) summary() string {
	counts := map[policy.ChangeKind]int{}
	total := 0
	for _, c := range d.services {
		total += len(c.Changes)
		for _, x := range c.Changes {
			counts[x.Kind]++
		}
	}
	if total == 0 {
		return "No change in access: both allow the same callers the same requests."
	}
	var parts []string
	for _, kind := range []policy.ChangeKind{policy.Opened, policy.Loosened, policy.MayWiden, policy.Tightened, policy.Closed, policy.MayTighten} {
		if counts[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[kind], kind))
		}
	}
	verdict := "no new access"
	switch {
	case d.newAccess():
		verdict = "NEW ACCESS"
	case d.mayWiden():
		verdict = "NEW ACCESS CANNOT BE RULED OUT"
	}
	return verdict + ": " + strings.Join(parts, ", ")
}

// callerWords are the flags by which explain is told of a caller.
func callerWords(p *policy.Persona) []string {
	if p.Anonymous {
		return []string{"--anonymous"}
	}
	var out []string
	if len(p.Scopes) > 0 {
		out = append(out, "--scopes", strings.Join(p.Scopes, ","))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		value, ok := p.Claims[name].(string)
		if text, err := json.Marshal(p.Claims[name]); err == nil && (!ok || json.Valid([]byte(value))) {
			value = string(text) // what reads as JSON must be written as JSON to stay a text
		}
		out = append(out, "--claims", name+"="+value)
	}
	if p.Issuer != "" {
		out = append(out, "--issuer", p.Issuer)
	}
	if p.AuthAgeKnown {
		out = append(out, "--auth-age", exactly(p.AuthAge))
	}
	if p.ACR != "" {
		out = append(out, "--acr", p.ACR)
	}
	return out
}

// exactly writes a duration without the zeros that Go appends, and rounds nothing.
func exactly(d time.Duration) string {
	if d%time.Second != 0 {
		return d.String()
	}
	return shortest(d)
}

// shellWord quotes a word for a POSIX shell where it must be.
func shellWord(s string) string {
	plain := func(c rune) bool {
		return c > '~' || c < '!' || strings.ContainsRune("\"'`$&|;<>()[]{}*?!#\\~=", c)
	}
	if s != "" && !strings.ContainsFunc(s, plain) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// wrap breaks a text into lines of so many characters.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
