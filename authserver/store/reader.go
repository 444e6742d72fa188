package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
)

const accountColumns = `id, org_id, username, email, active, created_at`

// Credential implements account.Reader.
func (t *tx) Credential(ctx context.Context, username string) (account.Credential, error) {
	var c account.Credential
	var locked sql.NullInt64
	row := t.sql.QueryRowContext(ctx, `SELECT `+accountColumns+`, password_phc, locked_at FROM account
		WHERE username_ci = $1 AND deleted_at IS NULL`, strings.ToLower(username))
	err := scanUser(row, &c.User, &c.PHC, &locked)
	c.Locked = locked.Valid
	return c, missing(err, account.ErrUserNotFound)
}

// User implements account.Reader.
func (t *tx) User(ctx context.Context, org account.OrgID, id account.UserID) (account.User, error) {
	var u account.User
	row := t.sql.QueryRowContext(ctx, `SELECT `+accountColumns+` FROM account
		WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL`, org, id)
	err := scanUser(row, &u)
	return u, missing(err, account.ErrUserNotFound)
}

func scanUser(row *sql.Row, u *account.User, more ...any) error {
	var created int64
	err := row.Scan(append([]any{&u.ID, &u.OrgID, &u.Username, &u.PrimaryEmail, &u.Active, &created}, more...)...)
	u.CreatedAt = instant(created)
	return err
}

const roleColumns = `r.id, r.org_id, r.name, r.type, coalesce(r.builtin, '')`

func scanRole(scan func(...any) error) (r account.Role, err error) {
	err = scan(&r.ID, &r.OrgID, &r.Name, &r.Type, &r.Builtin)
	return r, err
}

// Role implements account.Reader.
func (t *tx) Role(ctx context.Context, org account.OrgID, id account.RoleID) (account.Role, error) {
	row := t.sql.QueryRowContext(ctx, `SELECT `+roleColumns+` FROM role r WHERE r.org_id = $1 AND r.id = $2`, org, id)
	r, err := scanRole(row.Scan)
	return r, missing(err, account.ErrRoleNotFound)
}

// Roles implements account.Reader.
func (t *tx) Roles(ctx context.Context, org account.OrgID) ([]account.Role, error) {
	return list(ctx, t.sql, scanRole, `SELECT `+roleColumns+` FROM role r WHERE r.org_id = $1 ORDER BY r.id`, org)
}

// UserRoles implements account.Reader.
func (t *tx) UserRoles(ctx context.Context, org account.OrgID, id account.UserID) ([]account.Role, error) {
	return list(ctx, t.sql, scanRole, `SELECT `+roleColumns+` FROM account_role ar
		JOIN role r ON r.org_id = ar.org_id AND r.id = ar.role_id
		WHERE ar.org_id = $1 AND ar.account_id = $2 ORDER BY r.id`, org, id)
}

// entitled selects entitlements that count: e, its permission p and service s.
const entitled = `SELECT DISTINCT p.id, p.service, p.resource, p.action, p.description,
	coalesce(s.owner_org, ''), e.source
	FROM entitlement e
	JOIN permission p ON p.id = e.permission_id AND p.deleted_at IS NULL
	JOIN service s ON s.name = p.service AND s.retired_at IS NULL `

func scanEntitlement(scan func(...any) error) (e account.Entitlement, err error) {
	p := &e.Permission
	err = scan(&p.ID, &p.Service, &p.Resource, &p.Action, &p.Description, &p.OrgID, &e.Source)
	return e, err
}

// RolePermissions implements account.Reader.
func (t *tx) RolePermissions(ctx context.Context, org account.OrgID, id account.RoleID) ([]account.Entitlement, error) {
	return list(ctx, t.sql, scanEntitlement, entitled+`
		JOIN role_permission rp ON rp.org_id = e.org_id AND rp.permission_id = e.permission_id
		WHERE e.org_id = $1 AND rp.role_id = $2 ORDER BY p.id`, org, id)
}

// Holdings implements account.Reader.
func (t *tx) Holdings(ctx context.Context, org account.OrgID, id account.UserID) (attached, siblings []account.Entitlement, err error) {
	const held = `JOIN role_permission rp ON rp.org_id = e.org_id AND rp.permission_id = e.permission_id
		JOIN account_role ar ON ar.org_id = rp.org_id AND ar.role_id = rp.role_id
		WHERE e.org_id = $1 AND ar.account_id = $2`
	attached, err = list(ctx, t.sql, scanEntitlement, entitled+held+` ORDER BY p.id`, org, id)
	if err != nil {
		return nil, nil, err
	}
	siblings, err = list(ctx, t.sql, scanEntitlement, entitled+`
		WHERE e.org_id = $1 AND (p.service, p.resource) IN (
			SELECT h.service, h.resource FROM permission h
			JOIN role_permission rp ON rp.permission_id = h.id
			JOIN account_role ar ON ar.org_id = rp.org_id AND ar.role_id = rp.role_id
			WHERE rp.org_id = $1 AND ar.account_id = $2 AND h.action = 'all' AND h.deleted_at IS NULL)
		ORDER BY p.id`, org, id)
	return attached, siblings, err
}

// Entitlement implements account.Reader.
func (t *tx) Entitlement(ctx context.Context, org account.OrgID, slug string) (account.Entitlement, error) {
	row := t.sql.QueryRowContext(ctx, entitled+`WHERE e.org_id = $1 AND p.slug = $2`, org, slug)
	e, err := scanEntitlement(row.Scan)
	return e, missing(err, account.ErrPermissionNotFound)
}

// Claim implements account.Reader.
func (t *tx) Claim(ctx context.Context, service string) (account.Claim, error) {
	var c account.Claim
	err := t.sql.QueryRowContext(ctx, `SELECT name, coalesce(owner_org, ''), retired_at IS NOT NULL
		FROM service WHERE name = $1`, service).Scan(&c.Service, &c.Owner, &c.Retired)
	return c, missing(err, account.ErrServiceNotFound)
}

// CountClaims implements account.Reader.
func (t *tx) CountClaims(ctx context.Context, org account.OrgID) (n int, err error) {
	err = t.sql.QueryRowContext(ctx, `SELECT count(*) FROM service WHERE owner_org = $1`, org).Scan(&n)
	return n, err
}

// CountPermissions implements account.Reader.
func (t *tx) CountPermissions(ctx context.Context, org account.OrgID) (n int, err error) {
	err = t.sql.QueryRowContext(ctx, `SELECT count(*) FROM permission p JOIN service s ON s.name = p.service
		WHERE s.owner_org = $1 AND p.deleted_at IS NULL`, org).Scan(&n)
	return n, err
}

// BuiltinPermissions implements account.Reader.
func (t *tx) BuiltinPermissions(ctx context.Context) ([]account.Permission, error) {
	return list(ctx, t.sql, func(scan func(...any) error) (p account.Permission, err error) {
		err = scan(&p.ID, &p.Service, &p.Resource, &p.Action, &p.Description)
		return p, err
	}, `SELECT id, service, resource, action, description FROM permission
		WHERE service = 'auth' AND deleted_at IS NULL ORDER BY id`)
}

// list runs a query and reads its rows, each by scan.
func list[T any](ctx context.Context, q *sql.Tx, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		one, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, rows.Err()
}

// missing says "no row" in the words of package account.
func missing(err, sentinel error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return sentinel
	}
	return err
}

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
