package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/scopegate/scopegate/gateway/policy"
)

// output is embedded by the commands that answer in text or JSON.
type output struct {
	Format string `enum:"text,json" default:"text" help:"How to print: ${enum}."`
}

func (o output) json() bool { return o.Format == "json" }

// printf writes data.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// errorf writes what is no data.
func (a *app) errorf(format string, args ...any) { fmt.Fprintf(a.stderr, format, args...) }

// writeJSON writes one object, indented, with paths and scopes spelled as they are.
func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// writeTable writes rows in columns, two spaces apart, without trailing spaces.
func writeTable(w io.Writer, indent string, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := indent
		for i, cell := range row {
			line += cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// writeFindings writes each finding on a line as compilers do, and its hint below.
func writeFindings(w io.Writer, findings policy.Findings) {
	for _, f := range findings {
		where := f.File
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
		}
		fmt.Fprintf(w, "%s: %s %s: %s\n", where, f.Severity, f.ID, f.Message)
		if f.Hint != "" {
			fmt.Fprintf(w, "    hint: %s\n", f.Hint)
		}
	}
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
