package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/scopegate/scopegate/authserver/account"
)

// createPermission adds a permission to the catalogue. The service must be
// named: a default would put slips into the reserved space of "auth".
func (s *Server) createPermission(c echo.Context) error {
	id, err := s.identify(c, "auth.permission.write", "auth.permission.all")
	if err != nil {
		return err
	}
	b, err := readBody(c.Request())
	if err != nil {
		return err
	}
	in := b.whole()
	wanted := account.NewPermission{
		Service:     in.text("service"),
		Resource:    in.text("resource"),
		Action:      in.textOr("action", "read"),
		Description: in.optionalText("description"),
	}
	if err := b.err(wanted.Faults()...); err != nil {
		return err
	}
	made, err := s.accounts.CreatePermission(c.Request().Context(), id, wanted)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, permissionRow(made))
}

type permissionJSON struct {
	ID          account.PermissionID `json:"id"`
	Service     string               `json:"service"`
	Resource    string               `json:"resource"`
	Action      string               `json:"action"`
	Slug        string               `json:"slug"`
	Description *string              `json:"description"`
	OrgID       account.OrgID        `json:"org_id"`
}

func permissionRow(p account.Permission) permissionJSON {
	row := permissionJSON{
		ID: p.ID, Service: p.Service, Resource: p.Resource, Action: p.Action,
		Slug: p.Slug(), OrgID: p.OrgID,
	}
	if p.Description != "" {
		row.Description = &p.Description
	}
	return row
}
