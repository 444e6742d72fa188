package token

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Store keeps key rows. All replicas of one issuer share it.
type Store interface {
	// SigningKeys returns every row that was ever added, in any order, and
	// the generation of the table, which every change raises.
	SigningKeys(ctx context.Context) (rows []Row, generation int64, err error)
	// AddSigningKey adds a row if the generation is still the one given, and
	// returns ErrRaced otherwise. Comparing and adding are one atomic step:
	// two replicas that start together must not both make a first key.
	AddSigningKey(ctx context.Context, generation int64, row Row) error
	// EraseSigningKey removes the private part of a row for good. Erasing an
	// erased row is no error.
	EraseSigningKey(ctx context.Context, kid string) error
}

var (
	// ErrRaced means that another replica added a key in the meantime.
	ErrRaced = errors.New("another replica added a signing key")
	// ErrWrongMaster means that the store holds keys and none of them opens.
	// The cure is the right master key; a new key would not help anybody.
	ErrWrongMaster = errors.New("no signing key in the store opens under this master key")
	// ErrNoSigner means that no key may sign now. It is temporary: a new key
	// has been made and waits until every verifier can know it.
	ErrNoSigner = errors.New("no signing key may be used yet")
)

// Ring holds the signing keys of one issuer. Its methods may be called from
// any goroutine; reading never waits for the store.
type Ring struct {
	store     Store
	master    *Master
	timetable Timetable
	generate  func() (*rsa.PrivateKey, error)

	refreshing sync.Mutex // one Refresh or Rotate at a time
	snapshot   atomic.Pointer[snapshot]
	document   atomic.Pointer[document]
}

// snapshot is what the store held at one moment. It never changes.
type snapshot struct {
	keys       []*key // every row that opened
	shut       int    // rows that did not
	generation int64
}

// Open loads the keys and makes the first one if there is none. It returns
// ErrWrongMaster if rows exist and none of them opens; it never makes a key
// beside rows that it cannot read.
func Open(ctx context.Context, store Store, master *Master, tt Timetable, now time.Time) (*Ring, error) {
	return open(ctx, store, master, tt, now, generate)
}

func open(ctx context.Context, store Store, master *Master, tt Timetable, now time.Time, generate func() (*rsa.PrivateKey, error)) (*Ring, error) {
	if err := tt.Validate(); err != nil {
		return nil, err
	}
	r := &Ring{store: store, master: master, timetable: tt, generate: generate}
	if err := r.Refresh(ctx, now); err != nil {
		return nil, err
	}
	return r, nil
}

// Refresh reads the rows again, makes a successor when one is due, and erases
// private parts that are past their use. It is to be called at least every
// Timetable.Reload. On error the ring goes on with what it had.
func (r *Ring) Refresh(ctx context.Context, now time.Time) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	snap, err := r.load(ctx)
	if err != nil {
		return err
	}
	if times, due := r.timetable.Due(snap.times(), now); due {
		if snap, err = r.add(ctx, snap, times); err != nil {
			return err
		}
	}
	r.snapshot.Store(snap)
	return r.erase(ctx, snap, now)
}

// Rotate makes a key that takes over as soon as every verifier must have seen
// it, and returns its id and times.
func (r *Ring) Rotate(ctx context.Context, now time.Time) (Key, error) {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	snap, err := r.load(ctx)
	if err != nil {
		return Key{}, err
	}
	before := snap
	if snap, err = r.add(ctx, snap, r.timetable.Rotated(now)); err != nil {
		return Key{}, err
	}
	r.snapshot.Store(snap)
	for _, k := range snap.keys {
		if !before.has(k.kid) {
			return Key{KID: k.kid, State: k.State(now), Times: k.Times}, nil
		}
	}
	return Key{}, ErrRaced
}

// load reads and opens all rows.
func (r *Ring) load(ctx context.Context) (*snapshot, error) {
	rows, generation, err := r.store.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	known := r.snapshot.Load()
	snap := &snapshot{generation: generation}
	for _, row := range rows {
		k, err := row.open(r.master)
		if err != nil {
			snap.shut++
			continue
		}
		if known != nil {
			k = known.reuse(k)
		}
		snap.keys = append(snap.keys, k)
	}
	if len(rows) > 0 && len(snap.keys) == 0 {
		return nil, ErrWrongMaster
	}
	return snap, nil
}

// add makes a key with the given times. If another replica was quicker, its
// rows are loaded instead.
func (r *Ring) add(ctx context.Context, snap *snapshot, times Times) (*snapshot, error) {
	private, err := r.generate()
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	row, err := newRow(r.master, private, times)
	if err != nil {
		return nil, err
	}
	if err := r.store.AddSigningKey(ctx, snap.generation, row); err != nil && !errors.Is(err, ErrRaced) {
		return nil, fmt.Errorf("add signing key: %w", err)
	}
	return r.load(ctx)
}

// erase removes private parts whose keys may not sign any more.
func (r *Ring) erase(ctx context.Context, snap *snapshot, now time.Time) error {
	for i, k := range snap.keys {
		if k.private == nil || now.Before(k.SignUntil) {
			continue
		}
		if err := r.store.EraseSigningKey(ctx, k.kid); err != nil {
			return fmt.Errorf("erase signing key: %w", err)
		}
		bare := *k
		bare.private = nil
		next := &snapshot{keys: slices.Clone(snap.keys), shut: snap.shut, generation: snap.generation}
		next.keys[i] = &bare
		r.snapshot.Store(next)
		snap = next
	}
	return nil
}

// Key describes one key for operators. It holds nothing secret.
type Key struct {
	KID    string
	State  State
	Erased bool // the private part is gone
	Times
}

// Keys lists the keys that open, oldest first, and counts the rows that do
// not. A count above zero means that somebody without the master key wrote to
// the store.
func (r *Ring) Keys(now time.Time) (keys []Key, shut int) {
	snap := r.snapshot.Load()
	for _, k := range snap.keys {
		keys = append(keys, Key{KID: k.kid, State: k.State(now), Erased: k.private == nil, Times: k.Times})
	}
	slices.SortFunc(keys, func(a, b Key) int { return a.SignFrom.Compare(b.SignFrom) })
	return keys, snap.shut
}

// SignableAt reports from when on tokens can be signed: now or earlier if they
// can be already, the zero time if no key is planned.
func (r *Ring) SignableAt(now time.Time) time.Time {
	snap := r.snapshot.Load()
	if signer(snap.keys, now) >= 0 {
		return now
	}
	var next time.Time
	for _, k := range snap.keys {
		if k.private != nil && k.SignFrom.After(now) && (next.IsZero() || k.SignFrom.Before(next)) {
			next = k.SignFrom
		}
	}
	return next
}

func (s *snapshot) times() []Times {
	times := make([]Times, len(s.keys))
	for i, k := range s.keys {
		times[i] = k.Times
	}
	return times
}

func (s *snapshot) has(kid string) bool {
	return slices.ContainsFunc(s.keys, func(k *key) bool { return k.kid == kid })
}

// reuse returns the key already in memory if the row is still the same, so
// that RSA precomputation happens once per key and not on every reload.
func (s *snapshot) reuse(k *key) *key {
	for _, old := range s.keys {
		if old.kid == k.kid && old.Times == k.Times && (old.private == nil) == (k.private == nil) {
			return old
		}
	}
	return k
}
