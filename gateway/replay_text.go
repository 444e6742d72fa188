package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/replay"
)

// print writes the report: what would change, what cannot be told, and the sums.
func (r *replayed) print(a *app) {
	for _, part := range []struct {
		kind, title string
	}{
		{replay.DenyToAllow, "NEW ACCESS  denied then, allowed now"},
		{replay.AllowToDeny, "LOST ACCESS  allowed then, denied now"},
		{replay.Reason, "OTHER REASON  the same answer for another reason"},
	} {
		var changes []replay.Change
		for _, c := range r.Changes {
			if c.Kind == part.kind {
				changes = append(changes, c)
			}
		}
		r.printChanges(a, part.title, changes)
	}
	r.printOpen(a)
	if !r.Complete {
		a.printf("There are more changes than can be listed; the sums below count them all.\n\n")
	}
	r.printSums(a)
}

// shownGroups bounds what is shown of one kind; JSON has them all.
const shownGroups = 50

func (r *replayed) printChanges(a *app, title string, changes []replay.Change) {
	if len(changes) == 0 {
		return
	}
	a.printf("%s\n", title)
	for i := range changes[:min(len(changes), shownGroups)] {
		c := &changes[i]
		a.printf("  %s %s%s: %s, now %s\n", printable(c.Method), r.routeOf(c.Route, c.Recorded), r.ofService(c.Service), printable(c.From), printable(c.To))
		printWeight(a, c.Weight, c.Samples)
	}
	if more := len(changes) - shownGroups; more > 0 {
		a.printf("  and %s more; --format json lists them all\n", count(more, "change"))
	}
	a.printf("\n")
}

// whys say in words why a request cannot be judged.
var whys = map[string]string{
	replay.WhyCaller:   "a token is asked for now, and then none was looked at",
	replay.WhyClaim:    "the rule reads a claim that the log does not have",
	replay.WhyCut:      "a value was too long for the log",
	replay.WhyOverride: "the log does not have the method that is accepted now",
	replay.WhyRounded:  "the age of the login is too close to the limit",
	replay.WhyRequest:  "the line has no request in canonical form",
	replay.WhyReason:   "the reason in the log is not known here",
}

func (r *replayed) printOpen(a *app) {
	if len(r.Open) == 0 {
		return
	}
	a.printf("CANNOT BE TOLD  the log has too little\n")
	for i := range r.Open[:min(len(r.Open), shownGroups)] {
		o := &r.Open[i]
		a.printf("  %s %s%s: %s, now ? (%s)\n", printable(o.Method), r.routeOf(o.Route, o.Recorded), r.ofService(o.Service), printable(o.From), whys[o.Why])
		printWeight(a, o.Weight, o.Samples)
	}
	if more := len(r.Open) - shownGroups; more > 0 {
		a.printf("  and %s more; --format json lists them all\n", count(more, "group"))
	}
	a.printf("\n")
}

// routeOf names the route of the candidate, or where it has none that of the log.
func (r *replayed) routeOf(route, recorded string) string {
	switch {
	case route != "":
		return printable(route)
	case recorded == "unmatched":
		return "(no route)"
	}
	return printable(recorded)
}

// ofService names the service where there are several.
func (r *replayed) ofService(service string) string {
	if len(r.Candidates) < 2 {
		return ""
	}
	return " of " + printable(service)
}

func printWeight(a *app, w replay.Weight, samples []replay.Sample) {
	a.printf("      %s\n", weightText(w))
	var rows [][]string
	for _, s := range samples {
		scopes := "no scopes"
		if len(s.Scopes) > 0 {
			scopes = printable(strings.Join(s.Scopes, " "))
		}
		rows = append(rows, []string{fmt.Sprintf("%s:%d", s.File, s.Line), printable(s.RequestID), printable(s.Method + " " + s.Path), scopes})
	}
	writeTable(a.stdout, "      ", rows)
}

// weightText writes lines, and the requests that they stand for where those are more.
func weightText(w replay.Weight) string {
	text := count(int(w.Lines), "line")
	if w.Requests != w.Lines {
		text += " for " + count(int(w.Requests), "request")
	}
	return text
}

func (r *replayed) printSums(a *app) {
	rows := [][]string{{"judged", weightText(r.Judged)}, {"unchanged", weightText(r.Unchanged)}}
	for _, sum := range []struct {
		name string
		w    replay.Weight
	}{{"new access", r.NewAccess}, {"lost access", r.Lost}, {"other reason", r.Reasons}, {"cannot be told", r.Undecided}} {
		if sum.w.Lines > 0 {
			rows = append(rows, []string{sum.name, weightText(sum.w)})
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Beyond)) {
		rows = append(rows, []string{"not the policy's", weightText(r.Beyond[reason]) + ", " + reason})
	}
	others := int64(0)
	for _, n := range r.Services {
		others += n
	}
	for _, skipped := range []struct {
		what string
		n    int64
	}{{"of no service, or of another one", others}, {"other messages", r.Skipped.Messages}, {"unreadable", r.Skipped.Unreadable}, {"cut at the end of the log", r.Skipped.Truncated}} {
		if skipped.n > 0 {
			rows = append(rows, []string{"left out", count(int(skipped.n), "line") + ", " + skipped.what})
		}
	}
	for _, c := range r.Candidates {
		rows = append(rows, []string{"policy", c.File + " of " + printable(c.Service) + ", " + c.Hash})
	}
	writeTable(a.stdout, "", rows)
	switch {
	case r.Failed && r.command.Audit:
		a.printf("FAILED: not every line was decided as this policy decides\n")
	case r.Failed:
		a.printf("FAILED: the candidate changes, or may change, what %s forbids\n", r.command.forbids())
	}
}

// forbids names the flags that were given.
func (c *replayCmd) forbids() string {
	var flags []string
	if c.ForbidNewAccess {
		flags = append(flags, "--forbid-new-access")
	}
	if c.ForbidLostAccess {
		flags = append(flags, "--forbid-lost-access")
	}
	return strings.Join(flags, " and ")
}
