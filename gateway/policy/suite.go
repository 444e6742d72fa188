package policy

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// Suite is a file of personas for a policy in another file, a *.test.yaml.
type Suite struct {
	file     string
	policy   string
	named    *yaml.Node // the value of policy:
	personas *yaml.Node
}

// ReadSuite parses a *.test.yaml: `version`, `policy`, `personas`. Which words
// its personas may use is known only beside the policy: see Bind. The suite is
// nil when a finding is an error.
func ReadSuite(file string, src []byte) (*Suite, Findings) {
	r := &reader{file: file}
	s := &Suite{file: file}
	if root := r.document(src); root != nil {
		f := r.fields(root, "the test file", "version", "policy", "personas")
		if root.Kind == yaml.MappingNode {
			for _, key := range []string{"version", "policy", "personas"} {
				if f[key] == nil && !hasKey(root, key) {
					r.report(root, idMissingKey, "add `"+key+":`", "`%s:` is missing", key)
				}
			}
		}
		r.version(f["version"])
		if n := f["policy"]; n != nil {
			s.named = n
			s.policy, _ = r.text(n, "`policy:`")
		}
		s.personas = f["personas"]
	}
	r.found.sort()
	if r.found.HasErrors() {
		return nil, r.found
	}
	return s, r.found
}

// PolicyPath is the policy that the suite is for, as written: relative to the
// suite's own folder.
func (s *Suite) PolicyPath() string { return s.policy }

// Misses is the finding that the policy named by the suite cannot be had: why.
func (s *Suite) Misses(why string) Finding {
	r := &reader{file: s.file}
	r.report(s.named, idNoPolicy, "name it by a path relative to this file", "%s", why)
	return r.found[0]
}

// Bind reads the suite's personas in the vocabulary of its policy. The tests
// are empty when a finding is an error.
func (s *Suite) Bind(p *Policy) (Tests, Findings) {
	r := &reader{file: s.file}
	words := &Policy{vocabulary: p.vocabulary}
	r.personas(words, s.personas)
	r.found.sort()
	if r.found.HasErrors() {
		return Tests{File: s.file}, r.found
	}
	return Tests{File: s.file, Personas: words.personas}, r.found
}

// Tests are the personas of one file.
type Tests struct {
	File     string
	Personas []Persona
}

// OwnTests are the personas that stand in the policy itself.
func (p *Policy) OwnTests() Tests { return Tests{p.file, p.Personas()} }

// Caller is who the persona is to the policy.
func (persona *Persona) Caller(p *Policy) *Caller {
	if persona.Anonymous {
		return &Caller{Anonymous: true}
	}
	return &Caller{Issuer: persona.Issuer, Scopes: p.Scopes(persona.Scopes), Claims: persona.Claims,
		ACR: persona.ACR, AuthAge: persona.AuthAge, AuthAgeKnown: persona.AuthAgeKnown}
}

// Outcome is one expectation of a persona with what the policy says to it.
type Outcome struct {
	File    string
	Persona string
	Expectation
	// Want tells whether the request must reach the service.
	Want bool
	// Decision is the answer. For a request without one reading it holds
	// nothing but a reason.
	Decision Decision

	who     *Persona
	caller  *Caller
	request *Request // nil for a request without one reading
}

// Passed reports whether the persona gets what it should, for the reason that
// it names if it names one.
func (o *Outcome) Passed() bool {
	return o.Decision.Allow == o.Want && (o.Reason == ReasonNone || o.Reason == o.Decision.Reason)
}

// Wanted says in words what was expected: allow or deny, with the reason where
// that is what differs.
func (o *Outcome) Wanted() string {
	return o.worded(o.Want, o.Reason)
}

// Got says in words what the policy answers, like Wanted.
func (o *Outcome) Got() string {
	return o.worded(o.Decision.Allow, o.Decision.Reason)
}

func (o *Outcome) worded(allow bool, reason Reason) string {
	words := "deny"
	if allow {
		words = "allow"
	}
	if o.Want == o.Decision.Allow && !o.Passed() {
		words += " " + reason.String()
	}
	return words
}

// Report is the result of a policy's tests.
type Report struct {
	// Outcomes are those of all expectations, in the order of the files.
	Outcomes []Outcome
	Coverage Coverage

	proposer *proposer
}

// Failed lists the outcomes that are not as expected.
func (r *Report) Failed() []Outcome {
	var out []Outcome
	for _, o := range r.Outcomes {
		if !o.Passed() {
			out = append(out, o)
		}
	}
	return out
}

// Test asks the policy everything that the personas expect, by Decide, and
// measures what they cover.
func (p *Policy) Test(tests ...Tests) Report {
	var report Report
	cover := newCover(p)
	names := map[string]bool{}
	for _, file := range tests {
		for i := range file.Personas {
			persona := &file.Personas[i]
			names[persona.Name] = true
			caller := persona.Caller(p)
			for _, list := range []struct {
				expectations []Expectation
				want         bool
			}{{persona.Allow, true}, {persona.Deny, false}} {
				for _, e := range list.expectations {
					o := Outcome{File: file.File, Persona: persona.Name, Expectation: e, Want: list.want, who: persona, caller: caller}
					p.answer(&o)
					if o.Passed() {
						cover.observe(&o.Decision)
					}
					report.Outcomes = append(report.Outcomes, o)
				}
			}
		}
	}
	report.proposer = newProposer(p, names)
	report.Coverage = cover.measure(report.proposer)
	return report
}

// answer decides about a request line as a client would send it. A target
// without one reading is denied for what the guard says.
func (p *Policy) answer(o *Outcome) {
	req, err := NewRequest(&Received{Method: o.Method, Target: o.Target, Hosts: []string{"localhost"}, ProtoMajor: 1, ProtoMinor: 1})
	if refused, ok := err.(*GuardError); ok {
		o.Decision = Decision{Reason: refused.Reason, Match: Match{Reason: refused.Reason, Guard: refused.Rule}, policy: p}
		return
	}
	o.request = &req
	o.Decision = p.Decide(&req, o.caller)
}

// sentence joins a list for a sentence: "a", "a and b", "a, b and c".
func sentence(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}
