package policy

import (
	"cmp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// lintVocabulary looks for scopes that were most likely misspelt where they are declared; one that
// is misspelt elsewhere is a fault, because it is not declared.
func (r *reader) lintVocabulary(p *Policy, where map[string]*yaml.Node) {
	v := p.vocabulary
	inOrder := slices.SortedFunc(slices.Values(v.words), func(a, b string) int {
		return cmp.Compare(where[a].Line, where[b].Line)
	})
	first := map[string]string{}
	for _, word := range inOrder {
		folded := foldScope(word)
		other, known := first[folded]
		if !known {
			first[folded] = word
			continue
		}
		if i, j := v.index[word], v.index[other]; !v.closure(i).has(j) && !v.closure(j).has(i) {
			r.report(where[word], idLikeScopes, "keep one of them, or let one imply the other",
				"the scope %s is not %s (line %d), though it looks like it: a token with one does not have the other", word, other, where[other].Line)
		}
	}
	r.lintServiceNames(p.service, inOrder, where)
}

// foldScope takes away what people confuse: case, and which mark separates the parts.
func foldScope(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("-_.:/", c) {
			return '.'
		}
		return c
	}, strings.ToLower(s))
}

// lintServiceNames finds scopes whose first part is one letter away from the service's name, where
// others have the name itself. A part that is only longer or shorter, as `order` is than `orders`,
// may be another service.
func (r *reader) lintServiceNames(service string, words []string, where map[string]*yaml.Node) {
	belongs := func(word string) bool { return strings.HasPrefix(word, service+".") }
	if !slices.ContainsFunc(words, belongs) {
		return
	}
	for _, word := range words {
		first, rest, ok := strings.Cut(word, ".")
		if !ok || len(first) < 4 || strings.HasPrefix(first, service) || strings.HasPrefix(service, first) || distance(first, service) != 1 {
			continue
		}
		r.report(where[word], idLikeService, "write "+service+"."+rest,
			"the scope %s begins with %s, and the service is called %s", word, first, service)
	}
}

// lintPersona looks at what a persona expects, whoever it is.
func (r *reader) lintPersona(persona *Persona) {
	expected := map[string]Expectation{}
	for _, e := range persona.Allow {
		r.expectedTwice(persona, expected, e)
	}
	allowed := expected
	expected = map[string]Expectation{}
	for _, e := range persona.Deny {
		if first, both := allowed[e.Request]; both {
			r.reportAt(e.Line, e.Column, idContradiction, "remove one of the two",
				"%s must not reach %s here, and must in line %d", quoted(persona.Name), e.Request, first.Line)
		}
		r.expectedTwice(persona, expected, e)
	}
}

func (r *reader) expectedTwice(persona *Persona, expected map[string]Expectation, e Expectation) {
	if first, twice := expected[e.Request]; twice {
		r.reportAt(e.Line, e.Column, idTwiceExpected, "remove it",
			"%s asks for %s in line %d already", quoted(persona.Name), e.Request, first.Line)
		return
	}
	expected[e.Request] = e
}
