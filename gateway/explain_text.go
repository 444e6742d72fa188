package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/scopegate/scopegate/gateway/policy"
)

// show prints the explanation. What a terminal would act on is escaped: a token, a request and a
// record may be an attacker's.
func (x *explained) show(a *app) {
	var text strings.Builder
	x.print(&app{stdout: &text})
	for _, r := range text.String() {
		if unicode.IsPrint(r) || r == '\n' {
			a.printf("%c", r)
		} else {
			a.printf("\\u%04x", r)
		}
	}
}

func (x *explained) print(a *app) {
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
	if x.Caller != nil && x.Caller.Token != nil && x.note == "" {
		x.note = x.Caller.Token.Note
	}
	if x.note != "" {
		a.printf("\nNote: %s.\n", x.note)
	}
	if x.Now != nil {
		a.printf("\n%s\n\n", x.Now.title)
		x.Now.print(a)
	}
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
		at := ""
		if u.Line > 0 {
			at = "  at " + place(x.Route.File, u.Line)
		}
		rows = append(rows, []string{"not met", u.Condition + at + "; the token has " + u.Has})
	}
	if x.Policy != "" {
		rows = append(rows, []string{"policy", x.Policy})
	}
	return append(rows, x.seen...)
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
// names are the claims that the policy reads.
func has(names []string, c *policy.Caller, condition string) string {
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
	for _, name := range names {
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
