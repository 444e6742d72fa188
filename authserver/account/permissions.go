package account

import (
	"context"
	"errors"
	"time"
)

// NewPermission describes a permission to create.
type NewPermission struct {
	Service, Resource, Action string // each a name of the grammar
	Description               string // optional
}

// CreatePermission adds a permission to the catalogue. The first one for an
// unknown service claims the service for the caller's organization, in the same
// transaction. Needs auth.permission.write. Errors: those of Authorize,
// *InvalidError, ErrServiceReserved, ErrServiceForeign, ErrServiceOperator,
// ErrLimit, ErrPermissionExists.
func (s *Service) CreatePermission(ctx context.Context, id Identity, in NewPermission) (Permission, error) {
	if err := invalid(in.Faults()); err != nil {
		return Permission{}, err
	}
	made := Permission{Service: in.Service, Resource: in.Resource, Action: in.Action,
		Description: in.Description, OrgID: id.Org}
	err := s.store.Update(ctx, func(tx Tx) error {
		caller, err := authorize(ctx, tx, id, "auth.permission.write", "auth.permission.all")
		if err != nil {
			return err
		}
		by := Stamp{At: time.Now(), By: caller.User.ID}
		if err := s.own(ctx, tx, caller.User.OrgID, in.Service, by); err != nil {
			return err
		}
		return s.catalogue(ctx, tx, &made, by)
	})
	if err != nil {
		return Permission{}, err
	}
	return made, nil
}

// own makes sure that the organization owns the service, claiming a name that
// nobody ever had.
func (s *Service) own(ctx context.Context, tx Tx, org OrgID, service string, by Stamp) error {
	if s.reserved[bare(service)] {
		return refuse(ErrServiceReserved, "Service name '%s' is reserved", service)
	}
	claim, err := tx.Claim(ctx, service)
	switch {
	case errors.Is(err, ErrServiceNotFound) && s.cfg.Claim == ClaimOperator:
		return refuse(ErrServiceOperator, "Service '%s' must be registered by the operator first", service)
	case errors.Is(err, ErrServiceNotFound):
		return s.claim(ctx, tx, org, service, by)
	case err != nil:
		return err
	case claim.Owner != org || claim.Retired:
		return refuse(ErrServiceForeign, "Service '%s' belongs to another organization", service)
	}
	return nil
}

func (s *Service) claim(ctx context.Context, tx Tx, org OrgID, service string, by Stamp) error {
	n, err := tx.CountClaims(ctx, org)
	if err != nil {
		return err
	}
	if n >= s.cfg.MaxClaims {
		return refuse(ErrLimit, "An organization may own at most %d services", s.cfg.MaxClaims)
	}
	return tx.InsertClaim(ctx, Claim{Service: service, Owner: org}, by)
}

func (s *Service) catalogue(ctx context.Context, tx Tx, p *Permission, by Stamp) error {
	n, err := tx.CountPermissions(ctx, p.OrgID)
	if err != nil {
		return err
	}
	if n >= s.cfg.MaxPermissions {
		return refuse(ErrLimit, "An organization may have at most %d permissions", s.cfg.MaxPermissions)
	}
	p.ID, err = tx.InsertPermission(ctx, *p, by)
	if errors.Is(err, ErrPermissionExists) {
		return refuse(ErrPermissionExists, "Permission '%s' already exists", p.Slug())
	}
	if err != nil {
		return err
	}
	return tx.Entitle(ctx, p.OrgID, *p, FromOwner, by)
}

// RegisterService claims a service name for an organization on the operator's
// word, whatever the claim mode. Errors: *InvalidError, ErrServiceReserved,
// ErrServiceForeign, ErrLimit. Registering what it owns already is no error.
func (s *Service) RegisterService(ctx context.Context, org OrgID, service string) error {
	if !isName(service) {
		return &InvalidError{Faults: []Fault{badName("service")}}
	}
	if s.reserved[bare(service)] {
		return refuse(ErrServiceReserved, "Service name '%s' is reserved", service)
	}
	return s.store.Update(ctx, func(tx Tx) error {
		claim, err := tx.Claim(ctx, service)
		switch {
		case errors.Is(err, ErrServiceNotFound):
			return s.claim(ctx, tx, org, service, Stamp{At: time.Now()})
		case err != nil:
			return err
		case claim.Owner != org || claim.Retired:
			return refuse(ErrServiceForeign, "Service '%s' belongs to another organization", service)
		}
		return nil
	})
}

// GrantPermission lets another organization use one permission of a service
// that the caller's organization owns: exactly this one, also when it is "all".
// It lands on the grantee's owner role, because nobody there holds it yet and
// nobody hands out what they do not hold. Needs auth.permission.write and the
// delegation rule. Errors: those of Authorize, ErrPermissionNotFound,
// ErrDelegation, ErrRoleNotFound when there is no such organization.
func (s *Service) GrantPermission(ctx context.Context, id Identity, slug string, grantee OrgID) error {
	return s.store.Update(ctx, func(tx Tx) error {
		caller, err := authorize(ctx, tx, id, "auth.permission.write", "auth.permission.all")
		if err != nil {
			return err
		}
		e, err := findEntitlement(ctx, tx, caller.User.OrgID, slug)
		if err != nil {
			return err
		}
		if e.Source != FromOwner || !usable(caller.User.OrgID, e) || !caller.mayHandOut(e.Permission) {
			return refuse(ErrDelegation, "Permission '%s' is not yours to grant", slug)
		}
		if grantee == caller.User.OrgID {
			return nil
		}
		return grant(ctx, tx, grantee, e.Permission, Stamp{At: time.Now(), By: caller.User.ID})
	})
}

func grant(ctx context.Context, tx Tx, grantee OrgID, p Permission, by Stamp) error {
	roles, err := tx.Roles(ctx, grantee)
	if err != nil {
		return err
	}
	for _, r := range roles {
		if r.Builtin != Owner {
			continue
		}
		if err := tx.Entitle(ctx, grantee, p, FromGrant, by); err != nil {
			return err
		}
		return tx.AttachPermission(ctx, grantee, r.ID, p.ID, by)
	}
	return refuse(ErrRoleNotFound, "Organization not found")
}
