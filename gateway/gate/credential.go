package gate

import (
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// credential finds the one access token of the request: RFC 6750 section 2.1,
// and nothing else. Section 2 forbids more than one way at a time, since two
// readers might then believe two tokens. found tells that there is a Bearer
// credential, whatever is wrong with it; route is what may accept an
// access_token in the query beside it, nil for none.
func (x *Exchange) credential(route *policy.Route) (raw string, found bool, err error) {
	values := x.in.Header.Values("Authorization")
	if len(values) > 1 {
		return "", false, refused(ReasonTokenAmbiguous)
	}
	if len(values) == 0 {
		return "", false, refused(ReasonTokenMissing)
	}
	raw, found = bearer(values[0])
	if !found {
		return "", false, refused(ReasonTokenMissing)
	}
	if x.request.QueryToken && !acceptsQueryToken(route) {
		return "", true, refused(ReasonTokenAmbiguous)
	}
	return raw, true, nil
}

// acceptsQueryToken: a route may say that its access_token parameter is no
// credential.
func acceptsQueryToken(route *policy.Route) bool {
	return route != nil && route.Accepts(policy.RuleQueryToken)
}

// bearer cuts the token out of an Authorization value; ok is false for every
// other scheme. Scheme names are case-insensitive (RFC 9110 section 11.1).
func bearer(value string) (raw string, ok bool) {
	const scheme = "bearer"
	value = strings.Trim(value, " \t")
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	rest := value[len(scheme):]
	if rest == "" {
		return "", true
	}
	raw = strings.TrimLeft(rest, " ")
	return raw, len(raw) < len(rest)
}
