package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Policy is one compiled policy file. It never changes, so any number of
// goroutines may use it without a lock.
type Policy struct {
	file       string
	service    string
	hash       string
	vocabulary *vocabulary
	abouts     []string // descriptions, by number of the scope
	lines      []int    // where scopes are declared, by their number
	routes     []*Route // sorted by template
	root       *node
	personas   []Persona
	claims     []string
	methods    map[string]bool // named by some path; HEAD where GET is
	tokens     bool
	warnings   Findings
}

// File is the name that was given to Load.
func (p *Policy) File() string { return p.file }

// Service is the service that the policy is for.
func (p *Policy) Service() string { return p.service }

// Hash identifies the file's bytes: `sha256:` and the first 32 hex digits of
// their SHA-256. It covers the bytes and not only the meaning, so that file and
// line of a rule in an old log line can be found again, and so that `sha256sum`
// can check it.
func (p *Policy) Hash() string { return p.hash }

func hashOf(src []byte) string {
	sum := sha256.Sum256(src)
	return "sha256:" + hex.EncodeToString(sum[:16])
}

// Warnings are the remarks about the policy, sorted by line.
func (p *Policy) Warnings() Findings { return slices.Clone(p.warnings) }

// Routes lists the paths, sorted by template.
func (p *Policy) Routes() []*Route { return slices.Clone(p.routes) }

// Scope is one declared word.
type Scope struct {
	Name  string
	About string
	// Implies is everything that holding the scope stands for, itself excepted.
	Implies []string
}

// Vocabulary lists the declared scopes, sorted by name.
func (p *Policy) Vocabulary() []Scope {
	v := p.vocabulary
	out := make([]Scope, len(v.words))
	for i, w := range v.words {
		all := v.closure(i).clone()
		all.clear(i)
		out[i] = Scope{Name: w, About: p.abouts[i], Implies: v.names(all)}
	}
	return out
}

// OpeningScopes lists the scopes that some rule asks for, be it by themselves or
// by what they imply, sorted. The others of the vocabulary open nothing.
func (p *Policy) OpeningScopes() []string {
	v := p.vocabulary
	used := newBitset(len(v.words))
	for _, route := range p.routes {
		for _, rule := range route.rules {
			used.add(rule.formula.scopes(len(v.words)))
		}
	}
	var opening []string
	for i, word := range v.words {
		all := v.closure(i)
		if all.beyond(nil) != all.beyond(used) {
			opening = append(opening, word)
		}
	}
	return opening
}

// NeedsTokens reports whether some rule needs a token, so that a gateway
// without keys could not serve the policy.
func (p *Policy) NeedsTokens() bool { return p.tokens }

// ClaimNames lists the claims that any rule reads, as written, sorted.
func (p *Policy) ClaimNames() []string { return slices.Clone(p.claims) }

// NamesMethod reports whether some path of the policy lists the method by its
// name. HEAD counts where GET does; what only ANY covers does not: those methods
// are the callers' choice, and so no label of a metric.
func (p *Policy) NamesMethod(method string) bool { return p.methods[method] }

// Personas lists the policy's own tests, in the order of the file.
func (p *Policy) Personas() []Persona { return slices.Clone(p.personas) }
