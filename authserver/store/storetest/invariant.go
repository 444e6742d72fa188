package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scopegate/scopegate/authserver/account"
	"pgregory.net/rapid"
)

// invariant lets three organizations do to each other, in any order, whatever
// the rules offer, and keeps its own book of who claimed and granted what. No
// login may ever yield a scope that the book does not allow (the attack:
// claiming the name of somebody else's permission).
func invariant(t *testing.T, open func(t *testing.T) account.Store) {
	s := open(t)
	svc := rules(t, s)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		w := &world{t: t, s: s, svc: svc, owner: map[string]account.OrgID{}, granted: map[string]bool{}}
		for i := range 3 {
			w.members = append(w.members, signup(t, svc, fmt.Sprintf("user%d-%d", round, i)))
		}
		w.suffix = fmt.Sprintf("-%d", round) // names are never free again
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			w.step(r)
		}
		for _, m := range w.members {
			w.check(r, m)
		}
	})
}

type world struct {
	t       *testing.T
	s       account.Store
	svc     *account.Service
	members []member
	suffix  string
	owner   map[string]account.OrgID // service -> who claimed it first
	granted map[string]bool          // org + slug
}

func (w *world) step(r *rapid.T) {
	m := rapid.SampledFrom(w.members).Draw(r, "who")
	other := rapid.SampledFrom(w.members).Draw(r, "whom")
	service := rapid.SampledFrom([]string{"shop", "bank"}).Draw(r, "service") + w.suffix
	action := rapid.SampledFrom([]string{"read", "write", "all"}).Draw(r, "action")
	slug := service + ".thing." + action
	id := login(w.t, w.svc, m)
	ctx := w.t.Context()
	switch rapid.SampledFrom([]string{"create", "create", "attach", "attach", "grant"}).Draw(r, "what") {
	case "create":
		_, err := w.svc.CreatePermission(ctx, id, account.NewPermission{Service: service, Resource: "thing", Action: action})
		if _, known := w.owner[service]; err == nil && !known {
			w.owner[service] = m.org
		}
	case "attach":
		kind := rapid.SampledFrom([]account.Builtin{account.Owner, account.Admin, account.Member}).Draw(r, "role")
		_ = w.svc.AttachPermission(ctx, id, roleOf(w.t, w.s, other.org, kind).ID, slug)
	case "grant":
		if w.svc.GrantPermission(ctx, id, slug, other.org) == nil {
			if w.owner[service] != m.org {
				r.Fatalf("%s granted %s of a service that it does not own", m.name, slug)
			}
			w.granted[string(other.org)+slug] = true
		}
	}
}

func (w *world) check(r *rapid.T, m member) {
	for _, scope := range login(w.t, w.svc, m).Scopes {
		service, _, _ := strings.Cut(scope, ".")
		if service != "auth" && w.owner[service] != m.org && !w.granted[string(m.org)+scope] {
			r.Fatalf("%s was issued %s; the service belongs to %s", m.org, scope, w.owner[service])
		}
	}
}
