package policy

// IssuerUse is one `issuer:` condition: the URL that it names, and where it stands.
type IssuerUse struct {
	Issuer       string
	File         string
	Line, Column int
}

// Issuers lists every `issuer:` condition, by route and rule. Whoever loads a policy beside a
// configuration of issuers can tell the ones that no token could ever fulfil.
func (p *Policy) Issuers() []IssuerUse {
	var out []IssuerUse
	for _, route := range p.routes {
		for _, rule := range route.rules {
			for _, c := range rule.conditions {
				if c.kind == onIssuer {
					out = append(out, IssuerUse{c.words[0], route.file, c.line, c.column})
				}
			}
		}
	}
	return out
}
