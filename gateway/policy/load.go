package policy

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds on what a policy may hold.
const (
	maxRoutes       = 100_000
	maxScopes       = 10_000 // what they imply takes their square in bits
	maxScopeBytes   = 256
	maxServiceBytes = 64
	maxClaimBytes   = 256
)

// Load parses and compiles a policy file. file is the name that findings and
// decisions use for it.
//
// All faults of the file come back at once, sorted by line. The policy is nil
// when any finding is an error; warnings come along with a usable one.
func Load(file string, src []byte) (*Policy, Findings) {
	r := &reader{file: file}
	root := r.document(src)
	if root == nil {
		r.found.sort()
		return nil, r.found
	}
	p, declared := r.policy(root)
	p.hash = hashOf(src)
	if !r.found.HasErrors() {
		r.lint(p, declared)
	}
	r.found.sort()
	if r.found.HasErrors() {
		return nil, r.found
	}
	p.warnings = r.found
	return p, r.found
}

// policy builds the policy, and returns where each scope is declared.
func (r *reader) policy(root *yaml.Node) (*Policy, map[string]*yaml.Node) {
	f := r.fields(root, "the policy", "version", "service", "scopes", "routes", "personas")
	if root.Kind == yaml.MappingNode {
		for _, key := range []string{"version", "service", "routes"} {
			if f[key] == nil && !hasKey(root, key) {
				r.report(root, idMissingKey, "add `"+key+":`", "`%s:` is missing", key)
			}
		}
	}
	r.version(f["version"])
	p := &Policy{file: r.file, root: &node{}, service: r.service(f["service"])}
	declared := r.vocabulary(p, f["scopes"])
	r.routes(p, f["routes"])
	r.personas(p, f["personas"])
	return p, declared
}

// hasKey reports whether the mapping has the key, be its value good or not.
func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func (r *reader) version(n *yaml.Node) {
	if n == nil {
		return
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Value != "1" {
		r.report(n, idVersion, "write `version: 1`", "the version of the language must be 1, not %s", describe(n))
	}
}

// service reads the name that stands in metrics, logs and challenges.
func (r *reader) service(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	name, ok := r.text(n, "`service:`")
	if ok && !isServiceName(name) {
		r.report(n, idService, "use letters, digits, - _ and . and begin with a letter",
			"%s cannot name a service", quoted(name))
	}
	return name
}

// ValidService reports whether a name can stand at `service:`.
func ValidService(name string) bool { return isServiceName(name) }

func isServiceName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= maxServiceBytes
}

// vocabulary reads `scopes:` into p and returns where each scope stands.
func (r *reader) vocabulary(p *Policy, n *yaml.Node) map[string]*yaml.Node {
	v := &vocabulary{index: map[string]int{}}
	p.vocabulary = v
	var declared []entry
	if n != nil {
		for _, e := range r.entries(n, "`scopes:`") {
			if r.scopeName(e.key) {
				declared = append(declared, e)
			}
		}
	}
	if len(declared) > maxScopes {
		r.report(n, idTooMany, "", "more than %d scopes", maxScopes)
		declared = declared[:maxScopes]
	}
	slices.SortFunc(declared, func(a, b entry) int { return strings.Compare(a.key.Value, b.key.Value) })
	where := map[string]*yaml.Node{}
	for i, e := range declared {
		v.words = append(v.words, e.key.Value)
		v.index[e.key.Value] = i
		where[e.key.Value] = e.key
		p.lines = append(p.lines, e.key.Line)
	}
	p.abouts = make([]string, len(declared))
	implied := make([][]implication, len(declared))
	for i, e := range declared {
		p.abouts[i], implied[i] = r.scope(v, e)
	}
	r.close(v, implied)
	return where
}

// implication is one word of an `implies:`, where it stands.
type implication struct {
	to int
	at *yaml.Node
}

// CheckScope says what keeps a word from being declared below `scopes:`, and the cure where there
// is one; "" when nothing does.
func CheckScope(name string) (fault, hint string) {
	r := reader{}
	if r.scopeName(&yaml.Node{Value: name}) {
		return "", ""
	}
	return r.found[0].Message, r.found[0].Hint
}

// scopeName checks a declared name against RFC 6749 section 3.3.
func (r *reader) scopeName(n *yaml.Node) bool {
	name := n.Value
	switch {
	case name == "public" || name == "authenticated" || name == "nobody":
		r.report(n, idScopeName, "choose another name", "%q is a word of the language and no scope", name)
		return false
	case len(name) > maxScopeBytes:
		r.report(n, idScopeName, "", "the scope has %d bytes, more than %d", len(name), maxScopeBytes)
		return false
	case !isScopeToken(name):
		r.report(n, idScopeName, `use visible ASCII without space, " and \`, "%s is not a scope-token (RFC 6749 section 3.3)", quoted(name))
		return false
	}
	return true
}

func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// scope reads one entry of `scopes:`: a description, or a mapping.
func (r *reader) scope(v *vocabulary, e entry) (about string, implied []implication) {
	what := "the scope " + e.key.Value
	if e.value.Kind != yaml.MappingNode {
		about, _ = r.text(e.value, what)
		return about, nil
	}
	f := r.fields(e.value, what, "about", "implies")
	if n := f["about"]; n != nil {
		about, _ = r.text(n, "`about:`")
	}
	if n := f["implies"]; n != nil {
		for _, word := range r.words(n, "`implies:`") {
			if to, ok := r.declared(v, word); ok {
				implied = append(implied, implication{to, word})
				r.crossing(e.key.Value, word)
			}
		}
	}
	return about, implied
}

// declared looks a word up in the vocabulary.
func (r *reader) declared(v *vocabulary, n *yaml.Node) (int, bool) {
	i, ok := v.index[n.Value]
	if !ok {
		hint := r.didYouMean(n.Value, v.words)
		if hint == "" {
			hint = "declare it under `scopes:`"
		}
		r.report(n, idUndeclared, hint, "the scope %s is not declared", quoted(n.Value))
	}
	return i, ok
}

// crossing warns when one service's scope stands for another's: whoever grants
// the first then gives away the second, which is not theirs.
func (r *reader) crossing(from string, to *yaml.Node) {
	a, _, dotted := strings.Cut(from, ".")
	b, _, alsoDotted := strings.Cut(to.Value, ".")
	if dotted && alsoDotted && a != b {
		r.report(to, idForeignImplies, "let each service's scopes imply its own only",
			"%s implies %s, which belongs to another service", from, to.Value)
	}
}

// close computes what each word stands for in the end, and reports circles.
func (r *reader) close(v *vocabulary, implied [][]implication) {
	v.closures = make([]bitset, len(v.words))
	const (
		untouched = iota
		open
		done
	)
	state := make([]uint8, len(v.words))
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		if len(implied[i]) > 0 {
			all := newBitset(len(v.words))
			all.set(i)
			for _, im := range implied[i] {
				switch state[im.to] {
				case open:
					r.report(im.at, idCircle, "take one of the implications out",
						"%s implies %s, which implies %s again", v.words[i], im.at.Value, v.words[i])
					continue
				case untouched:
					visit(im.to)
				}
				all.add(v.closure(im.to))
			}
			v.closures[i] = all
		}
		state[i] = done
	}
	for i := range v.words {
		if state[i] == untouched {
			visit(i)
		}
	}
}

// routes reads `routes:` and builds the index.
func (r *reader) routes(p *Policy, n *yaml.Node) {
	if n == nil {
		return
	}
	entries := r.entries(n, "`routes:`")
	if len(entries) > maxRoutes {
		r.report(n, idTooMany, "", "more than %d routes", maxRoutes)
		entries = entries[:maxRoutes]
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r.report(n, idNoMethods, "a service without routes answers every request with 404", "`routes:` lists no path")
	}
	claims := map[string]bool{}
	p.methods = map[string]bool{}
	for _, e := range entries {
		route := r.route(p, e)
		if route == nil {
			continue
		}
		if same := p.root.insert(route); same != nil {
			r.report(e.key, idSameShape, "keep one of them",
				"%s matches the same paths as %s in line %d", route.Template(), same.Template(), same.line)
			continue
		}
		p.routes = append(p.routes, route)
		for _, rule := range route.rules {
			if rule != route.any {
				p.methods[rule.method] = true
				p.methods["HEAD"] = p.methods["HEAD"] || rule.method == "GET"
			}
			p.tokens = p.tokens || rule.access == byRequirement
			for _, c := range rule.conditions {
				if c.kind == onClaim {
					claims[c.claim] = true
				}
			}
		}
	}
	p.root.measure()
	slices.SortFunc(p.routes, func(a, b *Route) int { return strings.Compare(a.Template(), b.Template()) })
	for name := range claims {
		p.claims = append(p.claims, name)
	}
	slices.Sort(p.claims)
}

func (r *reader) route(p *Policy, e entry) *Route {
	pattern, fault, hint := parsePattern(e.key.Value)
	if fault != "" {
		r.report(e.key, idPattern, hint, "%s is not a path pattern: %s", quoted(e.key.Value), fault)
		pattern = patternForChecks(e.key.Value)
	}
	route := &Route{pattern: pattern, file: r.file, line: e.key.Line, column: e.key.Column}
	for _, m := range r.entries(e.value, "the path "+e.key.Value) {
		r.routeKey(p, route, m)
	}
	if e.value.Kind == yaml.MappingNode && len(route.rules) == 0 && !mayBeMethod(e.value) {
		r.report(e.key, idNoMethods, "add a method, such as `GET: authenticated`", "the path %s lists no method", e.key.Value)
	}
	if fault != "" {
		return nil
	}
	if rule := pattern.unreachable(route.accepts); rule != "" {
		r.report(e.key, idPattern, "no request with such a path is let through; see accept: in the documentation",
			"no request can match %s: it breaks the guard's rule %s", e.key.Value, rule)
		return nil
	}
	route.finish()
	return route
}

// patternForChecks stands in for a pattern that is at fault, so that the rules
// below it are checked all the same; its names may be referred to.
func patternForChecks(template string) pattern {
	p := pattern{template: template}
	for part := range strings.SplitSeq(template, "/") {
		if s, fault, _ := parseSegment(part, false); fault == "" {
			p.segments = append(p.segments, s)
		}
	}
	return p
}

// mayBeMethod: a key that was refused as a method is reported as that, and not
// a second time as a missing one.
func mayBeMethod(n *yaml.Node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i].Value; k != "accept" && k != "upgrade" {
			return true
		}
	}
	return false
}

// routeKey reads one key below a path: accept, upgrade or a method.
func (r *reader) routeKey(p *Policy, route *Route, e entry) {
	switch key := e.key.Value; {
	case key == "accept":
		r.accept(route, e.value)
	case key == "upgrade":
		r.upgrade(route, e.value)
	case !methodToken(key):
		r.unknownMethod(e.key)
	case neverServed(key):
		r.report(e.key, idMethod, "remove it", "%s is never let through", key)
	default:
		rule := &Rule{route: route, method: key, line: e.key.Line, column: e.key.Column,
			position: r.file + ":" + strconv.Itoa(e.key.Line)}
		b := builder{reader: r, vocabulary: p.vocabulary, route: route, rule: rule}
		b.requirement(e.value)
		route.rules = append(route.rules, rule)
		if key == "ANY" {
			route.any = rule
		}
	}
}

func (r *reader) unknownMethod(key *yaml.Node) {
	upper := strings.ToUpper(key.Value)
	switch {
	case slices.Contains([]string{"any", "all", "claims", "max_age", "acr", "issuer"}, key.Value):
		r.report(key, idMethod, "put it below a method: `GET: { "+key.Value+": … }`, or `ANY:` for every method",
			"%q stands where a method should be", key.Value)
	case suggest(key.Value, []string{"accept", "upgrade"}) != "":
		r.report(key, idUnknownKey, r.didYouMean(key.Value, []string{"accept", "upgrade"}), "unknown key %q below a path", key.Value)
	case key.Value == "*":
		r.report(key, idMethod, "write ANY", "%q is not a method", key.Value)
	case methodToken(upper):
		r.report(key, idMethod, "write "+upper, "methods are upper-case; %q is not", key.Value)
	default:
		r.report(key, idMethod, "a method is 1 to 32 of A-Z, - and _", "%s is not a method", quoted(key.Value))
	}
}

func (r *reader) accept(route *Route, n *yaml.Node) {
	names := Waivable.Names()
	for _, item := range r.list(n, "`accept:`") {
		rule, known := GuardRuleNamed(item.Value)
		switch {
		case known && rule.Waivable():
			route.accepts |= RuleSet(rule)
		case known:
			r.report(item, idAccept, "possible are: "+strings.Join(names, ", "), "nothing waives the guard's rule %s", item.Value)
		default:
			hint := r.didYouMean(item.Value, names)
			if hint == "" {
				hint = "possible are: " + strings.Join(names, ", ")
			}
			r.report(item, idAccept, hint, "the guard has no rule %s", quoted(item.Value))
		}
	}
}

func (r *reader) upgrade(route *Route, n *yaml.Node) {
	for _, item := range r.list(n, "`upgrade:`") {
		if item.Value != "websocket" {
			r.report(item, idUpgrade, "write [websocket], or remove the key", "%s is never switched to", quoted(item.Value))
			continue
		}
		route.upgrades = append(route.upgrades, item.Value)
	}
}

// clip shortens a text from the file for a message.
func clip(s string, longest int) string {
	if len(s) <= longest {
		return s
	}
	for longest > 0 && !utf8.RuneStart(s[longest]) {
		longest--
	}
	return s[:longest] + "…"
}
