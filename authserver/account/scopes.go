package account

import (
	"maps"
	"slices"
)

// scopeSet is a set of scope words.
type scopeSet map[string]struct{}

func newScopeSet(words []string) scopeSet {
	set := make(scopeSet, len(words))
	for _, w := range words {
		set[w] = struct{}{}
	}
	return set
}

func (s scopeSet) has(word string) bool { _, ok := s[word]; return ok }

func (s scopeSet) sorted() []string {
	words := slices.AppendSeq(make([]string, 0, len(s)), maps.Keys(s))
	slices.Sort(words)
	return words
}

// issue is the rule of which scopes a user of org may be given: the permissions
// attached to the user's roles, and for each "all" among them the siblings on
// its resource; of both only what the organization is entitled to. A grant of
// "all" therefore reaches the granted actions and no other.
func issue(org OrgID, attached, siblings []Entitlement) scopeSet {
	scopes := scopeSet{}
	type resource struct{ service, name string }
	whole := map[resource]bool{}
	for _, e := range attached {
		if !usable(org, e) {
			continue
		}
		scopes[e.Permission.Slug()] = struct{}{}
		if e.Permission.All() {
			whole[resource{e.Permission.Service, e.Permission.Resource}] = true
		}
	}
	for _, e := range siblings {
		if usable(org, e) && whole[resource{e.Permission.Service, e.Permission.Resource}] {
			scopes[e.Permission.Slug()] = struct{}{}
		}
	}
	return scopes
}

// usable is the invariant: a scope S.r.a is issued only where the organization
// owns S now or was granted exactly S.r.a. The schema says the same; it is said
// again here because every token of every service hangs on it.
func usable(org OrgID, e Entitlement) bool {
	switch e.Source {
	case FromOwner:
		return org != "" && e.Permission.OrgID == org
	case FromGrant:
		return e.Permission.Service != authService
	case FromSystem:
		return e.Permission.Service == authService && e.Permission.OrgID == ""
	}
	return false
}

// narrow keeps those of the held scopes that were asked for. Both the order and
// the absence of repeats come from held.
func narrow(held, asked []string) []string {
	want := newScopeSet(asked)
	return slices.DeleteFunc(slices.Clone(held), func(word string) bool { return !want.has(word) })
}
