package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
	"github.com/scopegate/scopegate/gateway/probe"
)

// print writes the bypasses one by one, then what the service folds by family, then what could
// not be told.
func (c *probeCmd) print(a *app, r *probe.Report) {
	for i := range r.Routes {
		for j := range r.Routes[i].Folds {
			if f := &r.Routes[i].Folds[j]; f.Open() {
				a.printf("%s\n", bypass(&r.Routes[i], f))
			}
		}
	}
	families := r.Families()
	if len(families) > 0 {
		a.printf("The service takes these for one path:\n\n")
		writeTable(a.stdout, "  ", familyRows(r, families))
		a.printf("\n")
	}
	told := printUntold(a, r)
	a.printf("%s at %s, %s: ", count(told, "path"), c.URL, count(r.Requests, "request"))
	switch open := r.Open(); {
	case open > 0:
		a.printf("%s by which MORE IS OPEN than the policy means\n", count(open, "spelling"))
	case told < len(r.Routes):
		a.printf("no bypass found; %s not probed\n", count(len(r.Routes)-told, "path"))
	default:
		a.printf("no bypass found\n")
	}
}

// bypass words one way around the policy and how to close it.
func bypass(route *probe.Probed, f *probe.Fold) string {
	var b strings.Builder
	fmt.Fprintf(&b, "OPEN  %s is read as %s by the service (%s)\n", f.Target, route.Path, f.Family)
	meant := []string{"meant", place(route.Route.File(), route.Route.Line()), f.Weaker.Method() + " " + route.Route.Template() + " is not listed"}
	if f.Strict != nil {
		meant = ruleRow("meant", f.Strict)
	}
	rows := [][]string{meant, ruleRow("granted", f.Weaker)}
	writeTable(&b, "      ", rows)
	fmt.Fprintf(&b, "      cure: %s\n", cure(f))
	return b.String()
}

func ruleRow(word string, r *policy.Rule) []string {
	return []string{word, place(r.File(), r.Line()), r.Method() + " " + r.Route().Template() + " asks for " + r.Requirement()}
}

// cure says what closes a bypass. Most families have more spellings than a policy can list.
func cure(f *probe.Fold) string {
	switch f.Family {
	case probe.FormMethod:
		return "switch method overrides off in the service; the gateway does not read bodies"
	case probe.TrailingSlash:
		return "give " + f.Target + " rules of its own, such as `ANY: nobody`"
	}
	return fmt.Sprintf("ask for as much in line %d too, or have the service tell such spellings apart", f.Weaker.Line())
}

func familyRows(r *probe.Report, families []probe.Family) [][]string {
	rows := [][]string{{"family", "what it does", "for example", "the gateway"}}
	folds := r.ByFamily()
	for _, family := range families {
		one := folds[family]
		var does []string
		for _, f := range one {
			if d := doesWith(f); !slices.Contains(does, d) {
				does = append(does, d)
			}
		}
		about := family.About()
		if !slices.ContainsFunc(one, func(f probe.Fold) bool { return f.Reading == probe.Same }) {
			about += " (by a redirect)"
		}
		rows = append(rows, []string{string(family), about, one[0].Target, strings.Join(does, "; ")})
	}
	return rows
}

// printUntold lists the paths of which nothing is known, and counts the others.
func printUntold(a *app, r *probe.Report) (told int) {
	var rows [][]string
	for _, route := range r.Routes {
		if route.Untold == "" {
			told++
		} else {
			rows = append(rows, []string{route.Route.Template(), route.Untold})
		}
	}
	if len(rows) > 0 {
		a.printf("Not probed, so nothing is said about them:\n\n")
		writeTable(a.stdout, "  ", rows)
		a.printf("\nGive what the service needs to tell its paths apart: --set NAME=VALUE for a {NAME}, --header for an identity.\n\n")
	}
	return told
}
