package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/scopegate/scopegate/authserver/account"
)

var keyClaims = []claim{
	{"a key comes back as it was kept, oldest first", keysComeBack},
	{"of replicas that all miss a key exactly one makes it", keyRace},
	{"a key is never replaced under its id", keyTwice},
	{"an erased private part is gone, its public part stays", keyErased},
	{"a revoked key is erased and keeps its first revocation", keyRevoked},
}

func key(kid string, from time.Time) account.SigningKey {
	return account.SigningKey{KID: kid, Alg: "RS256", PublicJWK: []byte(`{"kid":"` + kid + `"}`), Sealed: []byte("sealed " + kid),
		PublishAt: from.Add(-time.Hour), SignFrom: from, SignUntil: from.Add(time.Hour), RetireAt: from.Add(2 * time.Hour)}
}

func addKey(t *testing.T, s account.Store, k account.SigningKey) {
	t.Helper()
	_, generation, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddKey(t.Context(), generation, k); err != nil {
		t.Fatal(err)
	}
}

func keysOf(t *testing.T, s account.Store) []account.SigningKey {
	t.Helper()
	keys, _, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func keysComeBack(t *testing.T, s account.Store) {
	late, early := key("a", stamp.At.Add(time.Hour).UTC()), key("b", stamp.At.UTC())
	addKey(t, s, late)
	addKey(t, s, early)
	if diff := cmp.Diff([]account.SigningKey{early, late}, keysOf(t, s)); diff != "" {
		t.Error(diff)
	}
}

func keyRace(t *testing.T, s account.Store) {
	_, generation, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	oneWinner(t, race(6, func(i int) error {
		return s.AddKey(t.Context(), generation, key(fmt.Sprint("key", i), stamp.At))
	}), account.ErrKeyGeneration)
	if n := len(keysOf(t, s)); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}

func keyTwice(t *testing.T, s account.Store) {
	addKey(t, s, key("a", stamp.At))
	_, generation, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := key("a", stamp.At)
	other.PublicJWK = []byte(`{"evil":true}`)
	wantErr(t, "the same id again", s.AddKey(t.Context(), generation, other), account.ErrKeyExists)
	if _, after, _ := s.Keys(t.Context()); after != generation {
		t.Errorf("a refused key moved the generation from %d to %d", generation, after)
	}
}

func keyErased(t *testing.T, s account.Store) {
	k := key("a", stamp.At.UTC())
	addKey(t, s, k)
	_, before, _ := s.Keys(t.Context())
	for range 2 { // twice is no error
		if err := s.EraseKey(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	k.Sealed = nil
	if diff := cmp.Diff([]account.SigningKey{k}, keysOf(t, s)); diff != "" {
		t.Error(diff)
	}
	if _, after, _ := s.Keys(t.Context()); after <= before {
		t.Errorf("generation %d after erasing, %d before", after, before)
	}
	wantErr(t, "erase of nothing", s.EraseKey(t.Context(), "zzz"), account.ErrKeyNotFound)
}

func keyRevoked(t *testing.T, s account.Store) {
	k := key("a", stamp.At.UTC())
	addKey(t, s, k)
	first := stamp.At.Add(time.Minute).UTC()
	for _, at := range []time.Time{first, first.Add(time.Hour)} {
		if err := s.RevokeKey(t.Context(), "a", at); err != nil {
			t.Fatal(err)
		}
	}
	k.Sealed, k.RevokedAt = nil, first
	if diff := cmp.Diff([]account.SigningKey{k}, keysOf(t, s)); diff != "" {
		t.Error(diff)
	}
	wantErr(t, "revoke of nothing", s.RevokeKey(t.Context(), "zzz", first), account.ErrKeyNotFound)
}
