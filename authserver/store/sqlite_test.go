package store_test

import (
	"path/filepath"
	"testing"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/store"
	"github.com/scopegate/scopegate/authserver/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) account.Store { return open(t, newPath(t)) })
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "data", "auth.db") }

func open(t *testing.T, path string) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
