package policy

import (
	"encoding/json"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// personas reads the policy's own tests.
func (r *reader) personas(p *Policy, n *yaml.Node) {
	if n == nil {
		return
	}
	for _, e := range r.entries(n, "`personas:`") {
		p.personas = append(p.personas, r.persona(p, e))
	}
}

func (r *reader) persona(p *Policy, e entry) Persona {
	what := "the persona " + quoted(e.key.Value)
	out := Persona{Name: e.key.Value, Line: e.key.Line}
	f := r.fields(e.value, what, "anonymous", "scopes", "claims", "issuer", "auth_age", "acr", "allow", "deny")
	if n := f["anonymous"]; n != nil {
		value, ok := r.truth(n, "`anonymous:`")
		if ok && !value {
			r.report(n, idPersona, "remove the key; `scopes: []` is a valid token without scopes", "`anonymous: false` says nothing")
		}
		out.Anonymous = value
	}
	switch scopes := f["scopes"]; {
	case e.value.Kind != yaml.MappingNode:
	case scopes == nil && f["anonymous"] == nil:
		r.report(e.key, idPersona, "add `scopes: […]` ([] for a token without any), or `anonymous: true`", "%s has neither scopes nor `anonymous: true`", what)
	case out.Anonymous:
		for _, key := range []string{"scopes", "claims", "issuer", "auth_age", "acr"} {
			if f[key] != nil {
				r.report(f[key], idPersona, "remove `"+key+":` or `anonymous:`", "somebody without a token has no %s", key)
			}
		}
	}
	r.personaToken(p, &out, f)
	out.Allow = r.expectations(f["allow"], "`allow:`", true)
	out.Deny = r.expectations(f["deny"], "`deny:`", false)
	r.lintPersona(&out)
	if e.value.Kind == yaml.MappingNode && f["allow"] == nil && f["deny"] == nil {
		r.report(e.key, idIdlePersona, "add `allow:` or `deny:`", "%s expects nothing", what)
	}
	return out
}

// personaToken reads what the persona's token says.
func (r *reader) personaToken(p *Policy, out *Persona, f fields) {
	if n := f["scopes"]; n != nil {
		out.Scopes = r.personaScopes(p.vocabulary, n)
	}
	if n := f["claims"]; n != nil {
		if tree, ok := r.tree(n).(map[string]any); ok {
			out.Claims = tree
		} else {
			r.report(n, idType, "", "`claims:` must be a mapping, not %s", describe(n))
		}
	}
	if n := f["issuer"]; n != nil {
		out.Issuer, _ = r.text(n, "`issuer:`")
	}
	if n := f["acr"]; n != nil {
		out.ACR, _ = r.text(n, "`acr:`")
	}
	if n := f["auth_age"]; n != nil {
		out.AuthAge, out.AuthAgeKnown = r.duration(n, "`auth_age:`")
	}
}

// personaScopes reads a list that, unlike others, may be empty.
func (r *reader) personaScopes(v *vocabulary, n *yaml.Node) []string {
	out := []string{}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		return out
	}
	for _, word := range r.list(n, "`scopes:`") {
		if _, ok := r.declared(v, word); ok {
			out = append(out, word.Value)
		}
	}
	return out
}

// tree turns a node into what a token's JSON would hold.
func (r *reader) tree(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for _, e := range r.entries(n, "a claim") {
			out[e.key.Value] = r.tree(e.value)
		}
		return out
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			out[i] = r.tree(item)
		}
		return out
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			r.report(n, idClaim, "quote it, or write it as JSON does", "%s is not a number in JSON", quoted(n.Value))
		}
		return json.Number(n.Value)
	}
	r.unmistakable(n)
	return n.Value
}

// expectations reads allow: or deny:.
func (r *reader) expectations(n *yaml.Node, what string, allow bool) []Expectation {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.report(n, idType, "write a list of `METHOD /path`", "%s must be a list, not %s", what, describe(n))
		return nil
	}
	var out []Expectation
	for _, item := range n.Content {
		if e, ok := r.expectation(item, what, allow); ok {
			out = append(out, e)
		}
	}
	return out
}

func (r *reader) expectation(n *yaml.Node, what string, allow bool) (e Expectation, ok bool) {
	e.Line, e.Column = n.Line, n.Column
	line := n
	if n.Kind == yaml.MappingNode {
		f := r.fields(n, "an entry of "+what, "request", "reason")
		if line = f["request"]; line == nil {
			r.report(n, idExpectation, "add `request: METHOD /path`", "an entry of %s names no request", what)
			return e, false
		}
		if reason := f["reason"]; reason != nil && !r.reason(&e, reason, allow) {
			return e, false
		}
	}
	if e.Request, ok = r.text(line, "a request"); !ok {
		return e, false
	}
	e.Method, e.Target, ok = strings.Cut(e.Request, " ")
	if !ok || !methodToken(e.Method) || !strings.HasPrefix(e.Target, "/") || strings.Contains(e.Target, " ") {
		r.report(line, idExpectation, requestHint(e.Request), "%s is not a request", quoted(e.Request))
		return e, false
	}
	return e, true
}

// requestHint spells a request as it is most likely meant.
func requestHint(text string) string {
	words := strings.Fields(text)
	if len(words) == 1 && strings.HasPrefix(words[0], "/") {
		return "begin with a method, as in `GET " + clip(words[0], 120) + "`"
	}
	if len(words) == 2 && methodToken(strings.ToUpper(words[0])) && !strings.Contains(words[1], "://") {
		return "write `" + strings.ToUpper(words[0]) + " /" + strings.TrimPrefix(clip(words[1], 120), "/") + "`"
	}
	return "write it like `GET /billing/`: a method in upper case, one space, and a path"
}

func (r *reader) reason(e *Expectation, n *yaml.Node, allow bool) bool {
	word, ok := r.text(n, "`reason:`")
	if !ok {
		return false
	}
	reason, known := reasonByName(word)
	if !known {
		r.report(n, idExpectation, r.didYouMean(word, reasonWords()), "there is no reason %s", quoted(word))
		return false
	}
	if reason.Allows() != allow {
		r.report(n, idExpectation, "move the request, or name another reason", "the reason %s does not fit here", word)
		return false
	}
	e.Reason = reason
	return true
}

// reasonWords lists the codes of all reasons.
func reasonWords() []string {
	var out []string
	for _, r := range Reasons() {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}
