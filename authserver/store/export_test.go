package store

import (
	"database/sql"
	"testing"
)

// Pragma reads a setting of a connection of either pool.
func (s *SQLite) Pragma(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for kind, db := range map[string]*sql.DB{"writer": s.write, "reader": s.read} {
		var v string
		if err := db.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&v); err != nil {
			t.Fatal(err)
		}
		out[kind] = v
	}
	return out
}
