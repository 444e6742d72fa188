package gate

import (
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// credential finds the one access token of the request: RFC 6750 section 2.1,
// and nothing else. Section 2 forbids more than one way at a time, since two
// readers might then believe two tokens.
func (x *Exchange) credential() (string, error) {
	values := x.in.Header.Values("Authorization")
	if len(values) > 1 {
		return "", refused(ReasonTokenAmbiguous)
	}
	if len(values) == 0 {
		return "", refused(ReasonTokenMissing)
	}
	raw, ok := bearer(values[0])
	if !ok {
		return "", refused(ReasonTokenMissing)
	}
	x.bearer = true
	if x.request.QueryToken && !x.acceptsQueryToken() {
		return "", refused(ReasonTokenAmbiguous)
	}
	return raw, nil
}

// acceptsQueryToken: a route may say that its access_token parameter is no
// credential.
func (x *Exchange) acceptsQueryToken() bool {
	return x.match.Route != nil && x.match.Route.Accepts(policy.RuleQueryToken)
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
