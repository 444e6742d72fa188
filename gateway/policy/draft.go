package policy

import (
	"fmt"
	"strings"
	"unicode"
)

// Draft is a policy that is still to be written: what a command makes of another source for a
// person to read and to edit. It promises nothing; [Load] judges what YAML writes, as any file.
type Draft struct {
	// Notes are comments at the head of the file, a line each.
	Notes   []string
	Service string
	Scopes  []Scope
	Routes  []DraftRoute
}

// DraftRoute is one path with its rules.
type DraftRoute struct {
	Template string
	Notes    []string // comments above the path
	Accept   []string // exceptions to the guard, by their names
	Rules    []DraftRule
}

// DraftRule is what one method needs.
type DraftRule struct {
	Method string
	Need   Need
	Note   string // a comment behind the rule
}

// Need is what a rule of a draft asks for: one of the three words of the language, or scopes, and
// that claims equal segments of the path.
type Need struct {
	// Word is public, authenticated or nobody; "" where Ways says it.
	Word string
	// Ways are sets of scopes, of which any one does when all of it is held.
	Ways [][]string
	// Claims are conditions beside Ways or authenticated.
	Claims []SegmentClaim
}

// SegmentClaim is the condition that a claim equals the path's segment of this name.
type SegmentClaim struct{ Claim, Segment string }

// maxNote bounds a comment, in bytes: it may come from a stranger's document.
const maxNote = 300

// YAML writes the draft as a policy file.
func (d *Draft) YAML() string {
	var b strings.Builder
	writeNotes(&b, "", d.Notes)
	fmt.Fprintf(&b, "version: 1\nservice: %s\n", yamlText(d.Service))
	if len(d.Scopes) > 0 {
		b.WriteString("\nscopes:\n")
	}
	for _, s := range d.Scopes {
		about := blockText(oneLine(s.About))
		if len(s.Implies) == 0 {
			fmt.Fprintf(&b, "  %s: %s\n", blockText(s.Name), about)
			continue
		}
		fmt.Fprintf(&b, "  %s:\n    about: %s\n    implies: %s\n", blockText(s.Name), about, yamlList(s.Implies))
	}
	b.WriteString("\nroutes:\n")
	for _, route := range d.Routes {
		writeNotes(&b, "  ", route.Notes)
		fmt.Fprintf(&b, "  %s:\n", blockText(route.Template))
		if len(route.Accept) > 0 {
			fmt.Fprintf(&b, "    accept: %s\n", yamlList(route.Accept))
		}
		for _, rule := range route.Rules {
			rule.write(&b)
		}
	}
	return b.String()
}

// write writes a rule on one line while it fits, else an alternative a line.
func (r *DraftRule) write(b *strings.Builder) {
	const width = 120
	note := ""
	if r.Note != "" {
		note = "  # " + oneLine(r.Note)
	}
	line := "    " + yamlText(r.Method) + ": " + r.Need.yaml()
	if len(line) <= width || r.Need.Word != "" || r.Need.single() {
		b.WriteString(line + note + "\n")
		return
	}
	word, parts := r.Need.list()
	fmt.Fprintf(b, "    %s:%s\n      %s:\n", yamlText(r.Method), note, word)
	for _, part := range parts {
		fmt.Fprintf(b, "        - %s\n", part)
	}
	if len(r.Need.Claims) > 0 {
		fmt.Fprintf(b, "      claims: %s\n", r.Need.claims())
	}
}

// String is the requirement as the draft writes it on one line.
func (n *Need) String() string { return n.yaml() }

// yaml writes the requirement on one line.
func (n *Need) yaml() string {
	switch {
	case len(n.Claims) > 0 && n.Word != "":
		return "{ claims: " + n.claims() + " }"
	case n.Word != "":
		return n.Word
	case n.single():
		return blockText(n.Ways[0][0])
	}
	word, parts := n.list()
	text := "{ " + word + ": [" + strings.Join(parts, ", ") + "]"
	if len(n.Claims) > 0 {
		text += ", claims: " + n.claims()
	}
	return text + " }"
}

func (n *Need) claims() string {
	var parts []string
	for _, c := range n.Claims {
		parts = append(parts, yamlText(c.Claim)+": "+yamlText("{"+c.Segment+"}"))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// list is the outermost list of the requirement.
func (n *Need) list() (word string, parts []string) {
	if len(n.Ways) == 1 {
		for _, scope := range n.Ways[0] {
			parts = append(parts, yamlText(scope))
		}
		return "all", parts
	}
	for _, way := range n.Ways {
		if len(way) == 1 {
			parts = append(parts, yamlText(way[0]))
		} else {
			parts = append(parts, "{ all: "+yamlList(way)+" }")
		}
	}
	return "any", parts
}

// single reports whether the requirement is one scope.
func (n *Need) single() bool { return len(n.Ways) == 1 && len(n.Ways[0]) == 1 && len(n.Claims) == 0 }

// blockText writes a string outside of [] and {}, where braces and most colons mean nothing.
func blockText(s string) string {
	if plain := strings.NewReplacer("{", "_", "}", "_").Replace(s); s != plain && yamlText(plain) == plain {
		return s
	}
	words := strings.Split(s, ":")
	for _, word := range words {
		if yamlText(word) != word || strings.HasPrefix(word, " ") {
			return yamlText(s)
		}
	}
	return s
}

func writeNotes(b *strings.Builder, indent string, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(b, "%s# %s\n", indent, oneLine(note))
	}
}

// oneLine keeps a text to one line that shows what it holds, so that no comment ends early and
// nothing in the file reads otherwise than it looks.
func oneLine(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == unicode.ReplacementChar || deceptive(c):
			return -1
		}
		return c
	}, s)
	return clip(strings.Join(strings.Fields(s), " "), maxNote)
}
