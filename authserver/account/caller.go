package account

import (
	"context"
	"errors"
	"strings"
)

// Identity is what a verified token of this server says about its bearer.
type Identity struct {
	User   UserID
	Org    OrgID
	Scopes []string
}

// Caller is an Identity held against the store: what the bearer may do now. A
// right counts only if the token holds it and the user still does, so a right
// that was taken away is gone at once, and a narrow token stays narrow.
type Caller struct {
	User  User
	Roles []Role
	live  scopeSet // what the user would be issued now
	token scopeSet
}

// Authorize looks an identity up and asks for any one of the scopes given; none
// given asks only for a live user. Errors: ErrUnknownCaller, ErrInactive,
// ErrForbidden. The operations of Service ask again inside their transaction;
// a server calls this first so that a missing right is told before a bad body.
func (s *Service) Authorize(ctx context.Context, id Identity, anyOf ...string) (*Caller, error) {
	var caller *Caller
	err := s.store.View(ctx, func(tx Tx) (err error) {
		caller, err = authorize(ctx, tx, id, anyOf...)
		return err
	})
	return caller, err
}

func authorize(ctx context.Context, tx Tx, id Identity, anyOf ...string) (*Caller, error) {
	live, err := loadLive(ctx, tx, id.Org, id.User)
	if err != nil {
		return nil, err
	}
	caller := &Caller{User: live.user, Roles: live.roles, live: live.scopes, token: newScopeSet(id.Scopes)}
	if len(anyOf) == 0 {
		return caller, nil
	}
	for _, scope := range anyOf {
		if caller.Holds(scope) {
			return caller, nil
		}
	}
	return nil, &Refusal{Reason: ErrForbidden, Detail: "Not enough permissions", Scopes: anyOf}
}

// Holds reports whether the caller holds a scope now, by live rights and by
// token. A token that was narrowed to "all" holds each live action of it.
func (c *Caller) Holds(scope string) bool {
	if !c.live.has(scope) {
		return false
	}
	if c.token.has(scope) {
		return true
	}
	whole := scope[:strings.LastIndexByte(scope, '.')+1] + actionAll
	return c.token.has(whole) && c.live.has(whole)
}

// IsOwner reports whether the caller has the owner role of the organization.
func (c *Caller) IsOwner() bool {
	for _, r := range c.Roles {
		if r.Builtin == Owner {
			return true
		}
	}
	return false
}

// mayHandOut is the delegation rule: what the caller holds now; and for an
// owner everything of the services that the organization owns, which "auth"
// never is. So an owner attaches what was created a moment ago.
func (c *Caller) mayHandOut(p Permission) bool {
	if c.Holds(p.Slug()) {
		return true
	}
	return c.IsOwner() && p.OrgID == c.User.OrgID && p.Service != authService
}

// live is a user as the store has it now.
type live struct {
	user   User
	roles  []Role
	scopes scopeSet
}

func loadLive(ctx context.Context, tx Tx, org OrgID, id UserID) (*live, error) {
	user, err := tx.User(ctx, org, id)
	if errors.Is(err, ErrUserNotFound) {
		return nil, refuse(ErrUnknownCaller, "Could not validate credentials")
	}
	if err != nil {
		return nil, err
	}
	if !user.Active {
		return nil, refuse(ErrInactive, "Inactive user")
	}
	roles, err := tx.UserRoles(ctx, org, id)
	if err != nil {
		return nil, err
	}
	attached, siblings, err := tx.Holdings(ctx, org, id)
	if err != nil {
		return nil, err
	}
	return &live{user: user, roles: roles, scopes: issue(org, attached, siblings)}, nil
}

func (l *live) roleNames() []string {
	names := make([]string, len(l.roles))
	for i, r := range l.roles {
		names[i] = r.Name
	}
	return names
}
