package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/scopegate/scopegate/authserver/account"
)

// listRoles lists the roles of the caller's organization.
func (s *Server) listRoles(c echo.Context) error {
	id, err := s.identify(c)
	if err != nil {
		return err
	}
	roles, err := s.accounts.ListRoles(c.Request().Context(), id)
	if err != nil {
		return err
	}
	type row struct {
		Name  string           `json:"name"`
		Type  account.RoleType `json:"type"`
		ID    account.RoleID   `json:"id"`
		OrgID account.OrgID    `json:"org_id"`
	}
	rows := make([]row, len(roles))
	for i, r := range roles {
		rows[i] = row{r.Name, r.Type, r.ID, r.OrgID}
	}
	return writeJSON(c, http.StatusOK, rows)
}

// attachPermission adds a permission to a role. The caller is judged before
// the body is read, as FastAPI's dependencies are.
func (s *Server) attachPermission(c echo.Context) error {
	id, err := s.identify(c, "auth.role.write", "auth.role.all")
	if err != nil {
		return err
	}
	b, err := readBody(c.Request())
	if err != nil {
		return err
	}
	in := b.whole()
	role, slug := in.integer("role_id"), in.text("permission_slug")
	if err := b.err(); err != nil {
		return err
	}
	if err := s.accounts.AttachPermission(c.Request().Context(), id, account.RoleID(role), slug); err != nil {
		return err
	}
	return c.NoContent(http.StatusCreated)
}
