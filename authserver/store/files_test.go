package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"errors"

	"github.com/scopegate/scopegate/authserver/account"
	"github.com/scopegate/scopegate/authserver/store"
)

// raw is a second handle on the file, as another program would have it.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_foreign_keys=on&_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func run(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// made is a closed database with something in it.
func made(t *testing.T) (path string) {
	t.Helper()
	path = newPath(t)
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	addOrg(t, s, "keep")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func addOrg(t *testing.T, s *store.SQLite, id account.OrgID) {
	t.Helper()
	err := s.Update(t.Context(), func(tx account.Tx) error {
		return tx.InsertOrg(t.Context(), account.Org{ID: id, Name: "n", Type: account.Teams})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreOursOnly(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // the widest umask must not matter
	path := newPath(t)
	s := open(t, path)
	addOrg(t, s, "a")
	seen := 0
	err := filepath.WalkDir(filepath.Dir(path), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", filepath.Base(name), info.Mode())
		}
		return nil
	})
	if err != nil || seen != 4 { // folder, database, -wal, -shm
		t.Errorf("%d files, %v", seen, err)
	}
}

func TestCopiedBackupIsTightened(t *testing.T) {
	path := made(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestStoreThatDoesNotOpen: each is an error, and the files stay as they were.
// An attacker, or a full disk, must not get a fresh empty server by damaging
// the old one.
func TestStoreThatDoesNotOpen(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  error
	}{
		"emptied": {func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, store.ErrForeignFile},
		"overwritten with text": {func(t *testing.T, path string) {
			must(t, os.WriteFile(path, bytes.Repeat([]byte("garbage "), 1000), 0o600))
		}, store.ErrForeignFile},
		"a header that was overwritten": {func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt(make([]byte, 100), 0)
			must(t, errors.Join(err, f.Close()))
		}, store.ErrForeignFile},
		"another program's database": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			run(t, raw(t, path), `CREATE TABLE theirs (x)`)
		}, store.ErrForeignFile},
		"a newer schema": {func(t *testing.T, path string) {
			run(t, raw(t, path), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		}, store.ErrNewerSchema},
		"a symbolic link": {func(t *testing.T, path string) {
			must(t, os.Rename(path, path+".real"))
			must(t, os.Symlink(path+".real", path))
		}, store.ErrUnsafeFile},
		"a symbolic link to nothing": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink(path+".real", path))
		}, store.ErrUnsafeFile},
		"a symbolic link as its log": {func(t *testing.T, path string) {
			must(t, os.Symlink("/dev/null", path+"-wal"))
		}, store.ErrUnsafeFile},
		"a folder in its place": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
		}, store.ErrUnsafeFile},
		"a folder where everybody may write": {func(t *testing.T, path string) {
			must(t, os.Chmod(filepath.Dir(path), 0o777))
		}, store.ErrUnsafeFile},
		"a log without its database": {func(t *testing.T, path string) {
			must(t, os.Rename(path, path+"-wal"))
		}, store.ErrForeignFile},
	} {
		t.Run(name, func(t *testing.T) {
			path := made(t)
			c.spoil(t, path)
			before := listing(t, path)
			s, err := store.OpenSQLite(t.Context(), path)
			if err == nil {
				s.Close()
				t.Fatal("it opened")
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if after := listing(t, path); after != before {
				t.Errorf("files before: %s after: %s", before, after)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listing names the files that matter: SQLite may leave its -shm.
func listing(t *testing.T, path string) (out string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	for _, e := range entries {
		if e.Name() != filepath.Base(path)+"-shm" {
			out += e.Name() + " "
		}
	}
	return out
}

func TestCreatedAndEmpty(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	if empty, err := s.Empty(t.Context()); !s.Created() || !empty || err != nil {
		t.Errorf("a new store: created %v, empty %v, %v", s.Created(), empty, err)
	}
	addOrg(t, s, "a")
	again := open(t, path)
	if empty, err := again.Empty(t.Context()); again.Created() || empty || err != nil {
		t.Errorf("an old store: created %v, empty %v, %v", again.Created(), empty, err)
	}
}

// TestManyOpenAtOnce: processes that start together make one database.
func TestManyOpenAtOnce(t *testing.T) {
	path := newPath(t)
	stores := make([]*store.SQLite, 4)
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = store.OpenSQLite(context.Background(), path) })
	}
	wg.Wait()
	created := 0
	for i, s := range stores {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if s.Created() {
			created++
		}
		defer s.Close()
	}
	if created != 1 {
		t.Errorf("%d of them made it", created)
	}
	if got := listing(t, path); got != "auth.db auth.db-wal " {
		t.Errorf("left: %s", got)
	}
	addOrg(t, stores[0], "a")
	for _, s := range stores {
		if empty, err := s.Empty(t.Context()); empty || err != nil {
			t.Errorf("one does not see it: %v", err)
		}
	}
}

// TestErasedKeyLeavesNoTrace looks for the private part in every file: a stolen
// backup must not hold keys that signed until yesterday.
func TestErasedKeyLeavesNoTrace(t *testing.T) {
	for name, gone := range map[string]func(s *store.SQLite) error{
		"erased":  func(s *store.SQLite) error { return s.EraseKey(t.Context(), "k") },
		"revoked": func(s *store.SQLite) error { return s.RevokeKey(t.Context(), "k", time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			secret := bytes.Repeat([]byte("a private part that is to be gone. "), 300) // overflow pages too
			now := time.Now()
			must(t, s.AddKey(t.Context(), 0, account.SigningKey{KID: "k", Alg: "RS256", PublicJWK: []byte("{}"),
				Sealed: secret, PublishAt: now, SignFrom: now, SignUntil: now.Add(1e9), RetireAt: now.Add(2e9)}))
			if !found(t, path, secret[:35]) {
				t.Fatal("the test cannot see the secret before")
			}
			must(t, gone(s))
			if found(t, path, secret[:35]) {
				t.Error("the private part is still in a file")
			}
		})
	}
}

func found(t *testing.T, path string, needle []byte) bool {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		must(t, err)
		if bytes.Contains(content, needle) {
			return true
		}
	}
	return false
}

func TestSettingsThatDurabilityHangsOn(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "5000",
	} {
		for kind, got := range s.Pragma(t, pragma) {
			if got != want {
				t.Errorf("%s of the %s is %s, want %s", pragma, kind, got, want)
			}
		}
	}
	if got := s.Pragma(t, "query_only"); got["reader"] != "1" || got["writer"] != "0" {
		t.Errorf("query_only: %v", got)
	}
}
