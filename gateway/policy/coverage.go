package policy

// Coverage says how much of a policy its personas look at. What counts are
// expectations that hold:
//
//   - for each rule a persona that it lets in and one that it refuses, as far as
//     it does either;
//   - for each scope of its requirement two personas that differ in that scope
//     alone, as far as this rule can tell, of which one is let in and one is
//     not. A scope that never makes a difference is not counted.
type Coverage struct {
	Covered, Total int
	// Gaps are what is not covered, by path and method.
	Gaps []Gap
	// Proposed are personas that would cover all of it. Their names are new, and
	// the policy as it is gives them what they expect.
	Proposed []Persona
}

// Percent is the share that is covered, from 0 to 100; 100 of nothing.
func (c *Coverage) Percent() float64 {
	if c.Total == 0 {
		return 100
	}
	return 100 * float64(c.Covered) / float64(c.Total)
}

// GapKind says what is missing.
type GapKind uint8

const (
	// GapAllowed: no persona is let in.
	GapAllowed GapKind = iota
	// GapDenied: no persona is refused.
	GapDenied
	// GapScope: no two personas differ in one scope alone.
	GapScope
)

// String returns `allowed`, `denied` or `scope`.
func (k GapKind) String() string { return [...]string{"allowed", "denied", "scope"}[k] }

// MarshalText writes the kind's name, so that JSON shows it.
func (k GapKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Gap is one thing that the personas do not cover. Scope is set for GapScope.
type Gap struct {
	Rule  *Rule
	Kind  GapKind
	Scope string
}

// cover gathers what expectations have shown about each rule.
type cover struct {
	policy *Policy
	rules  map[*Rule]*shown
}

// shown is what is known of one rule: which tokens it let in and which not.
// Rights and conditions met are all that a rule sees of a token, so two
// personas that agree in both count as one.
type shown struct {
	allowed, denied bool
	seen            map[string]bool
	let, kept       []holding
}

type holding struct {
	held bitset
	met  uint64
}

func newCover(p *Policy) *cover { return &cover{p, map[*Rule]*shown{}} }

// observe notes a decision that was as expected.
func (c *cover) observe(d *Decision) {
	rule := d.Match.Rule
	if rule == nil {
		return
	}
	s := c.of(rule)
	s.allowed = s.allowed || d.Allow
	s.denied = s.denied || !d.Allow
	if rule.access != byRequirement || d.Reason == ReasonTokenMissing {
		return
	}
	h := holding{d.held, d.met}
	if key := h.key(); !s.seen[key] {
		s.seen[key] = true
		if d.Allow {
			s.let = append(s.let, h)
		} else {
			s.kept = append(s.kept, h)
		}
	}
}

func (c *cover) of(rule *Rule) *shown {
	if c.rules[rule] == nil {
		c.rules[rule] = &shown{seen: map[string]bool{}}
	}
	return c.rules[rule]
}

func (h holding) key() string {
	b := make([]byte, 0, 8*(len(h.held)+1))
	for _, word := range append([]uint64{h.met}, h.held...) {
		for range 8 {
			b = append(b, byte(word))
			word >>= 8
		}
	}
	return string(b)
}

// pair reports whether two tokens were shown that differ in the scope alone,
// with what it implies, and are judged differently.
func (s *shown) pair(v *vocabulary, scope int) bool {
	brings := v.closure(scope)
	for _, let := range s.let {
		if !let.held.has(scope) {
			continue
		}
		for _, kept := range s.kept {
			if kept.met == let.met && !kept.held.has(scope) && kept.held.plus(brings).equals(let.held) {
				return true
			}
		}
	}
	return false
}

// plus is the union of two sets.
func (b bitset) plus(o bitset) bitset {
	if len(o) > len(b) {
		b, o = o, b
	}
	out := b.clone()
	out.add(o)
	return out
}

func (b bitset) equals(o bitset) bool { return b.within(o) && o.within(b) }

// measure compares what was shown with what there is to show, and proposes what
// is missing.
func (c *cover) measure(pr *proposer) Coverage {
	m := meter{cover: c, proposer: pr}
	for _, route := range c.policy.routes {
		for _, rule := range route.rules {
			m.rule(rule)
		}
	}
	m.Proposed = m.proposer.personas()
	return m.Coverage
}

// meter counts, rule by rule.
type meter struct {
	Coverage
	cover    *cover
	proposer *proposer
}

// rule counts what there is to show of one rule. A rule that no request reaches
// has nothing to show.
func (m *meter) rule(rule *Rule) {
	p := m.cover.policy
	req, ok := p.Sample(rule)
	if !ok {
		return
	}
	s := *m.cover.of(rule)
	w := witness{policy: p, analysis: p.analyse(rule), req: req}
	proposed := shown{}
	for _, scope := range rule.formula.scopes(len(p.vocabulary.words)).members() {
		if s.pair(p.vocabulary, scope) {
			m.count(true, Gap{})
		} else if with, without := w.pair(scope); with != nil {
			m.count(false, Gap{rule, GapScope, p.vocabulary.words[scope]})
			m.half(&s, &w, with, true)
			m.half(&s, &w, without, false)
			proposed.allowed, proposed.denied = true, true
		}
	}
	m.side(s.allowed, proposed.allowed, Gap{Rule: rule, Kind: GapAllowed}, &w, w.allowed)
	m.side(s.denied, proposed.denied, Gap{Rule: rule, Kind: GapDenied}, &w, w.denied)
}

// half proposes one persona of a pair, unless a token like its own was shown.
func (m *meter) half(s *shown, w *witness, persona *Persona, allow bool) {
	d := w.policy.Decide(&w.req, persona.Caller(w.policy))
	if !s.seen[holding{d.held, d.met}.key()] {
		m.proposer.add(persona, &w.req, allow)
	}
}

// side counts that a rule lets somebody in, or that it refuses somebody, if it
// does.
func (m *meter) side(shown, proposed bool, gap Gap, w *witness, find func() *Persona) {
	if shown {
		m.count(true, gap)
		return
	}
	persona := find()
	if persona == nil {
		return
	}
	m.count(false, gap)
	if !proposed {
		m.proposer.add(persona, &w.req, gap.Kind == GapAllowed)
	}
}

func (m *meter) count(covered bool, gap Gap) {
	m.Total++
	if covered {
		m.Covered++
	} else {
		m.Gaps = append(m.Gaps, gap)
	}
}
