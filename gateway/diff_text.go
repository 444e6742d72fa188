package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The words of diff: a review for somebody who knows neither policy by heart.

// Bounds on the changes of one service that are printed as text, and on those of
// one kind that one of its rules has a part in.
const (
	maxShown = 200
	maxAlike = 5
)

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
	shown, alike := 0, map[alikeness]int{}
	for i := range c.Changes {
		x := &c.Changes[i]
		if shown == maxShown || !fewOf(alike, x.Kind, x.Old.Rule) || !fewOf(alike, x.Kind, x.New.Rule) {
			continue
		}
		shown++
		c.printChange(a, x)
	}
	if more := len(c.Changes) - shown; more > 0 {
		a.printf("… and %s of %s, most of them like those of the same rules above; --format json lists all.\n\n", count(more, "more change"), c.service)
	}
}

// alikeness is what changes have in common of which a few are enough to read, as
// where one new ** takes the place of a thousand rules.
type alikeness struct {
	kind policy.ChangeKind
	rule *policy.Rule
}

// fewOf counts a change of a rule, and reports whether few were shown before.
func fewOf(alike map[alikeness]int, kind policy.ChangeKind, rule *policy.Rule) bool {
	key := alikeness{kind, rule}
	alike[key]++
	return rule == nil || alike[key] <= maxAlike
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
