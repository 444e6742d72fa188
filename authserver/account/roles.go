package account

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Me is the caller's own user. Needs auth.user.read. Errors: those of Authorize.
func (s *Service) Me(ctx context.Context, id Identity) (User, error) {
	caller, err := s.Authorize(ctx, id, "auth.user.read", "auth.user.all")
	if err != nil {
		return User{}, err
	}
	return caller.User, nil
}

// ListRoles lists the roles of the caller's organization by id. Needs
// auth.role.read. Errors: those of Authorize.
func (s *Service) ListRoles(ctx context.Context, id Identity) ([]Role, error) {
	var roles []Role
	err := s.store.View(ctx, func(tx Tx) error {
		caller, err := authorize(ctx, tx, id, "auth.role.read", "auth.role.all")
		if err != nil {
			return err
		}
		roles, err = tx.Roles(ctx, caller.User.OrgID)
		return err
	})
	return roles, err
}

// AttachPermission adds a permission to a role; both are looked up inside the
// caller's organization. Attaching twice is no error. Needs auth.role.write,
// the delegation rule for the permission, and the right to edit the role.
// Errors: those of Authorize, ErrRoleNotFound, ErrPermissionNotFound,
// ErrDelegation, ErrOwnersOnly.
func (s *Service) AttachPermission(ctx context.Context, id Identity, role RoleID, slug string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		caller, err := authorize(ctx, tx, id, "auth.role.write", "auth.role.all")
		if err != nil {
			return err
		}
		org := caller.User.OrgID
		target, err := tx.Role(ctx, org, role)
		if errors.Is(err, ErrRoleNotFound) {
			return refuse(ErrRoleNotFound, "Role with id %d not found", role)
		}
		if err != nil {
			return err
		}
		e, err := findEntitlement(ctx, tx, org, slug)
		if err != nil {
			return err
		}
		if !usable(org, e) || !caller.mayHandOut(e.Permission) {
			return refuse(ErrDelegation, "Not enough permissions: you do not hold '%s' yourself", slug)
		}
		if err := mayEdit(ctx, tx, caller, target); err != nil {
			return err
		}
		return tx.AttachPermission(ctx, org, target.ID, e.Permission.ID, Stamp{At: time.Now(), By: caller.User.ID})
	})
}

// mayEdit is the other half of the delegation rule: nobody edits a role that
// holds more than they do, and only owners touch the owner role.
func mayEdit(ctx context.Context, tx Tx, caller *Caller, target Role) error {
	if target.Builtin == Owner && !caller.IsOwner() {
		return refuse(ErrOwnersOnly, "Not enough permissions: only an owner may change the owner role")
	}
	attached, err := tx.RolePermissions(ctx, target.OrgID, target.ID)
	if err != nil {
		return err
	}
	for _, e := range attached {
		if usable(target.OrgID, e) && !caller.mayHandOut(e.Permission) {
			return refuse(ErrDelegation, "Not enough permissions: the role holds '%s' and your token does not; "+
				"if you were given it since, log in again", e.Permission.Slug())
		}
	}
	return nil
}

// findEntitlement looks a slug up among what the organization may use. A slug
// of somebody else's is not found, as if nobody had made it.
func findEntitlement(ctx context.Context, tx Tx, org OrgID, slug string) (Entitlement, error) {
	e, err := tx.Entitlement(ctx, org, slug)
	if errors.Is(err, ErrPermissionNotFound) {
		return e, refuse(ErrPermissionNotFound, "Permission with slug %s not found", clip(slug))
	}
	return e, err
}

// clip keeps a value that a client sent short enough to be repeated to it.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
