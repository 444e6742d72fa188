package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lastGood is the document that jwks.file holds: the last good key set with where and when it
// was fetched, so that a gateway which starts while the issuer is down has keys, for no longer
// than max_stale after that fetch.
type lastGood struct {
	Issuer  string          `json:"issuer"`
	JWKSURI string          `json:"jwks_uri"`
	Fetched time.Time       `json:"fetched_at"`
	JWKS    json.RawMessage `json:"jwks"`
}

// clockTolerance is how far in the future a fetch may lie: the clock may have been set.
const clockTolerance = time.Minute

// restore publishes the keys of jwks.file, when there are none yet. A file that cannot be
// used is a warning, since the network will bring better ones.
func (s *source) restore() {
	path := s.config.JWKS.File
	if path == "" || s.snapshot() != nil {
		return
	}
	snap, uri, err := s.readLastGood(path, time.Now())
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		s.log.Warn("the stored key set is not used", "file", path, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snap.Store(snap)
	s.report.hadKeys, s.report.uri = true, uri
	s.log.Info("key set restored from disk", "file", path, "keys", snap.set.ids(), "fetched", snap.fetched)
	s.warnSkipped(snap.set)
}

func (s *source) readLastGood(path string, now time.Time) (*snapshot, string, error) {
	raw, err := readOwn(path, 2*s.config.JWKS.MaxBytes+4096)
	if err != nil {
		return nil, "", err
	}
	var stored lastGood
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, "", err
	}
	if stored.Issuer != s.config.Issuer || (s.config.JWKSURI != "" && stored.JWKSURI != s.config.JWKSURI) {
		return nil, "", fmt.Errorf("it holds keys of issuer %q from %q", clip(stored.Issuer), clip(stored.JWKSURI))
	}
	if stored.Fetched.After(now.Add(clockTolerance)) {
		return nil, "", fmt.Errorf("it was fetched in the future, at %s", stored.Fetched)
	}
	until := stored.Fetched.Add(s.config.JWKS.MaxStale)
	if !now.Before(until) {
		return nil, "", fmt.Errorf("it was fetched at %s, longer ago than max_stale", stored.Fetched)
	}
	set, err := parseKeySet(stored.JWKS)
	if err != nil {
		return nil, "", err
	}
	return &snapshot{set: set, fetched: stored.Fetched, until: until}, stored.JWKSURI, nil
}

// readOwn reads a regular file that is ours alone: whoever else can write it chooses whose
// tokens are good.
func readOwn(path string, maxBytes int64) ([]byte, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() || !os.SameFile(before, stat) {
		return nil, errors.New("not a regular file")
	}
	if stat.Mode().Perm()&0o077 != 0 || !ownedByUs(stat) {
		return nil, fmt.Errorf("mode %s: it must be ours, and 0600", stat.Mode())
	}
	return readAll(f, maxBytes)
}

// keep stores what was loaded. A 304 moves the time of the fetch, and is stored as well. The
// driver calls it without holding mu: a slow disk holds up nobody.
func (s *source) keep(doc *document, fetched time.Time) {
	path := s.config.JWKS.File
	if path == "" {
		return
	}
	if !doc.unchanged {
		s.stored = doc.raw
	}
	if s.stored == nil {
		return
	}
	stored := lastGood{Issuer: s.config.Issuer, JWKSURI: doc.uri, Fetched: fetched.UTC(), JWKS: s.stored}
	if err := writeOwn(path, &stored); err != nil {
		s.log.Warn("the key set could not be stored", "file", path, "error", err)
	}
}

// writeOwn replaces the file in one step, so that a crash leaves the old one or the new one.
func writeOwn(path string, stored *lastGood) (err error) {
	raw, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // makes it 0600, O_EXCL
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
