package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
)

func (t *tx) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if t.readOnly {
		return nil, ErrReadOnly
	}
	return t.sql.ExecContext(ctx, query, args...)
}

// InsertOrg implements account.Writer.
func (t *tx) InsertOrg(ctx context.Context, org account.Org) error {
	_, err := t.exec(ctx, `INSERT INTO organization (id, name, domain, type, created_at) VALUES ($1, $2, $3, $4, $5)`,
		org.ID, org.Name, org.Domain, org.Type, org.CreatedAt.UnixMilli())
	return err
}

// InsertUser implements account.Writer.
func (t *tx) InsertUser(ctx context.Context, u account.User, phc string, by account.Stamp) error {
	_, err := t.exec(ctx, `INSERT INTO account (id, org_id, username, username_ci, email, email_ci,
		password_phc, password_changed_at, active, created_at, created_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8, $10)`,
		u.ID, u.OrgID, u.Username, strings.ToLower(u.Username), u.PrimaryEmail, strings.ToLower(u.PrimaryEmail),
		phc, by.At.UnixMilli(), u.Active, by.By)
	if failed(err, codeUnique) {
		if strings.Contains(err.Error(), "account.username_ci") {
			return account.ErrUsernameTaken
		}
		return account.ErrEmailTaken
	}
	return err
}

// SetPassword implements account.Writer.
func (t *tx) SetPassword(ctx context.Context, id account.UserID, old, phc string, at time.Time) error {
	return t.one(ctx, account.ErrConflict, `UPDATE account SET password_phc = $3, password_changed_at = $4
		WHERE id = $1 AND password_phc = $2 AND deleted_at IS NULL`, id, old, phc, at.UnixMilli())
}

// SetActive implements account.Writer.
func (t *tx) SetActive(ctx context.Context, org account.OrgID, id account.UserID, active bool) error {
	return t.one(ctx, account.ErrUserNotFound, `UPDATE account SET active = $3
		WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL`, org, id, active)
}

// one runs a statement that must change a row.
func (t *tx) one(ctx context.Context, otherwise error, query string, args ...any) error {
	result, err := t.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return otherwise
	}
	return err
}

// insert runs INSERT … RETURNING id.
func (t *tx) insert(ctx context.Context, query string, args ...any) (id int64, err error) {
	if t.readOnly {
		return 0, ErrReadOnly
	}
	err = t.sql.QueryRowContext(ctx, query, args...).Scan(&id)
	return id, err
}

// InsertRole implements account.Writer.
func (t *tx) InsertRole(ctx context.Context, r account.Role, by account.Stamp) (account.RoleID, error) {
	id, err := t.insert(ctx, `INSERT INTO role (org_id, name, name_ci, type, builtin, created_at, created_by)
		VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7) RETURNING id`,
		r.OrgID, r.Name, strings.ToLower(r.Name), r.Type, r.Builtin, by.At.UnixMilli(), by.By)
	if failed(err, codeUnique) {
		return 0, account.ErrRoleExists
	}
	return account.RoleID(id), err
}

// AssignRole implements account.Writer.
func (t *tx) AssignRole(ctx context.Context, org account.OrgID, user account.UserID, role account.RoleID, by account.Stamp) error {
	_, err := t.exec(ctx, `INSERT INTO account_role (org_id, account_id, role_id, created_at, created_by)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, org, user, role, by.At.UnixMilli(), by.By)
	if failed(err, codeForeignKey) {
		return account.ErrRoleNotFound
	}
	return err
}

// InsertClaim implements account.Writer.
func (t *tx) InsertClaim(ctx context.Context, c account.Claim, by account.Stamp) error {
	_, err := t.exec(ctx, `INSERT INTO service (name, owner_org, claimed_at, claimed_by) VALUES ($1, $2, $3, $4)`,
		c.Service, c.Owner, by.At.UnixMilli(), by.By)
	if failed(err, codePrimaryKey, codeUnique) {
		return account.ErrServiceForeign
	}
	return err
}

// InsertPermission implements account.Writer.
func (t *tx) InsertPermission(ctx context.Context, p account.Permission, by account.Stamp) (account.PermissionID, error) {
	id, err := t.insert(ctx, `INSERT INTO permission (service, resource, action, description, created_at, created_by)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`,
		p.Service, p.Resource, p.Action, p.Description, by.At.UnixMilli(), by.By)
	switch {
	case failed(err, codeUnique):
		return 0, account.ErrPermissionExists
	case failed(err, codeForeignKey):
		return 0, account.ErrServiceNotFound
	}
	return account.PermissionID(id), err
}

// Entitle implements account.Writer.
func (t *tx) Entitle(ctx context.Context, org account.OrgID, p account.Permission, source account.Source, by account.Stamp) error {
	_, err := t.exec(ctx, `INSERT INTO entitlement (org_id, permission_id, service, source, created_at, created_by)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		org, p.ID, p.Service, source, by.At.UnixMilli(), by.By)
	if failed(err, codeForeignKey) {
		return account.ErrServiceForeign
	}
	return err
}

// AttachPermission implements account.Writer. Which of the two foreign keys
// refused is asked afterwards: SQLite does not say.
func (t *tx) AttachPermission(ctx context.Context, org account.OrgID, role account.RoleID, p account.PermissionID, by account.Stamp) error {
	_, err := t.exec(ctx, `INSERT INTO role_permission (org_id, role_id, permission_id, created_at, created_by)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, org, role, p, by.At.UnixMilli(), by.By)
	if !failed(err, codeForeignKey) {
		return err
	}
	if _, err := t.Role(ctx, org, role); err != nil {
		return err
	}
	return account.ErrPermissionNotFound
}
