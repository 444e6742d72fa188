package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/token"
)

// signup makes an organization and its first user.
func (s *Server) signup(c echo.Context) error {
	if err := s.accounts.SignupAllowed(); err != nil {
		return err
	}
	in, err := s.readSignup(c.Request())
	if err != nil {
		return err
	}
	made, err := s.accounts.Signup(c.Request().Context(), s.peer(c), in)
	if err != nil {
		return err
	}
	exchangeOf(c).subject = string(made.UserID)
	return writeJSON(c, http.StatusOK, struct {
		UserID account.UserID `json:"user_id"`
		OrgID  account.OrgID  `json:"org_id"`
	}{made.UserID, made.OrgID})
}

func (s *Server) readSignup(r *http.Request) (account.Signup, error) {
	b, err := readBody(r)
	if err != nil {
		return account.Signup{}, err
	}
	user := b.embedded("user")
	in := account.Signup{
		Username:     user.text("username"),
		Password:     user.text("password"),
		PrimaryEmail: user.text("primary_email"),
	}
	org := b.embedded("org")
	in.OrgName = org.text("name")
	in.Domain = org.text("domain")
	in.OrgType = account.OrgType(org.choiceOr("type", string(account.Teams), string(account.Enterprise), string(account.Teams)))
	in.MFAEnabled = org.boolOr("mfa_enabled", false)
	return in, b.err(s.accounts.SignupFaults(in)...)
}

// login trades a password for a token.
func (s *Server) login(c echo.Context) error {
	noStore(c)
	err := s.tryLogin(c)
	s.metrics.logins.WithLabelValues(loginResult(err)).Inc()
	return err
}

func (s *Server) tryLogin(c echo.Context) error {
	form, err := readLogin(c.Request())
	if err != nil {
		return err
	}
	granted, err := s.accounts.Login(c.Request().Context(), s.peer(c), account.Login{
		Username: form.Username, Password: form.Password, Scopes: form.Scopes,
	})
	if err != nil {
		return err
	}
	exchangeOf(c).subject = string(granted.User.ID)
	signed, claims, err := s.issue(granted)
	if err != nil {
		return err
	}
	s.metrics.tokens.WithLabelValues("login").Inc()
	return writeJSON(c, http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
		Scope       string `json:"scope"`
	}{signed, "bearer", claims.ExpiresAt - claims.IssuedAt, claims.Scope})
}

func (s *Server) issue(granted account.Granted) (string, token.Claims, error) {
	now := time.Now()
	signed, claims, err := s.ring.Login(token.Login{
		Issuer: s.cfg.Issuer, Subject: string(granted.User.ID), OrgID: string(granted.User.OrgID),
		Scopes: granted.Scopes, Roles: granted.Roles, TTL: s.cfg.TokenTTL,
	}, now)
	if errors.Is(err, token.ErrNoSigner) {
		err = &retryLater{err, s.ring.SignableAt(now).Sub(now)}
	}
	return signed, claims, err
}

// loginResult is the label of logins_total, from a closed set.
func loginResult(err error) string {
	var f faults
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &f), errors.Is(err, errBodyBroken), errors.Is(err, errBodyTooLarge):
		return "invalid"
	case errors.Is(err, account.ErrCredentials):
		return "refused"
	case errors.Is(err, account.ErrScopesNotGranted), errors.Is(err, token.ErrTooLarge):
		return "scopes"
	case errors.Is(err, account.ErrThrottled):
		return "throttled"
	case errors.Is(err, account.ErrBusy):
		return "busy"
	}
	return "error"
}

// me is the caller's own user. There is no field for the password's hash.
func (s *Server) me(c echo.Context) error {
	id, err := s.identify(c)
	if err != nil {
		return err
	}
	user, err := s.accounts.Me(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, struct {
		ID           account.UserID `json:"id"`
		Username     string         `json:"username"`
		PrimaryEmail string         `json:"primary_email"`
		OrgID        account.OrgID  `json:"org_id"`
		IsActive     bool           `json:"is_active"`
	}{user.ID, user.Username, user.PrimaryEmail, user.OrgID, user.Active})
}
