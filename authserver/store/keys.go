package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/scopegate/scopegate/authserver/account"
)

// Keys implements account.KeyStore.
func (s *SQLite) Keys(ctx context.Context) (keys []account.SigningKey, generation int64, err error) {
	err = s.View(ctx, func(at account.Tx) error {
		q := at.(*tx).sql
		if err := q.QueryRowContext(ctx, `SELECT generation FROM key_ring`).Scan(&generation); err != nil {
			return err
		}
		keys, err = list(ctx, q, scanKey, `SELECT kid, alg, public_jwk, sealed,
			publish_at, sign_from, sign_until, retire_at, revoked_at
			FROM signing_key ORDER BY sign_from, kid`)
		return err
	})
	return keys, generation, err
}

func scanKey(scan func(...any) error) (k account.SigningKey, err error) {
	var publish, from, until, retire int64
	var revoked sql.NullInt64
	err = scan(&k.KID, &k.Alg, &k.PublicJWK, &k.Sealed, &publish, &from, &until, &retire, &revoked)
	k.PublishAt, k.SignFrom, k.SignUntil, k.RetireAt = instant(publish), instant(from), instant(until), instant(retire)
	if revoked.Valid {
		k.RevokedAt = instant(revoked.Int64)
	}
	return k, err
}

// AddKey implements account.KeyStore.
func (s *SQLite) AddKey(ctx context.Context, generation int64, k account.SigningKey) error {
	return s.Update(ctx, func(at account.Tx) error {
		t := at.(*tx)
		if err := t.one(ctx, account.ErrKeyGeneration,
			`UPDATE key_ring SET generation = generation + 1 WHERE generation = $1`, generation); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO signing_key
			(kid, alg, public_jwk, sealed, publish_at, sign_from, sign_until, retire_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			k.KID, k.Alg, k.PublicJWK, k.Sealed,
			k.PublishAt.UnixMilli(), k.SignFrom.UnixMilli(), k.SignUntil.UnixMilli(), k.RetireAt.UnixMilli())
		if failed(err, codePrimaryKey, codeUnique) {
			return account.ErrKeyExists
		}
		return err
	})
}

// EraseKey implements account.KeyStore.
func (s *SQLite) EraseKey(ctx context.Context, kid string) error {
	return s.changeKey(ctx, `UPDATE signing_key SET sealed = NULL WHERE kid = $1`, kid)
}

// RevokeKey implements account.KeyStore.
func (s *SQLite) RevokeKey(ctx context.Context, kid string, at time.Time) error {
	return s.changeKey(ctx,
		`UPDATE signing_key SET sealed = NULL, revoked_at = coalesce(revoked_at, $2) WHERE kid = $1`, kid, at.UnixMilli())
}

// changeKey changes a row and then moves the log into the database: the log
// holds old pages, and with them a private part that is to be gone. When that
// fails the row is changed all the same; repeating the call finishes it.
func (s *SQLite) changeKey(ctx context.Context, query string, args ...any) error {
	err := s.Update(ctx, func(at account.Tx) error {
		t := at.(*tx)
		if err := t.one(ctx, account.ErrKeyNotFound, query, args...); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE key_ring SET generation = generation + 1`)
		return err
	})
	if err != nil {
		return err
	}
	var busy, pages, moved int
	err = s.write.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved)
	if err == nil && busy != 0 {
		err = errors.New("another process reads it")
	}
	if err != nil {
		return fmt.Errorf("the key is erased, but not yet its trace in the log: %w", err)
	}
	return nil
}
