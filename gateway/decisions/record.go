package decisions

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Record is one decision as its line has it. Its strings are parts of the line's block, so that
// whoever keeps one for long copies it (strings.Clone).
type Record struct {
	File int   // index of the source
	Line int64 // from 1

	Time, RequestID string
	Service         string // "unmatched": no service was found
	Method          string // the one that was judged and sent
	Path            string // canonical, cut at MaxValue bytes; "" where the request had no one reading
	Route           string // template of the route; "unmatched": none
	Allow           bool   // the policy's verdict, also where the service then failed
	Reason, Guard   string
	Issuer          string // "": no token was verified
	Subject, Client string // cut at MaxValue bytes
	ACR             string
	AuthAge         int64  // whole seconds, rounded up; negative: unknown
	Policy, Rule    string // hash, and file:line
	Sampled         int64  // requests that the line stands for, at least 1; 1 where the line does not say

	scopes, missing, accepted string // JSON arrays as written; "" where the key was missing
	claims                    string // JSON object as written
}

// MaxValue is the number of bytes at which the gateway cuts values that a client chose. One of
// more than MaxValue-utf8.UTFMax bytes may have been cut: the cut keeps characters whole.
const MaxValue = 512

// MaxListed is the number of elements at which the gateway cuts an array in a claim.
const MaxListed = 64

// MaybeCut reports whether the writer may have cut the value.
func MaybeCut(value string) bool { return len(value) > MaxValue-utf8.UTFMax }

// Scopes lists the words of the token. They are those of the token itself: what they imply is for
// a policy to say.
func (r *Record) Scopes() []string { return words(r.scopes) }

// ScopesText is the list of scopes as the line has it, a JSON array: the same text is the same
// list, so that what was made of it can be remembered.
func (r *Record) ScopesText() string { return r.scopes }

// Accepted lists the guard's rules that the request broke and its route accepted. known is false
// for lines from before this was written.
func (r *Record) Accepted() (rules []string, known bool) {
	return words(r.accepted), r.accepted != ""
}

// Missing lists the scopes that the rule would have taken in a refusal for its scopes.
func (r *Record) Missing() []string { return words(r.missing) }

// Claims are those that the policy of that time read, null where the token had none, as a JSON
// tree whose numbers are json.Number.
func (r *Record) Claims() map[string]any {
	s := scanner{text: r.claims}
	tree, _ := s.tree().(map[string]any) // parse has seen that it is one, if it is there
	return tree
}

// words reads a JSON array of strings that parse has checked.
func words(text string) []string {
	if len(text) <= len("[]") {
		return nil
	}
	s := scanner{text: text}
	var list []string
	for _, word := range s.tree().([]any) { // parse has seen that it is one
		list = append(list, word.(string))
	}
	return list
}

// errOther says that a line is no decision, and nothing is wrong with it.
var errOther = errors.New("another message")

// parse reads one line, strictly: one JSON object with each key once, of the type that the
// gateway writes, with a scanner that is used again. Keys that it does not know are passed over;
// of those that it does, a line must have what makes it a decision, and does not say what it lacks.
// errOther is returned as soon as the line shows that it is no decision.
func (r *Record) parse(s *scanner, line string) error {
	if !utf8.ValidString(line) {
		return errors.New("not UTF-8")
	}
	*r = Record{File: r.File, Line: r.Line, AuthAge: -1, Sampled: 1}
	*s = scanner{text: line}
	if err := s.open('{'); err != nil {
		return err
	}
	var seen uint64
	for next := 0; s.more('}'); {
		name, err := s.name()
		if err != nil {
			return err
		}
		i := keyed(name, next)
		if i < 0 {
			err = s.skip()
		} else {
			next = i + 1
			err = r.member(i, s, &seen)
		}
		if err == errOther {
			return err
		}
		if err != nil {
			return fmt.Errorf("%.40q: %w", name, err)
		}
	}
	if err := s.close(); err != nil {
		return err
	}
	if seen>>keyed("msg", 0)&1 == 0 {
		return errOther
	}
	for i := range keys {
		if keys[i].needed && seen>>i&1 == 0 {
			return fmt.Errorf("the key %q is missing", keys[i].name)
		}
	}
	return nil
}

// member reads the value of the i-th key.
func (r *Record) member(i int, s *scanner, seen *uint64) error {
	if *seen>>i&1 != 0 {
		return errors.New("the key stands twice")
	}
	*seen |= 1 << i
	return keys[i].read(r, s)
}

// keyed finds a key, first where the gateway writes it; -1 for others.
func keyed(name string, next int) int {
	if next < len(keys) && keys[next].name == name {
		return next
	}
	for i := range keys {
		if keys[i].name == name {
			return i
		}
	}
	return -1
}

// key is one that a record is made of.
type key struct {
	name   string
	needed bool
	read   func(r *Record, s *scanner) error
}

// keys are those that are read, in the order in which the gateway writes them.
var keys = []key{
	text("time", func(r *Record) *string { return &r.Time }),
	{"msg", true, func(r *Record, s *scanner) error {
		msg, err := s.string()
		if err == nil && msg != "request" {
			return errOther
		}
		return err
	}},
	text("request_id", func(r *Record) *string { return &r.RequestID }),
	needed(text("service", func(r *Record) *string { return &r.Service })),
	ignored("host"),
	needed(text("method", func(r *Record) *string { return &r.Method })),
	needed(text("path", func(r *Record) *string { return &r.Path })),
	text("route", func(r *Record) *string { return &r.Route }),
	ignored("status"),
	{"decision", true, func(r *Record, s *scanner) (err error) {
		switch verdict, err := s.string(); {
		case err != nil:
			return err
		case verdict != "allow" && verdict != "deny":
			return errors.New("neither allow nor deny")
		default:
			r.Allow = verdict == "allow"
		}
		return nil
	}},
	needed(text("reason", func(r *Record) *string { return &r.Reason })),
	text("guard", func(r *Record) *string { return &r.Guard }),
	{"accepted", false, func(r *Record, s *scanner) (err error) { r.accepted, err = s.words(); return err }},
	text("issuer", func(r *Record) *string { return &r.Issuer }),
	text("subject", func(r *Record) *string { return &r.Subject }),
	text("client", func(r *Record) *string { return &r.Client }),
	{"scopes", false, func(r *Record, s *scanner) (err error) { r.scopes, err = s.words(); return err }},
	{"missing", false, func(r *Record, s *scanner) (err error) { r.missing, err = s.words(); return err }},
	{"claims", false, func(r *Record, s *scanner) (err error) { r.claims, err = s.raw('{'); return err }},
	{"auth_age", false, func(r *Record, s *scanner) (err error) {
		if s.null() {
			return nil
		}
		if r.AuthAge, err = s.integer(); err == nil && r.AuthAge < 0 {
			err = errors.New("less than 0")
		}
		return err
	}},
	text("acr", func(r *Record) *string { return &r.ACR }),
	ignored("anonymous"),
	text("policy", func(r *Record) *string { return &r.Policy }),
	text("rule", func(r *Record) *string { return &r.Rule }),
	{"sampled", false, func(r *Record, s *scanner) (err error) {
		if r.Sampled, err = s.integer(); err == nil && r.Sampled < 1 {
			err = errors.New("less than 1")
		}
		return err
	}},
}

func text(name string, field func(*Record) *string) key {
	return key{name, false, func(r *Record, s *scanner) (err error) { *field(r), err = s.string(); return err }}
}

// needed marks a key that no decision lacks.
func needed(k key) key {
	k.needed = true
	return k
}

// ignored is a key that a record does without.
func ignored(name string) key {
	return key{name, false, func(_ *Record, s *scanner) error { return s.skip() }}
}
