package account

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Signup is what somebody says about themself and their organization.
type Signup struct {
	Username     string
	Password     string
	PrimaryEmail string
	OrgName      string
	Domain       string  // free text
	OrgType      OrgType // empty means Teams
	MFAEnabled   bool    // refused as long as there is no second factor
}

// SignedUp names what a signup made.
type SignedUp struct {
	UserID UserID
	OrgID  OrgID
}

// SignupAllowed is nil where anybody may sign up, and ErrSignupClosed otherwise.
// Invitations do not exist yet, so the mode "invite" lets nobody in.
func (s *Service) SignupAllowed() error {
	if s.cfg.Signup == SignupOpen {
		return nil
	}
	return refuse(ErrSignupClosed, "Signup is closed; invitations are not available yet")
}

// Signup makes an organization with its system roles, and a first user who is
// its owner. peer is the address that asks. Errors: *InvalidError,
// ErrSignupClosed, ErrThrottled, ErrBusy, ErrUsernameTaken.
func (s *Service) Signup(ctx context.Context, peer netip.Addr, in Signup) (SignedUp, error) {
	if err := s.SignupAllowed(); err != nil {
		return SignedUp{}, err
	}
	if err := invalid(s.SignupFaults(in)); err != nil {
		return SignedUp{}, err
	}
	if in.OrgType == "" {
		in.OrgType = Teams
	}
	if wait := s.bySignup.take(address(peer)); wait > 0 {
		return SignedUp{}, throttled(wait)
	}
	if err := s.checkFree(ctx, in.Username); err != nil {
		return SignedUp{}, err
	}
	phc, err := s.passwords.hash(ctx, network(peer), in.Password)
	if err != nil {
		return SignedUp{}, err
	}
	org := Org{ID: OrgID(NewID()), Name: in.OrgName, Domain: in.Domain, Type: in.OrgType, CreatedAt: time.Now()}
	user := User{ID: UserID(NewID()), OrgID: org.ID, Username: in.Username, PrimaryEmail: in.PrimaryEmail,
		Active: true, CreatedAt: org.CreatedAt}
	err = s.store.Update(ctx, func(tx Tx) error { return found(ctx, tx, org, user, phc) })
	if errors.Is(err, ErrUsernameTaken) {
		return SignedUp{}, refuse(ErrUsernameTaken, "Username is already taken")
	}
	if err != nil {
		return SignedUp{}, err
	}
	return SignedUp{UserID: user.ID, OrgID: org.ID}, nil
}

// checkFree spares the hashing when the name is taken anyway. That a name is
// taken is no secret of signup; the insert decides for good.
func (s *Service) checkFree(ctx context.Context, username string) error {
	return s.store.View(ctx, func(tx Tx) error {
		_, err := tx.Credential(ctx, username)
		switch {
		case errors.Is(err, ErrUserNotFound):
			return nil
		case err != nil:
			return err
		}
		return refuse(ErrUsernameTaken, "Username is already taken")
	})
}

// found writes a new organization: its row, the built-in entitlements, the
// system roles with their permissions, and the owner.
func found(ctx context.Context, tx Tx, org Org, owner User, phc string) error {
	by := Stamp{At: org.CreatedAt, By: owner.ID}
	if err := tx.InsertOrg(ctx, org); err != nil {
		return err
	}
	if err := tx.InsertUser(ctx, owner, phc, by); err != nil {
		return err
	}
	builtin, err := tx.BuiltinPermissions(ctx)
	if err != nil {
		return err
	}
	for _, p := range builtin {
		if err := tx.Entitle(ctx, org.ID, p, FromSystem, by); err != nil {
			return err
		}
	}
	for _, kind := range []Builtin{Owner, Admin, Member} {
		id, err := tx.InsertRole(ctx, Role{OrgID: org.ID, Name: string(kind), Type: SystemRole, Builtin: kind}, by)
		if err != nil {
			return err
		}
		for _, p := range builtin {
			if !bornWith(kind, p) {
				continue
			}
			if err := tx.AttachPermission(ctx, org.ID, id, p.ID, by); err != nil {
				return err
			}
		}
		if kind != Owner {
			continue
		}
		if err := tx.AssignRole(ctx, org.ID, owner.ID, id, by); err != nil {
			return err
		}
	}
	return nil
}

// bornWith says which built-in permissions a system role starts with: an owner
// all; an admin the users, and a look at roles and permissions; a user a look
// at users.
func bornWith(kind Builtin, p Permission) bool {
	switch kind {
	case Owner:
		return true
	case Admin:
		return p.Resource == "user" || p.Action == "read"
	case Member:
		return p.Resource == "user" && p.Action == "read"
	}
	return false
}
