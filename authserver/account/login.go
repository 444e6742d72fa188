package account

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Login is one attempt to log in.
type Login struct {
	Username string
	Password string
	Scopes   []string // asked for; none means all that is held
}

// Granted is what a login yields; package token writes it into a token.
type Granted struct {
	User   User
	Roles  []string // names, by role id
	Scopes []string // sorted, without repeats, never nil
}

// Login judges a password and, if it is right, what the user may hold at this
// moment, narrowed to the scopes asked for. peer is the address that asks.
// Errors: ErrThrottled and ErrBusy before any hashing, ErrCredentials for a
// user who is unknown, inactive or locked as for a wrong password,
// ErrScopesNotGranted.
func (s *Service) Login(ctx context.Context, peer netip.Addr, in Login) (Granted, error) {
	user, err := s.authenticate(ctx, peer, in.Username, in.Password)
	if err != nil {
		return Granted{}, err
	}
	out := Granted{User: user}
	err = s.store.View(ctx, func(tx Tx) error {
		live, err := loadLive(ctx, tx, user.OrgID, user.ID)
		if err != nil {
			return err
		}
		out.User, out.Roles, out.Scopes = live.user, live.roleNames(), live.scopes.sorted()
		return nil
	})
	if errors.Is(err, ErrUnknownCaller) || errors.Is(err, ErrInactive) { // changed while we hashed
		return Granted{}, wrongPassword()
	}
	if err != nil {
		return Granted{}, err
	}
	if len(in.Scopes) == 0 {
		return out, nil
	}
	if out.Scopes = narrow(out.Scopes, in.Scopes); len(out.Scopes) == 0 {
		return Granted{}, refuse(ErrScopesNotGranted, "Requested scopes not granted")
	}
	return out, nil
}

// authenticate spends from both budgets first and gives back on success, so
// that only failures cost; then it hashes, whoever the user is.
func (s *Service) authenticate(ctx context.Context, peer netip.Addr, username, password string) (User, error) {
	addr, acct := address(peer), accountOf(username, peer)
	if wait := s.byAddress.take(addr); wait > 0 {
		return User{}, throttled(wait)
	}
	if wait := s.byAccount.take(acct); wait > 0 {
		s.byAddress.giveBack(addr)
		return User{}, throttled(wait)
	}
	user, err := s.judge(ctx, peer, username, password)
	if !errors.Is(err, ErrCredentials) {
		s.byAddress.giveBack(addr)
		s.byAccount.giveBack(acct)
	}
	return user, err
}

func (s *Service) judge(ctx context.Context, peer netip.Addr, username, password string) (User, error) {
	cred := Credential{PHC: s.passwords.dummy}
	err := s.store.View(ctx, func(tx Tx) error {
		found, err := tx.Credential(ctx, username)
		if errors.Is(err, ErrUserNotFound) {
			return nil
		}
		if err == nil {
			cred = found
		}
		return err
	})
	if err != nil {
		return User{}, err
	}
	if _, err := parsePHC(cred.PHC); err != nil { // a damaged row must cost what a whole one costs
		s.cfg.Log.Error("stored password hash cannot be read", "user", string(cred.User.ID))
		cred = Credential{PHC: s.passwords.dummy}
	}
	right, renewed, err := s.passwords.verify(ctx, network(peer), password, cred)
	if err != nil {
		return User{}, err
	}
	if !right {
		return User{}, wrongPassword()
	}
	if renewed != "" {
		s.renew(ctx, cred, renewed)
	}
	return cred.User, nil
}

// renew stores a hash of the present cost. Losing to a password change, or
// failing, costs nothing: the next login tries again.
func (s *Service) renew(ctx context.Context, cred Credential, phc string) {
	err := s.store.Update(ctx, func(tx Tx) error {
		return tx.SetPassword(ctx, cred.User.ID, cred.PHC, phc, time.Now())
	})
	if err != nil && !errors.Is(err, ErrConflict) {
		s.cfg.Log.Warn("password hash not renewed", "user", string(cred.User.ID), "error", err)
	}
}

func wrongPassword() error { return refuse(ErrCredentials, "Incorrect username or password") }

func throttled(wait time.Duration) error {
	return &Refusal{Reason: ErrThrottled, Detail: "Too many attempts", RetryAfter: wholeSeconds(wait)}
}

// wholeSeconds rounds up, because Retry-After is a whole number of seconds.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d+time.Second-1)/time.Second*time.Second)
}
