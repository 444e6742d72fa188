package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// What build servers show beside the line of a changed rule.

// writeFor writes for a build server, with a summary where it goes into a log.
func (d *difference) writeFor(a *app, format string) error {
	var files []string
	notices := []notice{}
	for _, c := range d.services {
		for i := range c.Changes {
			n := c.notice(&c.Changes[i], d.forbidden)
			notices = append(notices, n)
			if !slices.Contains(files, n.file) {
				files = append(files, n.file)
			}
		}
	}
	if err := a.writeNotices(format, "diff", files, changeKinds(), notices); err != nil || format != "github" {
		return err
	}
	a.printf("%s\n", d.summary())
	return nil
}

// changeKinds is the table of the kinds, by their names.
func changeKinds() (out []policy.Kind) {
	for kind := policy.Opened; kind <= policy.MayTighten; kind++ {
		out = append(out, policy.Kind{ID: kind.String(), Doc: kind.About()})
	}
	return out
}

// notice stands at the line of the new rule, or of the old one where there is
// none any more. What widens is a warning, and an error where it is forbidden.
func (c *compared) notice(x *policy.Change, forbidden bool) notice {
	n := notice{id: x.Kind.String(), level: "note", title: "access " + strings.ReplaceAll(x.Kind.String(), "_", " "), text: c.note(x)}
	switch {
	case x.Kind.Widens() && forbidden:
		n.level = "error"
	case x.Kind.Widens():
		n.level = "warning"
	}
	n.file, n.line = c.at(x)
	return n
}

// at is where a reviewer sees the change.
func (c *compared) at(x *policy.Change) (file string, line int) {
	for _, s := range []struct {
		of *sided
		a  *policy.Answer
	}{{c.new, &x.New}, {c.old, &x.Old}} {
		switch {
		case s.of == nil || s.a.Route == nil:
		case s.a.Rule != nil:
			return s.of.inRepo, s.a.Rule.Line()
		default:
			return s.of.inRepo, s.a.Route.Line()
		}
	}
	if c.new != nil {
		return c.new.inRepo, 0
	}
	return c.old.inRepo, 0
}

// note is the text beside a line.
func (c *compared) note(x *policy.Change) string {
	if x.Received.Method == "" {
		return "The policies overlap in too many ways to look at all of them."
	}
	text := fmt.Sprintf("%s %s: %s", strings.Join(x.Methods, ", "), template(x), story(x))
	if x.Old.Rule != nil {
		text += "\nBefore: " + printable(x.Old.Rule.Requirement()) + " (" + c.old.where(&x.Old) + ")"
	}
	if x.New.Rule != nil {
		text += "\nNow: " + printable(x.New.Rule.Requirement())
	}
	return text
}
