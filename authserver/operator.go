package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/server"
	"github.com/scopegate/scopegate/authserver/store"
	"github.com/scopegate/scopegate/authserver/token"
)

// The commands here work on the database directly, beside a running server if
// there is one: it sees changed keys within half a minute, all else at once.

// withStore opens the store of the configuration for one command. It makes none:
// a slip in --data must not leave an empty database and a master key behind.
func (p *program) withStore(fn func(context.Context, server.Config, *store.SQLite) error) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	if _, err := os.Stat(server.DatabasePath(cfg)); err != nil {
		return &usageError{fmt.Errorf("no database to work on: %w", err)}
	}
	return p.openStore(cfg, fn)
}

func (p *program) openStore(cfg server.Config, fn func(context.Context, server.Config, *store.SQLite) error) error {
	db, err := store.OpenSQLite(p.ctx, server.DatabasePath(cfg))
	if err != nil {
		return &usageError{err}
	}
	return errors.Join(fn(p.ctx, cfg, db), db.Close())
}

func (p *program) withRing(fn func(context.Context, *token.Ring, *store.SQLite) error) error {
	return p.withStore(func(ctx context.Context, cfg server.Config, db *store.SQLite) error {
		ring, err := server.OpenRing(ctx, cfg, db)
		if err != nil {
			return &usageError{err}
		}
		return fn(ctx, ring, db)
	})
}

type migrateCommand struct{}

// Run opens the store, which is what applies migrations.
func (migrateCommand) Run(p *program) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	return p.openStore(cfg, func(_ context.Context, cfg server.Config, _ *store.SQLite) error {
		fmt.Fprintf(p.stdout, "%s is up to date\n", server.DatabasePath(cfg))
		return nil
	})
}

type keysListCommand struct{}

// Run prints keys without their secrets.
func (keysListCommand) Run(p *program) error {
	return p.withRing(func(_ context.Context, ring *token.Ring, _ *store.SQLite) error {
		return printKeys(p, ring)
	})
}

func printKeys(p *program, ring *token.Ring) error {
	keys, unopened := ring.Keys(time.Now())
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY ID\tSTATE\tPUBLISHED\tSIGNS FROM\tSIGNS UNTIL\tRETIRES")
	for _, k := range keys {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KID, k.State, day(k.PublishAt), day(k.SignFrom), day(k.SignUntil), day(k.RetireAt))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if unopened > 0 {
		return fmt.Errorf("%d rows in the key table were not made under the master key", unopened)
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

type keysRotateCommand struct{}

// Run makes a successor.
func (keysRotateCommand) Run(p *program) error {
	return p.withRing(func(ctx context.Context, ring *token.Ring, _ *store.SQLite) error {
		made, err := ring.Rotate(ctx, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s signs from %s\n", made.KID, day(made.SignFrom))
		return nil
	})
}

type keysRevokeCommand struct {
	KID string `arg:"" name:"kid" help:"Key id, as keys list prints it."`
}

// Run withdraws a key, and makes a successor if no other can sign.
func (c keysRevokeCommand) Run(p *program) error {
	return p.withRing(func(ctx context.Context, ring *token.Ring, db *store.SQLite) error {
		now := time.Now()
		if err := db.RevokeKey(ctx, c.KID, now); err != nil {
			return fmt.Errorf("revoke %s: %w", c.KID, err)
		}
		if err := ring.Refresh(ctx, now); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s is withdrawn\n", c.KID)
		if at := ring.SignableAt(now); at.After(now) {
			fmt.Fprintf(p.stdout, "no other key could sign; logins work again from %s\n", day(at))
		}
		return nil
	})
}

type userDisableCommand struct {
	Username string `arg:"" help:"Name of the user."`
}

// Run switches the user off.
func (c userDisableCommand) Run(p *program) error { return setActive(p, c.Username, false) }

type userEnableCommand struct {
	Username string `arg:"" help:"Name of the user."`
}

// Run switches the user on.
func (c userEnableCommand) Run(p *program) error { return setActive(p, c.Username, true) }

func setActive(p *program, username string, active bool) error {
	return p.withStore(func(ctx context.Context, _ server.Config, db *store.SQLite) error {
		err := db.Update(ctx, func(tx account.Tx) error {
			found, err := tx.Credential(ctx, username)
			if err != nil {
				return err
			}
			return tx.SetActive(ctx, found.User.OrgID, found.User.ID, active)
		})
		if err != nil {
			return fmt.Errorf("user %s: %w", username, err)
		}
		fmt.Fprintf(p.stdout, "%s is %s\n", username, map[bool]string{true: "active", false: "inactive"}[active])
		return nil
	})
}

type serviceRegisterCommand struct {
	Service string `arg:"" help:"Name of the service."`
	Owner   string `arg:"" help:"A user of the organization that gets it."`
}

// Run claims the name, which is the only way to one under services.claim:
// operator.
func (c serviceRegisterCommand) Run(p *program) error {
	return p.withStore(func(ctx context.Context, cfg server.Config, db *store.SQLite) error {
		rules, err := account.New(db, account.Config{
			Signup: account.SignupInvite, Claim: account.ClaimOperator, Reserved: cfg.Reserved,
		})
		if err != nil {
			return &usageError{err}
		}
		var owner account.User
		err = db.View(ctx, func(tx account.Tx) error {
			found, err := tx.Credential(ctx, c.Owner)
			owner = found.User
			return err
		})
		if err != nil {
			return fmt.Errorf("user %s: %w", c.Owner, err)
		}
		if err := rules.RegisterService(ctx, owner.OrgID, c.Service); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s belongs to the organization of %s\n", c.Service, c.Owner)
		return nil
	})
}
