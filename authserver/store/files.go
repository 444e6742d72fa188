package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// prepare makes sure that a safe database file stands at path. A new one is
// built beside it and then linked into place, whole: an empty or half-written
// file at path is therefore never "new", it is damage.
func prepare(ctx context.Context, path string) (created bool, err error) {
	if err := safeFolder(filepath.Dir(path)); err != nil {
		return false, err
	}
	exists, err := safeFiles(path)
	if err != nil || exists {
		return false, err
	}
	if err := orphans(path); err != nil {
		return false, err
	}
	fresh := path + ".new-" + rand.Text()
	defer removeAll(fresh)
	if err := build(ctx, fresh); err != nil {
		return false, fmt.Errorf("make database: %w", err)
	}
	switch err := os.Link(fresh, path); {
	case errors.Is(err, fs.ErrExist): // another process was first
		_, err = safeFiles(path)
		return false, err
	case err != nil:
		return false, err
	}
	return true, syncFolder(filepath.Dir(path))
}

// safeFolder makes the folder, or looks whether others may write in it: they
// could put files of their own where SQLite puts its log.
func safeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("%w: everybody may write in %s; name a folder of its own inside it", ErrUnsafeFile, dir)
	}
	return nil
}

// safeFiles looks at the database and at what SQLite puts beside it, and takes
// away rights of others, which a copied backup may have.
func safeFiles(path string) (exists bool, err error) {
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if !info.Mode().IsRegular() {
			return false, fmt.Errorf("%w: %s is not a regular file", ErrUnsafeFile, name)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && os.Geteuid() != 0 {
			return false, fmt.Errorf("%w: %s belongs to another user", ErrUnsafeFile, name)
		}
		if info.Mode().Perm()&0o077 != 0 {
			if err := os.Chmod(name, 0o600); err != nil {
				return false, err
			}
		}
		if name == path {
			exists = true
			if info.Size() == 0 {
				return false, fmt.Errorf("%w: %s is empty", ErrForeignFile, name)
			}
		}
	}
	return exists, nil
}

// orphans refuses to make a database beside the log of one that is gone.
func orphans(path string) error {
	for _, name := range []string{path + "-wal", path + "-journal"} {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%w: %s is there without its database", ErrForeignFile, name)
		}
	}
	return nil
}

// build makes a migrated database in one file, on disk.
func build(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	db, err := openFile(path, false)
	if err != nil {
		return err
	}
	err = imprint(ctx, db)
	if err == nil {
		err = migrate(ctx, db)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return file.Sync()
}

func removeAll(path string) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		os.Remove(path + suffix)
	}
}

// syncFolder makes a new name in a folder last through a power cut.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
