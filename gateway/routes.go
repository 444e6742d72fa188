package main

import (
	"fmt"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// routesCmd shows a policy as a table.
type routesCmd struct {
	output
	File string `arg:"" help:"The policy."`
}

// routeTable is what routes --format json prints.
type routeTable struct {
	Service string     `json:"service"`
	Policy  string     `json:"policy"`
	Routes  []routeRow `json:"routes"`
}

// routeRow is one rule: a method of a path.
type routeRow struct {
	Path    string   `json:"path"`
	Method  string   `json:"method"`
	Needs   string   `json:"needs"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Accept  []string `json:"accept"`
	Upgrade []string `json:"upgrade"`
}

// Run prints the table.
func (c *routesCmd) Run(a *app) error {
	p, err := a.loadPolicy(c.File)
	if err != nil {
		return err
	}
	t := routeTable{Service: p.Service(), Policy: p.Hash(), Routes: []routeRow{}}
	for _, route := range p.Routes() {
		for _, rule := range route.Rules() {
			t.Routes = append(t.Routes, rowOf(route, rule))
		}
	}
	if c.json() {
		return a.writeJSON(t)
	}
	t.print(a)
	return nil
}

func rowOf(route *policy.Route, rule *policy.Rule) routeRow {
	row := routeRow{Path: route.Template(), Method: rule.Method(), Needs: rule.Requirement(), File: rule.File(), Line: rule.Line(),
		Accept: route.Accepted().Names(), Upgrade: route.Upgrades()}
	if row.Accept == nil {
		row.Accept = []string{}
	}
	if row.Upgrade == nil {
		row.Upgrade = []string{}
	}
	return row
}

func (t *routeTable) print(a *app) {
	rows := [][]string{{"PATH", "METHOD", "NEEDS", "LINE"}}
	path := ""
	for _, r := range t.Routes {
		shown := r.Path
		if shown == path {
			shown = "" // one path, several methods
		}
		path = r.Path
		rows = append(rows, []string{shown, r.Method, r.Needs, fmt.Sprint(r.Line)})
		if shown != "" && len(r.Accept) > 0 {
			rows[len(rows)-1] = append(rows[len(rows)-1], "accepts "+strings.Join(r.Accept, ", "))
		}
		if shown != "" && len(r.Upgrade) > 0 {
			rows[len(rows)-1] = append(rows[len(rows)-1], "upgrades to "+strings.Join(r.Upgrade, ", "))
		}
	}
	writeTable(a.stdout, "", rows)
	a.printf("\nservice %s, policy %s\nEvery other path is 404, every other method of these paths 405.\n", t.Service, t.Policy)
}
