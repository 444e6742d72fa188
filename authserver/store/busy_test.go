package store_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/store"
)

// TestAFileLockedByAnotherProcessIsUnavailable: a backup tool or a second server
// holds the write lock for longer than we wait. Reading goes on.
func TestAFileLockedByAnotherProcessIsUnavailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authserver.db")
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback()
	nothing := func(account.Tx) error { return nil }
	if err := s.Update(t.Context(), nothing); !errors.Is(err, account.ErrStoreUnavailable) {
		t.Errorf("update: %v", err)
	}
	if err := s.View(t.Context(), nothing); err != nil {
		t.Errorf("view: %v", err)
	}
}

// TestACallerWhoWentAwayIsNoFaultOfTheStore: whenever the context ends, the error
// is the context's, so that nobody is alarmed.
func TestACallerWhoWentAwayIsNoFaultOfTheStore(t *testing.T) {
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "authserver.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, run := range []func(context.Context, func(account.Tx) error) error{s.View, s.Update} {
		for range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			err := run(ctx, func(tx account.Tx) error {
				if _, err := tx.BuiltinPermissions(ctx); err != nil {
					return err
				}
				cancel()
				return nil
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
		}
	}
}
