package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/scopegate/scopegate/authserver/account"
	"modernc.org/sqlite"
)

// What opening a store may fail with; a store that does not open is never made
// anew, because an empty one would hand every name to whoever comes first.
var (
	ErrNewerSchema = errors.New("store: the database was written by a newer version of this program")
	ErrForeignFile = errors.New("store: not a database of this program")
	ErrUnsafeFile  = errors.New("store: the file or its folder is not safe to use")
	ErrReadOnly    = errors.New("store: a write inside a View")
)

// SQLite is an account.Store in one file. It has one writing connection, so
// that writers queue in Go and not in SQLite, and a few that can only read.
type SQLite struct {
	write, read *sql.DB
	path        string
	created     bool
}

// Readers is how many queries run beside the one writer.
const readers = 4

// OpenSQLite opens the database at path, or makes it, folder included, when
// there is none; then it applies the migrations that are missing. Files are
// 0600 and not symbolic links, a folder that it makes is 0700. Errors:
// ErrUnsafeFile, ErrForeignFile, ErrNewerSchema, and SQLite's own.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	created, err := prepare(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s := &SQLite{path: path, created: created}
	if err := s.connect(ctx); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, errors.Join(err, s.Close()))
	}
	return s, nil
}

func (s *SQLite) connect(ctx context.Context) error {
	var err error
	if s.write, err = openFile(s.path, false); err != nil {
		return err
	}
	if err = recognise(ctx, s.write); err != nil {
		return err
	}
	if err = migrate(ctx, s.write); err != nil {
		return err
	}
	if s.read, err = openFile(s.path, true); err != nil {
		return err
	}
	return s.Ping(ctx)
}

// openFile makes a pool over an existing file (mode=rw never creates one). FULL
// makes a commit wait for the disk; secure_delete overwrites what is deleted,
// which erased keys rely on.
func openFile(path string, readOnly bool) (*sql.DB, error) {
	q := url.Values{
		"mode":          {"rw"},
		"_busy_timeout": {"5000"},
		"_foreign_keys": {"on"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
		"_pragma":       {"secure_delete(1)", "trusted_schema(0)"},
	}
	n := 1
	if readOnly {
		q.Set("_query_only", "on")
		q.Set("_txlock", "deferred")
		n = readers
	} else {
		q.Set("_journal_mode", "WAL")
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// Created reports whether this opening made the database.
func (s *SQLite) Created() bool { return s.created }

// Empty reports whether nothing was ever kept here: no organization and no key.
func (s *SQLite) Empty(ctx context.Context) (bool, error) {
	var n int
	err := s.read.QueryRowContext(ctx,
		`SELECT (SELECT count(*) FROM organization) + (SELECT count(*) FROM signing_key)`).Scan(&n)
	return n == 0, err
}

// Ping runs a query on a reading connection.
func (s *SQLite) Ping(ctx context.Context) error {
	var one int
	return s.read.QueryRowContext(ctx, `SELECT one FROM key_ring`).Scan(&one)
}

// Close waits for running transactions and moves the log into the database.
func (s *SQLite) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} { // the writer last: it checkpoints
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// View runs fn over one snapshot.
func (s *SQLite) View(ctx context.Context, fn func(account.Tx) error) error {
	return run(ctx, s.read, true, fn)
}

// Update runs fn in the one writing transaction.
func (s *SQLite) Update(ctx context.Context, fn func(account.Tx) error) error {
	return run(ctx, s.write, false, fn)
}

func run(ctx context.Context, db *sql.DB, readOnly bool, fn func(account.Tx) error) error {
	return explain(ctx, transact(ctx, db, readOnly, fn))
}

// explain gives the two faults that are nobody's mistake their names: the caller
// went away, or SQLite cannot do it now but may in a moment (a lock held by
// another process, a full disk).
func explain(ctx context.Context, err error) error {
	if failed(err, codeInterrupt) || errors.Is(err, sql.ErrTxDone) {
		if gone := ctx.Err(); gone != nil {
			return gone
		}
	}
	var e *sqlite.Error
	if errors.As(err, &e) && slices.Contains(passing, e.Code()&0xff) {
		return fmt.Errorf("%w: %w", account.ErrStoreUnavailable, err)
	}
	return err
}

func transact(ctx context.Context, db *sql.DB, readOnly bool, fn func(account.Tx) error) error {
	t, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer t.Rollback() // after Commit it does nothing
	if err := fn(&tx{sql: t, readOnly: readOnly}); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// tx is one transaction of either pool.
type tx struct {
	sql      *sql.Tx
	readOnly bool
}

// Extended result codes of SQLite (sqlite.org/rescode.html) that the rules above
// have a word for.
const (
	codeInterrupt  = 9
	codeForeignKey = 787
	codePrimaryKey = 1555
	codeUnique     = 2067
)

// passing are SQLite's primary result codes for what may be over in a moment:
// busy, locked, read-only, input/output, full, cannot open.
var passing = []int{5, 6, 8, 10, 13, 14}

// failed reports whether err is one of SQLite's extended result codes.
func failed(err error, codes ...int) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code() == code {
			return true
		}
	}
	return false
}
