package sidecar

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// mostChanges bounds what is said of one policy. gateway diff says all.
const mostChanges = 5

// widening is what a policy lets somebody do whom the one before it does not, or may let.
type widening struct {
	service, file string
	old, hash     string   // the two policies' hashes
	changes       []string // with their witnesses, proven ones first
	more          int      // changes beyond these
	proven        bool     // a witness shows it; else it could not be ruled out
}

// widen compares the policy of c with the one before it; nil means that nobody may do more. Once
// stop is true, what has not been looked at counts as a widening.
func widen(c *Service, before *policy.Policy, stop func() bool) *widening {
	if before.Hash() == c.Policy.Hash() {
		return nil
	}
	found := policy.CompareUntil(before, c.Policy, stop)
	if !found.MayWiden() {
		return nil
	}
	w := &widening{service: c.Policy.Service(), file: c.PolicyFile, old: before.Hash(), hash: c.Policy.Hash(), proven: found.NewAccess()}
	for i := range found.Changes {
		switch change := &found.Changes[i]; {
		case !change.Kind.Widens():
		case len(w.changes) == mostChanges:
			w.more++
		default:
			w.changes = append(w.changes, clip(changeText(change), maxLogged))
		}
	}
	return w
}

// predecessor finds the service of before whose place c takes, -1 if there is none: by what
// gateway.yaml says of it first, since a policy must not choose with which one it is compared.
func predecessor(c *Service, before []Service) int {
	for _, same := range []func(*Service) bool{
		func(had *Service) bool { return slices.Equal(had.Hosts, c.Hosts) },
		func(had *Service) bool { return had.PolicyFile == c.PolicyFile },
		func(had *Service) bool { return had.Policy.Service() == c.Policy.Service() },
	} {
		for i := range before {
			if same(&before[i]) {
				return i
			}
		}
	}
	return -1
}

// changeText is one change with the request and the caller that show it.
func changeText(x *policy.Change) string {
	if x.Received.Method == "" {
		return x.Kind.String() + ": the policies are too large to be compared here"
	}
	text := fmt.Sprintf("%s: %s %s", x.Kind, x.Received.Method, x.Received.Target)
	if x.Upgrade != "" {
		text += " switching to " + x.Upgrade
	}
	if x.Exception != 0 {
		text += " breaking the guard's rule " + x.Exception.String()
	}
	if x.Who != nil {
		text += callerText(x.Who)
	}
	if rule := x.New.Rule; rule != nil {
		text += fmt.Sprintf(", by %s: %s", rule.Position(), rule.Requirement())
	}
	return text
}

// callerText is the caller of a witness.
func callerText(p *policy.Persona) string {
	if p.Anonymous {
		return " without a token"
	}
	with := []string{"no scope"}
	if len(p.Scopes) > 0 {
		with[0] = "only " + strings.Join(p.Scopes, " ")
	}
	if len(p.Claims) > 0 {
		claims, _ := json.Marshal(p.Claims) // a tree of JSON values
		with = append(with, "claims "+string(claims))
	}
	if p.Issuer != "" {
		with = append(with, "issuer "+p.Issuer)
	}
	if p.ACR != "" {
		with = append(with, "acr "+p.ACR)
	}
	if p.AuthAgeKnown {
		with = append(with, "a login "+p.AuthAge.String()+" ago")
	}
	return " with a token with " + strings.Join(with, ", ")
}
