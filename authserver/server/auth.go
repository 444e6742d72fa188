package server

import (
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/scopegate/scopegate/authserver/account"
)

// identify finds out who calls, and asks for any one of the scopes given: by
// the token and by what the user holds now. With no scopes the operation asks
// itself.
func (s *Server) identify(c echo.Context, anyOf ...string) (account.Identity, error) {
	raw, err := bearer(c.Request().Header.Values("Authorization"))
	if err != nil {
		return account.Identity{}, err
	}
	claims, err := s.ring.Verify(raw, s.cfg.Issuer, time.Now())
	if err != nil {
		exchangeOf(c).cause = err
		return account.Identity{}, errBadToken
	}
	exchangeOf(c).subject, exchangeOf(c).client = claims.Subject, claims.ClientID
	id := account.Identity{User: account.UserID(claims.Subject), Org: account.OrgID(claims.OrgID), Scopes: claims.Scopes}
	if len(anyOf) == 0 {
		return id, nil
	}
	_, err = s.accounts.Authorize(c.Request().Context(), id, anyOf...)
	return id, err
}

// bearer takes the token out of the one Authorization field. Two of them are
// a request with two readings.
func bearer(fields []string) (string, error) {
	if len(fields) > 1 {
		return "", errBadToken
	}
	if len(fields) == 0 {
		return "", errNotAuthenticated
	}
	scheme, raw, _ := strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNotAuthenticated
	}
	return strings.TrimLeft(raw, " "), nil
}

// peer is the address that budgets count: that of the connection, or the one
// that trusted proxies vouch for.
func (s *Server) peer(c echo.Context) netip.Addr {
	addr, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return netip.Addr{} // a unix socket: one budget for all of it
	}
	return addr.Unmap().WithZone("")
}
