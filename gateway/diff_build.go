package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// writeGitHub annotates the line of the new rule, or of the old one where there
// is none any more: what widens as a warning, as an error where it is forbidden,
// what narrows as a notice.
func (d *difference) writeGitHub(w io.Writer) {
	for _, c := range d.services {
		for i := range c.Changes {
			x := &c.Changes[i]
			level := "notice"
			switch {
			case x.Kind.Widens() && d.forbidden:
				level = "error"
			case x.Kind.Widens():
				level = "warning"
			}
			file, line := c.at(x)
			annotate(w, level, file, line, 0, "access "+strings.ReplaceAll(x.Kind.String(), "_", " "), c.note(x))
		}
	}
	fmt.Fprintln(w, d.summary())
}

// at is where a reviewer sees the change: a line of the new file where one
// answers, else of the old one.
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
