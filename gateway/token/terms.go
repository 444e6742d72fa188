package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Terms are what many tokens of an issuer have in common: for which client and for what they
// were issued, and how they are signed. Tokens with the same terms share them, so that one more takes
// little more memory than its own characters, and so that a service works out only once
// what they mean to it. Nothing reachable from them may be changed.
type Terms struct {
	Issuer   string
	Client   string   // client_id, else azp; empty when absent
	Audience []string // aud, as a list
	// Scopes are the words that count: sorted, each once, limited to those the issuer may give.
	Scopes []string
	ACR    string // acr; empty when absent

	issuer    *issuer
	head      string     // the tokens' header as received, with the dot behind it
	algorithm string     // that it names
	thumb     thumbprint // of the key that verified
	own       int        // about the bytes that they take, without the memo
	memo      Memo
}

// Memo is where the gate keeps what it computed from the terms under one policy.
func (t *Terms) Memo() *Memo { return &t.memo }

// size estimates what the terms take.
func (t *Terms) size() int { return t.own + int(t.memo.bytes.Load()) }

// termsOf returns the terms of a token whose signature was made with k.
func (iss *issuer) termsOf(c *compact, k *key) (*Terms, error) {
	d := &c.document
	client := d.get(root, "client_id")
	if client == root {
		client = d.get(root, "azp")
	}
	scopes, name := iss.scopeClaim(d)

	c.terms = append(append(c.terms[:0], k.thumb[:]...), c.head...)
	for _, claim := range []int{client, d.get(root, "aud"), d.get(root, "acr"), scopes} {
		c.terms = append(c.terms, 0) // stands in no JSON text
		if claim != root {
			c.terms = append(c.terms, d.source(claim)...)
		}
	}
	if t := iss.terms.get(c.terms); t != nil {
		return t, nil
	}
	t := &Terms{Issuer: iss.config.Issuer, issuer: iss, head: string(c.head), algorithm: c.header.algorithm, thumb: k.thumb}
	if err := t.read(d); err != nil {
		return nil, err
	}
	var err error
	if t.Scopes, err = iss.words(d, scopes); err != nil {
		return nil, fmt.Errorf("scopes in %s: %w", name, err)
	}
	t.own = termsOverhead + 2*len(c.terms) + 32*(len(t.Audience)+len(t.Scopes))
	iss.terms.put(string(c.terms), t)
	return t, nil
}

func (t *Terms) read(d *jsonDocument) (err error) {
	var has bool
	if t.Client, has, err = d.stringMember("client_id"); err != nil {
		return err
	}
	if !has {
		if t.Client, _, err = d.stringMember("azp"); err != nil {
			return err
		}
	}
	t.ACR, _, _ = d.stringMember("acr")
	if t.Audience, err = d.stringList(d.get(root, "aud")); err != nil {
		return fmt.Errorf("aud: %w", err)
	}
	return nil
}

// stringList reads a claim that may be absent, null, a string or an array of strings.
func (d *jsonDocument) stringList(at int) ([]string, error) {
	switch d.kind(at) {
	case 0, 'n':
		return nil, nil
	case '"':
		return []string{d.string(at)}, nil
	case '[':
		list := []string{}
		for element := at + 1; element < int(d.values[at].after); element = int(d.values[element].after) {
			if d.kind(element) != '"' {
				return nil, errors.New("an element is not a string")
			}
			list = append(list, d.string(element))
		}
		return list, nil
	}
	return nil, errors.New("neither a string nor an array of strings")
}

// scopeClaim finds the claim that holds the scope words: the configured one, else the first of
// scope, scopes and scp that is there. Only one of them counts, so that a narrow scope is not
// widened by a member beside it.
func (iss *issuer) scopeClaim(d *jsonDocument) (claim int, name string) {
	if name = iss.config.ScopeClaim; name != "" {
		return d.lookup(name), name
	}
	for _, name = range []string{"scope", "scopes", "scp"} {
		if claim = d.get(root, name); claim != root && d.kind(claim) != 'n' {
			return claim, name
		}
	}
	return root, name
}

// words reads the scope words of a claim.
func (iss *issuer) words(d *jsonDocument, claim int) ([]string, error) {
	words, err := d.stringList(claim)
	if err != nil {
		return nil, err
	}
	if d.kind(claim) == '"' {
		words = strings.Split(words[0], " ")
	}
	words = slices.DeleteFunc(words, func(word string) bool { return !iss.counts(word) })
	slices.Sort(words)
	return slices.Clone(slices.Compact(words)), nil // no larger than it must be
}

// counts reports whether a word may be a scope of this issuer. A word with a blank or a
// control character is none (RFC 6749 section 3.3).
func (iss *issuer) counts(word string) bool {
	if word == "" || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	if len(iss.config.Scopes) == 0 {
		return true
	}
	for _, allowed := range iss.config.Scopes {
		stem, isPrefix := strings.CutSuffix(allowed, "*")
		if word == allowed || (isPrefix && len(word) > len(stem) && strings.HasPrefix(word, stem)) {
			return true
		}
	}
	return false
}

// lookup finds a claim by name, by JSON pointer (when it begins with a slash), or by a path
// with dots. A top-level claim with exactly that name comes first: names like
// https://example.com/roles have dots of their own.
func (d *jsonDocument) lookup(name string) int {
	if claim := d.get(root, name); claim != root {
		return claim
	}
	steps := strings.Split(name, ".")
	if pointer, ok := strings.CutPrefix(name, "/"); ok {
		steps = strings.Split(pointer, "/")
		unescape := strings.NewReplacer("~1", "/", "~0", "~")
		for i := range steps {
			steps[i] = unescape.Replace(steps[i])
		}
	}
	at := root
	for i, step := range steps {
		if i > 0 && d.kind(at) != '{' {
			return root
		}
		if at = d.get(at, step); at == root {
			return root
		}
	}
	return at
}

// Bounds of the terms that are remembered for one issuer. An issuer whose every token has
// terms of its own gains nothing by them, and must not fill the memory either.
const (
	maxTerms      = 1024
	maxTermsBytes = 1 << 20
)

// termsOverhead is about what terms take beside their words.
const termsOverhead = 320

// termsTable remembers terms by the text of their claims.
type termsTable struct {
	mu    sync.Mutex // guards known and size
	known map[string]*Terms
	size  int
}

func (s *termsTable) get(text []byte) *Terms {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[string(text)]
}

// put remembers terms; when there are too many it begins anew, and only those in use come back.
func (s *termsTable) put(text string, t *Terms) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxTerms || s.size+t.own > maxTermsBytes {
		s.known, s.size = map[string]*Terms{}, 0
	}
	s.known[text] = t
	s.size += t.own
}

// retain forgets all terms but those in use.
func (s *termsTable) retain(used map[*Terms]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text, t := range s.known {
		if !used[t] {
			delete(s.known, text)
			s.size -= t.own
		}
	}
}
