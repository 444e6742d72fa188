package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// Migrations stand by engine under equal numbers: sqlite now, postgres beside it.
//
//go:embed migrations
var migrations embed.FS

// applicationID marks our files in SQLite's header (pragma application_id), so
// that somebody else's database is refused and not migrated into.
const applicationID = 0x53636f67 // "Scog"

func imprint(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
	return err
}

func recognise(ctx context.Context, db *sql.DB) error {
	var id int
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return fmt.Errorf("%w: %w", ErrForeignFile, err)
	}
	if id != applicationID {
		return ErrForeignFile
	}
	return nil
}

// migrate brings the schema to this program's version, each step in its own
// transaction. Steps go forward only; a schema from the future is refused,
// because its rules are not known here.
func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, steps,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, want, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if have > want {
		return fmt.Errorf("%w: schema %d, this program knows %d", ErrNewerSchema, have, want)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from schema %d to %d: %w", have, want, err)
	}
	return nil
}
