package policy

import "strings"

// Claim reads a claim by its name as `claims:` spells it: the claim of the
// whole name, else a path with dots into objects; nil when it is absent. It
// allocates nothing.
func Claim(claims map[string]any, name string) any {
	value, _ := lookup(claims, name)
	return value
}

// Hint names the template of the route that a request without a route may have
// meant: the same path with a trailing slash, or without it. "" when there is
// none, or when the path has a route after all.
func (p *Policy) Hint(req *Request) string {
	if p.root.find(req.Path) != nil {
		return ""
	}
	near := req.Path + "/"
	if trimmed, ok := strings.CutSuffix(req.Path, "/"); ok {
		near = trimmed
	}
	if near == "" {
		return ""
	}
	r := p.root.find(near)
	if r == nil {
		return ""
	}
	return r.Template()
}
