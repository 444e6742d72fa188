package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completeCmd prints a script by which a shell completes command lines. The script knows all
// commands, flags and their values, and runs nothing; everything else is taken for a file.
type completeCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: ${enum}."`
}

// Run prints the script.
func (c *completeCmd) Run(a *app) error {
	parser, err := a.parser()
	if err != nil {
		return err
	}
	all := verbs(parser.Model.Node, "")
	if c.Shell == "fish" {
		writeFish(a.stdout, all)
		return nil
	}
	if c.Shell == "zsh" {
		a.printf("autoload -U +X bashcompinit && bashcompinit\n")
	}
	writeBash(a.stdout, all)
	return nil
}

// verb is a command, or the program itself, as a shell has to know it.
type verb struct {
	path   string // `openapi import`; empty for the program
	help   string
	below  []string // commands
	flags  []*kong.Flag
	values []string // of arguments that are one of a few words
}

// verbs lists a command and all below it.
func verbs(n *kong.Node, path string) []verb {
	v := verb{path: path, help: n.Help, flags: n.Flags}
	for _, arg := range n.Positional {
		v.values = append(v.values, enumOf(arg)...)
	}
	var deeper []verb
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			v.below = append(v.below, child.Name)
			deeper = append(deeper, verbs(child, strings.TrimSpace(path+" "+child.Name))...)
		}
	}
	return append([]verb{v}, deeper...)
}

// enumOf are the values that a flag or an argument may have, if they are few.
func enumOf(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

// words are what may come next on the command line, flags among them.
func (v *verb) words() string {
	words := append(v.below, v.values...)
	for _, f := range v.flags {
		words = append(words, "--"+f.Name)
	}
	return strings.Join(words, " ")
}

func writeBash(w io.Writer, all []verb) {
	fmt.Fprint(w, `_gateway() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= word words=
  [ "$prev" != = ] || prev=${COMP_WORDS[COMP_CWORD-2]}
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at $word" in
`)
	for _, v := range all {
		for _, name := range v.below {
			fmt.Fprintf(w, "      %s) at=%s ;;\n", quoted(v.path+" "+name), quoted(strings.TrimSpace(v.path+" "+name)))
		}
	}
	fmt.Fprint(w, "    esac\n  done\n  case \"$at $prev\" in\n")
	for _, v := range all {
		for _, f := range v.flags {
			if values := enumOf(f.Value); values != nil {
				fmt.Fprintf(w, "    %s) words=%s ;;\n", quoted(v.path+" --"+f.Name), quoted(strings.Join(values, " ")))
			}
		}
	}
	fmt.Fprint(w, "  esac\n  [ -n \"$words\" ] || case \"$at\" in\n")
	for _, v := range all {
		fmt.Fprintf(w, "    %s) words=%s ;;\n", quoted(v.path), quoted(v.words()))
	}
	fmt.Fprint(w, `  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _gateway gateway
`)
}

func writeFish(w io.Writer, all []verb) {
	for _, v := range all {
		here := "__fish_use_subcommand"
		if v.path != "" {
			here = "__fish_seen_subcommand_from " + v.path[strings.LastIndexByte(v.path, ' ')+1:]
		}
		for _, name := range v.below {
			fmt.Fprintf(w, "complete -c gateway -f -n %s -a %s -d %s\n", quoted(here), name, quoted(helpOf(all, v.path, name)))
		}
		for _, value := range v.values {
			fmt.Fprintf(w, "complete -c gateway -f -n %s -a %s\n", quoted(here), value)
		}
		for _, f := range v.flags {
			fmt.Fprintf(w, "complete -c gateway -n %s -l %s -d %s", quoted(here), f.Name, quoted(f.Help))
			if values := enumOf(f.Value); values != nil {
				fmt.Fprintf(w, " -x -a %s", quoted(strings.Join(values, " ")))
			}
			fmt.Fprintln(w)
		}
	}
}

func helpOf(all []verb, path, name string) string {
	for _, v := range all {
		if v.path == strings.TrimSpace(path+" "+name) {
			return v.help
		}
	}
	return ""
}

// quoted writes a word as all three shells read it.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
