package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/scopegate/scopegate/gateway/policy"
)

// demand is what an operation asks of a caller, in the words of the policy language.
type demand struct {
	need policy.Need
	// unsaid tells that the operation asks for more than the language can say; the need is nobody,
	// or what is left of the alternatives.
	unsaid bool
	note   string    // why, for a reader of the draft
	place  Place     // of the `security:` that says so
	scopes []declare // every scope that a way asks for
}

// declare is a scope and the scheme by which it is asked for.
type declare struct{ scope, scheme string }

// secure reads the security of an operation: its own, or else the document's.
func (im *importer) secure(o *operation) demand {
	where, own := im.doc.field(o.op.Origin, "security")
	if o.op.Security != nil {
		return im.alternatives(*o.op.Security, where)
	}
	if own {
		return im.nothingSaid(where)
	}
	where, written := im.doc.field(im.doc.tree.Origin, "security")
	if im.doc.tree.Security != nil {
		return im.alternatives(im.doc.tree.Security, where)
	}
	if written {
		return im.nothingSaid(where)
	}
	im.unsecured++
	return demand{need: policy.Need{Word: im.options.Unsecured}, note: "the document says nothing about who may", place: o.place,
		unsaid: im.options.Unsecured == wordNobody}
}

// nothingSaid is `security:` without a value: null is no list, and an empty list means public.
func (im *importer) nothingSaid(where Place) demand {
	im.reportOnce(where, idMalformed, "write `security: []` where no token is asked for, or what is",
		"`security:` without a value: what it stands for is closed")
	return demand{need: policy.Need{Word: wordNobody}, unsaid: true, note: "`security:` has no value", place: where}
}

// alternatives reads a list of security requirements, of which any one does.
func (im *importer) alternatives(list openapi3.SecurityRequirements, where Place) demand {
	out := demand{place: where}
	if len(list) == 0 {
		out.need.Word = wordPublic
		return out
	}
	var unsaid []string
	for _, one := range list {
		way, why := im.way(one, where, &out)
		switch {
		case why != "":
			out.unsaid = true
			unsaid = append(unsaid, why)
		case len(one) == 0:
			out.need = policy.Need{Word: wordPublic}
		case out.need.Word == wordPublic:
		case len(way) == 0:
			out.need = policy.Need{Word: wordAuthenticated}
		case out.need.Word == "":
			out.need.Ways = append(out.need.Ways, way)
		}
	}
	out.need.Ways = leastWays(out.need.Ways)
	if out.need.Word == "" && out.need.Ways == nil {
		out.need.Word = wordNobody
	}
	switch {
	case out.need.Word == wordPublic:
		out.unsaid = false // nothing is asked for, whatever else would do
	case out.need.Word == wordNobody:
		out.note = "the document asks for " + strings.Join(unsaid, " or ")
	case out.unsaid:
		out.note = "the document also takes " + strings.Join(unsaid, " or ")
	}
	return out
}

// way reads one requirement: all of its schemes at once, which here is one token with all their
// scopes. why tells why nobody can fulfil it here, "" when somebody can.
func (im *importer) way(one openapi3.SecurityRequirement, where Place, out *demand) (way []string, why string) {
	if one == nil {
		im.reportOnce(where, idMalformed, "write {} where no token is asked for, or a scheme", "an empty entry in `security:`: nothing fulfils it here")
		return nil, "an empty entry"
	}
	for _, name := range slices.Sorted(maps.Keys(one)) {
		if why = im.unfit(name, where); why != "" {
			return nil, why
		}
		for _, scope := range one[name] {
			if fault, hint := policy.CheckScope(scope); fault != "" {
				im.reportOnce(where, idScope, hint, "the scope %q of the security scheme %s: %s; what asks for it is closed", scope, name, fault)
				return nil, fmt.Sprintf("the scope %q", scope)
			}
			if !slices.Contains(way, scope) {
				way = append(way, scope)
			}
			out.scopes = append(out.scopes, declare{scope, name})
		}
	}
	return way, ""
}

// unfit says why a scheme is not one that the gateway checks, "" when it is: a Bearer token.
func (im *importer) unfit(name string, where Place) string {
	s := im.doc.scheme(name)
	if s == nil {
		im.reportOnce(where, idNoScheme, "declare it under components: securitySchemes:",
			"the document has no security scheme %s; what asks for it is closed", name)
		return name
	}
	if slices.Contains(im.options.Bearer, name) || bearer(s) {
		return ""
	}
	im.unfitSchemes[name]++
	return name
}

func bearer(s *openapi3.SecurityScheme) bool {
	switch s.Type {
	case "oauth2", "openIdConnect":
		return true
	case "http":
		return strings.EqualFold(s.Scheme, "bearer")
	}
	return false
}

// kindOf says in words what a scheme asks for.
func kindOf(s *openapi3.SecurityScheme) string {
	switch s.Type {
	case "apiKey":
		return "an API key in the " + s.In + " " + s.Name
	case "http":
		return "HTTP " + s.Scheme
	case "mutualTLS":
		return "a client certificate"
	}
	return "the type " + s.Type
}

func (d *Document) scheme(name string) *openapi3.SecurityScheme {
	if d.tree.Components == nil {
		return nil
	}
	if ref := d.tree.Components.SecuritySchemes[name]; ref != nil {
		return ref.Value
	}
	return nil
}

// declared lists the scopes that a scheme's flows declare, with what they are for.
func declared(s *openapi3.SecurityScheme) map[string]string {
	out := map[string]string{}
	if s == nil || s.Flows == nil {
		return out
	}
	for _, flow := range []*openapi3.OAuthFlow{s.Flows.AuthorizationCode, s.Flows.ClientCredentials, s.Flows.Implicit, s.Flows.Password} {
		if flow == nil {
			continue
		}
		for scope, about := range flow.Scopes {
			if out[scope] == "" {
				out[scope] = about
			}
		}
	}
	return out
}

// leastWays leaves out each way that asks for no less than another one.
func leastWays(ways [][]string) [][]string {
	var out [][]string
	for i, way := range ways {
		covered := slices.ContainsFunc(ways[:i], func(o []string) bool { return within(o, way) }) ||
			slices.ContainsFunc(ways[i+1:], func(o []string) bool { return within(o, way) && len(o) < len(way) })
		if !covered {
			out = append(out, way)
		}
	}
	return out
}

// within reports whether all of a is in b.
func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
