package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// witness finds callers that show what a rule does, by a request that it
// answers.
type witness struct {
	policy   *Policy
	analysis *analysis
	req      Request
	found    []way
	done     bool
}

func (w *witness) ways() []way {
	if !w.done {
		w.found, _ = w.analysis.ways()
		w.done = true
	}
	return w.found
}

// allows asks Decide.
func (w *witness) allows(persona *Persona) bool {
	d := w.policy.Decide(&w.req, persona.Caller(w.policy))
	return d.Allow
}

// allowed is somebody whom the rule lets in, with as few rights as can be; nil
// when it lets nobody in.
func (w *witness) allowed() *Persona {
	if somebody := (&Persona{Anonymous: true}); w.allows(somebody) {
		return somebody
	}
	for _, way := range w.ways() {
		if persona := w.holder(way); persona != nil && w.allows(persona) {
			return persona
		}
	}
	return nil
}

// denied is somebody whom the rule refuses: a token that says nothing, or
// nobody's; nil when it refuses no one.
func (w *witness) denied() *Persona {
	for _, persona := range []*Persona{{Scopes: []string{}}, {Anonymous: true}} {
		if !w.allows(persona) {
			return persona
		}
	}
	return nil
}

// pair is two personas that differ in the scope alone, of which the first is
// let in and the second is not; nil when the scope never makes that difference.
// They exist exactly where the scope is part of a minimal way: without it the
// rest does not do.
func (w *witness) pair(scope int) (with, without *Persona) {
	for _, way := range w.ways() {
		if !way.scopes.has(scope) {
			continue
		}
		with = w.holder(way)
		if with == nil {
			continue
		}
		rest := *with
		word := w.policy.vocabulary.words[scope]
		rest.Scopes = slices.DeleteFunc(slices.Clone(with.Scopes), func(s string) bool { return s == word })
		if w.allows(with) && !w.allows(&rest) {
			return with, &rest
		}
	}
	return nil, nil
}

// holder is the persona that comes a way; nil when no token can.
func (w *witness) holder(way way) *Persona {
	c, scopes, ok := w.analysis.holder(way, w.req.Path)
	if !ok {
		return nil
	}
	return &Persona{Scopes: scopes, Claims: c.Claims, Issuer: c.Issuer, ACR: c.ACR, AuthAge: c.AuthAge, AuthAgeKnown: c.AuthAgeKnown}
}

// proposer gathers personas to propose, one for each kind of caller.
type proposer struct {
	policy *Policy
	taken  map[string]bool
	index  map[string]*Persona
	order  []*Persona
}

func newProposer(p *Policy, taken map[string]bool) *proposer {
	return &proposer{policy: p, taken: taken, index: map[string]*Persona{}}
}

// add lets a persona expect a request to be allowed, or not. It returns the
// persona with this expectation alone.
func (pr *proposer) add(persona *Persona, req *Request, allow bool) *Persona {
	key := strings.Join(persona.token(), "\n")
	known := pr.index[key]
	if known == nil {
		known = persona
		known.Name = pr.name(persona)
		pr.index[key] = known
		pr.order = append(pr.order, known)
	}
	e := Expectation{Request: req.Method + " " + req.Path, Method: req.Method, Target: req.Path}
	alone := *known
	alone.Allow, alone.Deny = nil, nil
	list := &known.Deny
	if allow {
		list, alone.Allow = &known.Allow, []Expectation{e}
	} else {
		alone.Deny = []Expectation{e}
	}
	if n := len(*list); n == 0 || (*list)[n-1] != e { // rules come one by one, so a repeated request is the last
		*list = append(*list, e)
	}
	return &alone
}

// name finds a name that is not taken.
func (pr *proposer) name(persona *Persona) string {
	name := "holder of " + sentence(persona.Scopes)
	switch {
	case persona.Anonymous:
		name = "somebody without a token"
	case len(persona.Scopes) == 0:
		name = "a token without scopes"
	case len(persona.Scopes) > 3:
		name = fmt.Sprintf("holder of %d scopes", len(persona.Scopes))
	}
	if more := persona.besides(); len(more) > 0 {
		name += " with " + sentence(more)
	}
	plain := name
	for n := 2; pr.taken[name]; n++ {
		name = plain + " " + strconv.Itoa(n)
	}
	pr.taken[name] = true
	return name
}

// besides says what the persona's token says besides its scopes, in few words.
func (persona *Persona) besides() []string {
	var out []string
	for _, claim := range slices.Sorted(maps.Keys(persona.Claims)) {
		if value, ok := persona.Claims[claim].(string); ok {
			claim += " " + value
		}
		out = append(out, clip(claim, 40))
	}
	if persona.Issuer != "" {
		out = append(out, "an issuer")
	}
	if persona.ACR != "" {
		out = append(out, "acr "+clip(persona.ACR, 40))
	}
	if persona.AuthAgeKnown {
		out = append(out, "a login "+shortDuration(persona.AuthAge)+" ago")
	}
	return out
}

func (pr *proposer) personas() []Persona {
	var out []Persona
	for _, persona := range pr.order {
		out = append(out, *persona)
	}
	return out
}

// YAML writes personas as they stand below `personas:`, indented by two.
func YAML(personas []Persona) string {
	var b strings.Builder
	for i := range personas {
		persona := &personas[i]
		fmt.Fprintf(&b, "  %s:\n", yamlText(persona.Name))
		for _, line := range persona.token() {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		writeRequests(&b, "allow", persona.Allow)
		writeRequests(&b, "deny", persona.Deny)
	}
	return b.String()
}

// writeRequests writes a list on one line while it fits.
func writeRequests(b *strings.Builder, key string, list []Expectation) {
	const width = 100
	var texts []string
	for _, e := range list {
		texts = append(texts, yamlText(e.Request))
	}
	switch line := fmt.Sprintf("    %s: [%s]\n", key, strings.Join(texts, ", ")); {
	case len(list) == 0:
	case len(line) <= width:
		b.WriteString(line)
	default:
		fmt.Fprintf(b, "    %s:\n", key)
		for _, text := range texts {
			fmt.Fprintf(b, "      - %s\n", text)
		}
	}
}

// token writes what the persona's token says, one key a line.
func (persona *Persona) token() []string {
	if persona.Anonymous {
		return []string{"anonymous: true"}
	}
	out := []string{"scopes: " + yamlList(persona.Scopes)}
	if len(persona.Claims) > 0 {
		out = append(out, "claims: "+yamlClaims(persona.Claims))
	}
	if persona.Issuer != "" {
		out = append(out, "issuer: "+yamlText(persona.Issuer))
	}
	if persona.AuthAgeKnown {
		out = append(out, "auth_age: "+shortDuration(persona.AuthAge))
	}
	if persona.ACR != "" {
		out = append(out, "acr: "+yamlText(persona.ACR))
	}
	return out
}

// yamlClaims writes claims that are texts or lists of texts.
func yamlClaims(claims map[string]any) string {
	var parts []string
	for name, value := range claims {
		switch v := value.(type) {
		case string:
			parts = append(parts, yamlText(name)+": "+yamlText(v))
		case []any:
			var texts []string
			for _, one := range v {
				texts = append(texts, fmt.Sprint(one))
			}
			parts = append(parts, yamlText(name)+": "+yamlList(texts))
		}
	}
	slices.Sort(parts)
	return "{ " + strings.Join(parts, ", ") + " }"
}

func yamlList(texts []string) string {
	var parts []string
	for _, text := range texts {
		parts = append(parts, yamlText(text))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// yamlText writes a string so that every reader of YAML takes it for that:
// plain where nothing about it is special, else in double quotes, whose escapes
// are those of Go.
func yamlText(s string) string {
	special := func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		return !letter && (c < '0' || c > '9') && !strings.ContainsRune("._-/ ", c)
	}
	first := s != "" && (s[0] == '/' || s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z')
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		first = false
	}
	if !first || strings.ContainsFunc(s, special) || strings.HasSuffix(s, " ") {
		return strconv.Quote(s)
	}
	return s
}

// shortDuration writes a duration without the zeros that Go appends.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
