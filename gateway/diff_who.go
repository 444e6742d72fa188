package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scopegate/scopegate/gateway/policy"
)

// The caller of a witness, in words and as the flags of explain.

// whoWords is the caller of a witness in words.
func whoWords(p *policy.Persona) string {
	switch {
	case p == nil:
		return ""
	case p.Anonymous:
		return "anybody without a token"
	}
	var with []string
	switch len(p.Scopes) {
	case 0:
	case 1:
		with = append(with, "only the scope "+p.Scopes[0])
	default:
		with = append(with, "only the scopes "+list(p.Scopes))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		text, _ := json.Marshal(p.Claims[name])
		with = append(with, "the claim "+name+" = "+printable(string(text)))
	}
	if p.ACR != "" {
		with = append(with, "the acr "+printable(p.ACR))
	}
	if p.AuthAgeKnown {
		with = append(with, "a login "+exactly(p.AuthAge)+" ago")
	}
	if p.Issuer != "" {
		with = append(with, "the issuer "+printable(p.Issuer))
	}
	if len(with) == 0 {
		return "a valid token without any scope"
	}
	if len(p.Scopes) == 0 {
		return "a token without scopes but with " + list(with)
	}
	return "a token with " + list(with)
}

// list joins for a sentence: "a", "a and b", "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// callerWords are the flags by which explain is told of a caller.
func callerWords(p *policy.Persona) []string {
	if p.Anonymous {
		return []string{"--anonymous"}
	}
	var out []string
	if len(p.Scopes) > 0 {
		out = append(out, "--scopes", strings.Join(p.Scopes, ","))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		value, ok := p.Claims[name].(string)
		if text, err := json.Marshal(p.Claims[name]); err == nil && (!ok || json.Valid([]byte(value))) {
			value = string(text) // what reads as JSON must be written as JSON to stay a text
		}
		out = append(out, "--claims", name+"="+value)
	}
	if p.Issuer != "" {
		out = append(out, "--issuer", p.Issuer)
	}
	if p.AuthAgeKnown {
		out = append(out, "--auth-age", exactly(p.AuthAge))
	}
	if p.ACR != "" {
		out = append(out, "--acr", p.ACR)
	}
	return out
}

// exactly writes a duration without the zeros that Go appends, and rounds nothing.
func exactly(d time.Duration) string {
	if d%time.Second != 0 {
		return d.String()
	}
	return shortest(d)
}

// shellWord quotes a word for a POSIX shell where it must be.
func shellWord(s string) string {
	plain := func(c rune) bool {
		return c > '~' || c < '!' || strings.ContainsRune("\"'`$&|;<>()[]{}*?!#\\~=", c)
	}
	if s != "" && !strings.ContainsFunc(s, plain) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
