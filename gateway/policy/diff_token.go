package policy

import (
	"cmp"
	"slices"
)

// What a token can be, and the token that shows a difference.

// possible is true of the sets of atoms that a token can have.
func (q *inquiry) possible() function {
	all := q.and(q.atMostOne(q.ofKind(issuerIs)), q.atMostOne(q.ofKind(acrIs)))
	ages := q.ofKind(ageWithin)
	slices.SortFunc(ages, func(a, b int32) int { return cmp.Compare(q.atoms[a].age, q.atoms[b].age) })
	for i := 1; i < len(ages); i++ {
		all = q.and(all, q.implies(ages[i-1], ages[i]))
	}
	return q.and(all, q.sameClaims())
}

// sameClaims ties a token's issuer and class to its claims iss and acr, where
// rules look at both. The issuer is a single text. An acr that is an array is no
// class, so a value of the claim alone does not make it the class.
func (q *inquiry) sameClaims() function {
	all := always
	for _, c := range q.ofKind(claimHas) {
		claim := q.atoms[c]
		kind, tied := map[string]atomKind{"iss": issuerIs, "acr": acrIs}[claim.name]
		if !tied {
			continue
		}
		for _, f := range q.ofKind(kind) {
			switch equal := q.atoms[f].value == claim.value; {
			case !equal:
				all = q.and(all, q.notBoth(f, c))
			case kind == issuerIs:
				all = q.and(all, q.and(q.implies(f, c), q.implies(c, f)))
			default:
				all = q.and(all, q.implies(f, c))
			}
		}
		for _, o := range q.ofKind(claimHas) {
			if kind == issuerIs && o < c && q.atoms[o].name == "iss" {
				all = q.and(all, q.notBoth(o, c))
			}
		}
	}
	return all
}

// ofKind lists the atoms of a kind, ascending.
func (q *inquiry) ofKind(kind atomKind) (out []int32) {
	for n, a := range q.atoms {
		if a.kind == kind {
			out = append(out, int32(n))
		}
	}
	return out
}

func (q *inquiry) is(atom int32) function { return q.any([]int32{atom}) }

func (q *inquiry) implies(a, b int32) function { return q.or(q.andNot(always, q.is(a)), q.is(b)) }

func (q *inquiry) notBoth(a, b int32) function {
	return q.andNot(always, q.and(q.is(a), q.is(b)))
}

// persona is the token of which the atoms are true, and no others.
func (q *inquiry) persona(atoms []int32) *Persona {
	p := &Persona{Scopes: []string{}}
	for _, n := range atoms {
		switch a := q.atoms[n]; a.kind {
		case listsWord:
			p.Scopes = append(p.Scopes, a.name)
		case issuerIs:
			p.Issuer = a.value
		case acrIs:
			p.ACR = a.value
		case ageWithin:
			if !p.AuthAgeKnown || a.age < p.AuthAge {
				p.AuthAge, p.AuthAgeKnown = a.age, true
			}
		default:
			p.addClaim(a.name, a.value)
		}
	}
	slices.Sort(p.Scopes)
	if value, ok := p.Claims["acr"].(string); ok && p.ACR == "" {
		p.Claims["acr"] = []any{value} // see sameClaims
	}
	return p
}

// addClaim gives the persona a claim; one that it has already becomes an array.
func (persona *Persona) addClaim(name, value string) {
	if persona.Claims == nil {
		persona.Claims = map[string]any{}
	}
	switch old := persona.Claims[name].(type) {
	case nil:
		persona.Claims[name] = value
	case []any:
		persona.Claims[name] = append(old, value)
	default:
		persona.Claims[name] = []any{old, value}
	}
}
