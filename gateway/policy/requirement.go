package policy

import (
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// builder compiles one rule's requirement.
type builder struct {
	*reader
	vocabulary *vocabulary
	route      *Route
	rule       *Rule
}

// requirement reads what stands beside a method: a word, or a mapping.
func (b *builder) requirement(n *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		b.bareList(n)
	case yaml.MappingNode:
		b.rule.text = b.nested(n)
	default:
		b.word(n)
	}
}

func (b *builder) word(n *yaml.Node) {
	if n.ShortTag() == "!!null" {
		b.report(n, idRequirement, "write a scope, or public, authenticated or nobody", "%s says nothing about who may", b.rule.method)
		return
	}
	word, ok := b.text(n, "a requirement")
	if !ok {
		return
	}
	b.rule.text = word
	switch word {
	case "public":
		b.rule.access = toEveryone
	case "nobody":
		b.rule.access = toNobody
	case "authenticated":
		b.rule.formula.close(b.rule.formula.open(opAll)) // nothing more than a token
	default:
		b.scopeLeaf(n)
	}
}

// bareList refuses a list that does not say what it means: half of this field
// reads it as all, the other half as any.
func (b *builder) bareList(n *yaml.Node) {
	list := "[" + clip(strings.Join(values(n.Content), ", "), 120) + "]"
	b.report(n, idBareList, "write { all: "+list+" } or { any: "+list+" }", "a bare list does not say whether all of it or any of it is needed")
}

func (b *builder) scopeLeaf(n *yaml.Node) {
	if i, ok := b.declared(b.vocabulary, n); ok {
		b.rule.formula.leaf(opScope, i)
	}
}

// nested compiles a mapping, which means and: the list and every condition
// beside it. It returns the requirement in words.
func (b *builder) nested(n *yaml.Node) string {
	f := b.fields(n, "a requirement", "any", "all", "claims", "max_age", "acr", "issuer")
	if len(n.Content) == 0 {
		b.report(n, idRequirement, "write a scope, or public, authenticated or nobody", "an empty mapping says nothing about who may")
	}
	if f["any"] != nil && f["all"] != nil {
		b.report(n, idRequirement, "nest one in the other, as in `all: [a, { any: [b, c] }]`", "any: and all: stand side by side")
	}
	at := b.rule.formula.open(opAll)
	var parts []string
	if list := f["all"]; list != nil {
		parts = append(parts, b.listed(list, opAll, " and "))
	}
	if list := f["any"]; list != nil {
		parts = append(parts, b.listed(list, opAny, " or "))
	}
	parts = append(parts, b.conditions(f)...)
	b.rule.formula.close(at)
	return strings.Join(parts, " and ")
}

func (b *builder) listed(n *yaml.Node, op operator, word string) string {
	what := "`all:`"
	if op == opAny {
		what = "`any:`"
	}
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.Kind == yaml.ScalarNode && n.Value != "" {
			hint = "write a list: [" + clip(n.Value, 120) + "]"
		}
		b.report(n, idType, hint, "%s must be a list, not %s", what, describe(n))
		return ""
	}
	if len(n.Content) == 0 {
		b.report(n, idRequirement, "", "%s must not be empty", what)
		return ""
	}
	at := b.rule.formula.open(op)
	var parts []string
	seen := map[string]bool{}
	for _, item := range n.Content {
		parts = append(parts, b.item(item, what, seen))
	}
	b.rule.formula.close(at)
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, word) + ")"
}

// item compiles one entry of any: or all:.
func (b *builder) item(n *yaml.Node, what string, seen map[string]bool) string {
	switch n.Kind {
	case yaml.SequenceNode:
		b.bareList(n)
		return ""
	case yaml.MappingNode:
		return b.nested(n)
	}
	word, ok := b.text(n, "an entry of "+what)
	if !ok || b.repeated(n, what, seen) {
		return ""
	}
	switch word {
	case "public", "authenticated", "nobody":
		b.report(n, idNest, "name scopes here; the three words stand alone, directly beside a method", "%q cannot stand in %s", word, what)
		return ""
	}
	b.scopeLeaf(n)
	return word
}

// conditions compiles what stands beside the list, in a fixed order.
func (b *builder) conditions(f fields) (parts []string) {
	if n := f["issuer"]; n != nil {
		parts = append(parts, b.issuer(n)...)
	}
	if n := f["claims"]; n != nil {
		parts = append(parts, b.claims(n)...)
	}
	if n := f["max_age"]; n != nil {
		parts = append(parts, b.maxAge(n)...)
	}
	if n := f["acr"]; n != nil {
		parts = append(parts, b.acr(n)...)
	}
	return parts
}

func (b *builder) issuer(n *yaml.Node) []string {
	issuer, ok := b.text(n, "`issuer:`")
	if !ok {
		return nil
	}
	if !strings.Contains(issuer, "://") {
		b.report(n, idCondition, "write the issuer as gateway.yaml does, with https://", "%s is not an issuer's URL", quoted(issuer))
		return nil
	}
	return b.add(n, condition{kind: onIssuer, words: []string{issuer}, text: "issuer " + issuer})
}

func (b *builder) maxAge(n *yaml.Node) []string {
	d, ok := b.duration(n, "`max_age:`")
	if !ok {
		return nil
	}
	return b.add(n, condition{kind: onMaxAge, maxAge: d, text: "max_age " + n.Value})
}

func (b *builder) acr(n *yaml.Node) []string {
	var classes []string
	for _, item := range b.words(n, "`acr:`") {
		if item.Value == "" {
			b.report(item, idCondition, "", "an acr: must not be empty")
			return nil
		}
		classes = append(classes, item.Value)
	}
	if len(classes) == 0 {
		return nil
	}
	return b.add(n, condition{kind: onACR, words: classes, text: "acr " + strings.Join(classes, " or ")})
}

// duration reads a positive Go duration.
func (r *reader) duration(n *yaml.Node, what string) (time.Duration, bool) {
	const hint = "write it with its unit, as in 90s, 15m or 1h30m"
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		r.report(n, idDuration, hint, "%s must be a duration, not %s", what, describe(n))
		return 0, false
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil || d <= 0 {
		r.report(n, idDuration, hint, "%s must be a positive duration, not %s", what, quoted(n.Value))
		return 0, false
	}
	return d, true
}

func (b *builder) claims(n *yaml.Node) (parts []string) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		b.report(n, idClaim, "name a claim, or remove the key", "`claims:` asks for nothing")
	}
	for _, e := range b.entries(n, "`claims:`") {
		c := condition{kind: onClaim, claim: e.key.Value}
		if e.key.Value == "" || len(e.key.Value) > maxClaimBytes {
			b.report(e.key, idClaim, "", "the name of a claim has 1 to %d bytes", maxClaimBytes)
			continue
		}
		nodes := []*yaml.Node{e.value}
		if e.value.Kind == yaml.SequenceNode {
			nodes = e.value.Content
		}
		if len(nodes) == 0 {
			b.report(e.value, idClaim, "list a value, or remove the claim", "an empty list accepts nothing")
			continue
		}
		var texts []string
		for _, v := range nodes {
			if a, ok := b.accepted(v); ok {
				c.values = append(c.values, a)
				texts = append(texts, v.Value)
			}
		}
		if len(c.values) == len(nodes) {
			c.text = "claim " + c.claim + " = " + strings.Join(texts, " or ")
			parts = append(parts, b.add(e.key, c)...)
		}
	}
	return parts
}

// accepted reads one value that a claim may have.
func (b *builder) accepted(n *yaml.Node) (a accepted, ok bool) {
	a.segment = -1
	if n.Kind != yaml.ScalarNode {
		b.report(n, idClaim, "list the values one by one", "a claim is compared with a text, a number or a boolean, not %s", describe(n))
		return a, false
	}
	switch n.ShortTag() {
	case "!!str":
		return b.acceptedText(n)
	case "!!bool":
		a.text = strings.ToLower(n.Value)
		return a, b.unmistakable(n)
	case "!!int":
		a.text = n.Value
		if isPlainInteger(n.Value) {
			return a, true
		}
	}
	b.report(n, idClaim, "write an integer without leading zeros, a boolean, or a quoted text",
		"no claim compares equal to %s", describe(n))
	return a, false
}

func (b *builder) acceptedText(n *yaml.Node) (a accepted, ok bool) {
	a.segment = -1
	if !b.unmistakable(n) {
		return a, false
	}
	if n.Value == "" {
		b.report(n, idClaim, "name a value", "an empty claim never matches")
		return a, false
	}
	name, braced := strings.CutPrefix(n.Value, "{")
	if name, ends := strings.CutSuffix(name, "}"); braced && ends {
		a.segment = b.route.pattern.segmentOf(name)
		if a.segment < 0 {
			hint := "the path has no {name} segment"
			if names := b.route.pattern.names(); len(names) > 0 {
				hint = "the path has: {" + strings.Join(names, "}, {") + "}"
			}
			b.report(n, idClaim, hint, "the path %s has no segment %s", b.route.Template(), quoted(n.Value))
			return a, false
		}
		return a, true
	}
	if strings.ContainsAny(n.Value, "{}") {
		b.report(n, idClaim, "a segment of the path stands alone: \"{name}\"", "%s is neither a text nor a segment of the path", quoted(n.Value))
		return a, false
	}
	a.text = n.Value
	return a, true
}

// add numbers a condition, once for equal ones, and puts it into the formula.
func (b *builder) add(n *yaml.Node, c condition) []string {
	c.line, c.column = n.Line, n.Column
	rule := b.rule
	for i := range rule.conditions {
		if rule.conditions[i].kind == c.kind && rule.conditions[i].sameAs(&c) {
			rule.formula.leaf(opCondition, i)
			return []string{c.text}
		}
	}
	if len(rule.conditions) == maxConditions {
		b.report(n, idTooMany, "split the path into several", "more than %d conditions in one rule", maxConditions)
		return nil
	}
	i := len(rule.conditions)
	rule.conditions = append(rule.conditions, c)
	if c.kind == onClaim || c.kind == onIssuer {
		rule.claimBits |= 1 << i
	} else {
		rule.stepBits |= 1 << i
	}
	rule.formula.leaf(opCondition, i)
	return []string{c.text}
}
