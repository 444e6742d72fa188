package server

import (
	"context"
	"errors"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/token"
)

// keyStore shows the store's signing key table to the key ring. The two
// packages do not know each other.
type keyStore struct{ rows account.KeyStore }

// SigningKeys is part of token.Store.
func (k keyStore) SigningKeys(ctx context.Context) ([]token.Row, int64, error) {
	keys, generation, err := k.rows.Keys(ctx)
	rows := make([]token.Row, len(keys))
	for i, key := range keys {
		rows[i] = token.Row{
			KID: key.KID, Alg: key.Alg, Public: key.PublicJWK, Sealed: key.Sealed, RevokedAt: key.RevokedAt,
			Times: token.Times{PublishAt: key.PublishAt, SignFrom: key.SignFrom, SignUntil: key.SignUntil, RetireAt: key.RetireAt},
		}
	}
	return rows, generation, err
}

// AddSigningKey is part of token.Store.
func (k keyStore) AddSigningKey(ctx context.Context, generation int64, row token.Row) error {
	err := k.rows.AddKey(ctx, generation, account.SigningKey{
		KID: row.KID, Alg: row.Alg, PublicJWK: row.Public, Sealed: row.Sealed, RevokedAt: row.RevokedAt,
		PublishAt: row.PublishAt, SignFrom: row.SignFrom, SignUntil: row.SignUntil, RetireAt: row.RetireAt,
	})
	if errors.Is(err, account.ErrKeyGeneration) {
		return token.ErrRaced
	}
	return err
}

// EraseSigningKey is part of token.Store.
func (k keyStore) EraseSigningKey(ctx context.Context, kid string) error {
	return k.rows.EraseKey(ctx, kid)
}
