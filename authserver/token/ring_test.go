package token

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// rows is a Store in memory, with the atomicity that the interface asks for.
type rows struct {
	mu   sync.Mutex
	list []Row
}

func (s *rows) SigningKeys(context.Context) ([]Row, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list), int64(len(s.list)), nil
}

func (s *rows) AddSigningKey(_ context.Context, generation int64, row Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(s.list)) != generation {
		return ErrRaced
	}
	s.list = append(s.list, row)
	return nil
}

func (s *rows) EraseSigningKey(_ context.Context, kid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		if s.list[i].KID == kid {
			s.list[i].Sealed = nil
		}
	}
	return nil
}

var start = time.Date(2026, 5, 4, 10, 0, 0, 600e6, time.UTC)

func testMaster(t *testing.T, fill byte) *Master {
	t.Helper()
	m, err := NewMaster(bytes.Repeat([]byte{fill}, MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pool hands out keys made once for all tests: making them is the slow part.
var pool = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 6)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := generate()
			if err != nil {
				panic(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	return keys
})

func fromPool() func() (*rsa.PrivateKey, error) {
	next := 0
	return func() (*rsa.PrivateKey, error) {
		k := pool()[next%len(pool())]
		next++
		return k, nil
	}
}

func testRing(t *testing.T, store Store, now time.Time) *Ring {
	t.Helper()
	r, err := open(t.Context(), store, testMaster(t, 7), DefaultTimetable(), now, fromPool())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testLogin() Login {
	return Login{
		Issuer: "http://localhost:8000", Subject: "0198c0de-0000-7000-8000-000000000001",
		OrgID: "0198c0de-0000-7000-8000-000000000002", TTL: 10 * time.Minute,
		Scopes: []string{"example_service.billing.read", "auth.user.read", "auth.user.read"},
		Roles:  []string{"owner"},
	}
}

func TestFirstKeySignsAtOnceAndIsMadeOnce(t *testing.T) {
	store := &rows{}
	first := testRing(t, store, start)
	second := testRing(t, store, start)
	signed, _, err := second.Login(testLogin(), start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Verify(signed, "http://localhost:8000", start); err != nil {
		t.Errorf("another replica refuses the token: %v", err)
	}
	if len(store.list) != 1 {
		t.Errorf("%d rows, want 1", len(store.list))
	}
}

// racing returns its rows, but another replica is always a little quicker.
type racing struct {
	rows
	rival func()
}

func (s *racing) AddSigningKey(ctx context.Context, generation int64, row Row) error {
	if s.rival != nil {
		rival := s.rival
		s.rival = nil
		rival()
	}
	return s.rows.AddSigningKey(ctx, generation, row)
}

func TestReplicasThatStartTogetherShareTheFirstKey(t *testing.T) {
	store := &racing{}
	store.rival = func() {
		r, err := open(t.Context(), &store.rows, testMaster(t, 7), DefaultTimetable(), start, func() (*rsa.PrivateKey, error) { return pool()[5], nil })
		if err != nil || r == nil {
			t.Error(err)
		}
	}
	late := testRing(t, store, start)
	keys, _ := late.Keys(start)
	if len(keys) != 1 {
		t.Fatalf("%d keys, want the rival's only", len(keys))
	}
	if _, _, err := late.Login(testLogin(), start); err != nil {
		t.Errorf("login with the rival's key: %v", err)
	}
}

func TestJWKSHoldsPublicMembersOnly(t *testing.T) {
	r := testRing(t, &rows{}, start)
	body, etag := r.JWKS(start)
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		var names []string
		for name := range k {
			names = append(names, name)
		}
		slices.Sort(names)
		if got, want := strings.Join(names, " "), "alg e kid kty n use"; got != want {
			t.Errorf("members %q, want %q", got, want)
		}
		if k["e"] != "AQAB" || k["alg"] != "RS256" || k["kty"] != "RSA" || k["use"] != "sig" {
			t.Errorf("unexpected key %v", k)
		}
	}
	if len(set.Keys) != 1 || !strings.HasPrefix(etag, `"`) {
		t.Errorf("%d keys, etag %s", len(set.Keys), etag)
	}
	again, same := r.JWKS(start.Add(time.Minute))
	if !bytes.Equal(body, again) || same != etag {
		t.Error("the document changes although its keys do not")
	}
}

// TestAYearOfKeys runs the real ring, with real signatures, through a year of
// refreshes and looks at the rows it leaves behind.
func TestAYearOfKeys(t *testing.T) {
	store := &rows{}
	pooled := slices.Clone(pool())
	made := 0
	fresh := func() (*rsa.PrivateKey, error) {
		made++
		if made <= len(pooled) {
			return pooled[made-1], nil
		}
		return rsa.GenerateKey(rand.Reader, KeyBits)
	}
	r, err := open(t.Context(), store, testMaster(t, 7), DefaultTimetable(), start, fresh)
	if err != nil {
		t.Fatal(err)
	}
	etags := map[string]bool{}
	for now := start; now.Before(start.AddDate(1, 0, 0)); now = now.Add(6 * time.Hour) {
		if err := r.Refresh(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		signed, _, err := r.Login(testLogin(), now)
		if err != nil {
			t.Fatalf("%s: %v", now, err)
		}
		if _, err := r.Verify(signed, "http://localhost:8000", now); err != nil {
			t.Fatalf("%s: %v", now, err)
		}
		_, etag := r.JWKS(now)
		etags[etag] = true
		for _, row := range store.list {
			if erased := len(row.Sealed) == 0; erased != !now.Before(row.SignUntil) {
				t.Fatalf("%s: key until %s, erased %v", now, row.SignUntil, erased)
			}
		}
	}
	if made != 13 {
		t.Errorf("%d keys in a year, want 13", made)
	}
	if len(etags) < 2*12 {
		t.Errorf("%d different documents, want two for each change", len(etags))
	}
}

func TestRotateShowsTheKeyBeforeItSigns(t *testing.T) {
	store := &rows{}
	r := testRing(t, store, start)
	old, _ := r.Keys(start)
	next, err := r.Rotate(t.Context(), start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	at := start.Add(time.Hour)
	if next.State != Published || next.SignFrom.Sub(at).Round(time.Second) != DefaultTimetable().MinLead() {
		t.Errorf("rotated key %+v", next)
	}
	if kid := signedWith(t, r, at); kid != old[0].KID {
		t.Errorf("signs with %s before the lead is over", kid)
	}
	if kid := signedWith(t, r, next.SignFrom); kid != next.KID {
		t.Errorf("signs with %s after the lead", kid)
	}
}

func signedWith(t *testing.T, r *Ring, now time.Time) string {
	t.Helper()
	signed, _, err := r.Login(testLogin(), now)
	if err != nil {
		t.Fatal(err)
	}
	kid, err := readHeader([]byte(part(t, signed, 0)))
	if err != nil {
		t.Fatal(err)
	}
	return kid
}

// TestDownForMonths: nobody can remember the old keys, so the new one may sign
// at once; down for a little too long, and it has to be shown first.
func TestDownForMonths(t *testing.T) {
	tt := DefaultTimetable()
	store := &rows{}
	testRing(t, store, start)
	back := start.Add(tt.Period + tt.Grace + 48*time.Hour)
	r, err := open(t.Context(), store, testMaster(t, 7), tt, back, func() (*rsa.PrivateKey, error) { return pool()[1], nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Login(testLogin(), back); err != nil {
		t.Errorf("after months: %v", err)
	}

	store = &rows{}
	testRing(t, store, start)
	back = start.Add(tt.Period + tt.Grace + time.Minute)
	r, err = open(t.Context(), store, testMaster(t, 7), tt, back, func() (*rsa.PrivateKey, error) { return pool()[1], nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Login(testLogin(), back); !errors.Is(err, ErrNoSigner) {
		t.Errorf("just after the last use: %v, want ErrNoSigner", err)
	}
	if wait := r.SignableAt(back).Sub(back); wait <= 0 || wait > tt.MinLead() {
		t.Errorf("signable in %s", wait)
	}
}

func TestRowsOfAStrangerAreNeitherPublishedNorUsed(t *testing.T) {
	store := &rows{}
	r := testRing(t, store, start)
	before, _ := r.JWKS(start)
	forged, err := newRow(testMaster(t, 9), pool()[3], DefaultTimetable().First(start.Add(time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	store.list = append(store.list, forged)
	if err := r.Refresh(t.Context(), start.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if after, _ := r.JWKS(start.Add(2 * time.Minute)); !bytes.Equal(before, after) {
		t.Error("the stranger's key is published")
	}
	if _, shut := r.Keys(start); shut != 1 {
		t.Errorf("alarm counts %d, want 1", shut)
	}
}

func TestChangedRowsDoNotOpen(t *testing.T) {
	m := testMaster(t, 7)
	good, err := newRow(m, pool()[0], DefaultTimetable().First(start))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newRow(m, pool()[1], DefaultTimetable().First(start))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Row){
		"longer life":          func(r *Row) { r.SignUntil = r.SignUntil.Add(time.Millisecond) },
		"longer shown":         func(r *Row) { r.RetireAt = r.RetireAt.Add(time.Hour) },
		"used earlier":         func(r *Row) { r.SignFrom = r.SignFrom.Add(-time.Hour) },
		"shown later":          func(r *Row) { r.PublishAt = r.PublishAt.Add(time.Hour) },
		"another key id":       func(r *Row) { r.KID = other.KID },
		"another algorithm":    func(r *Row) { r.Alg = "RS512" },
		"another public key":   func(r *Row) { r.KID, r.Public = other.KID, other.Public },
		"its seal with theirs": func(r *Row) { r.Public = bytes.Replace(r.Public, sealOf(r), sealOf(&other), 1) },
		"a smaller key":        func(r *Row) { r.Public = bytes.Replace(r.Public, []byte(`"n":"`), []byte(`"n":"","x":"`), 1) },
		"another private key":  func(r *Row) { r.Sealed = other.Sealed },
		"seal as private key":  func(r *Row) { r.Sealed, _ = base64.RawURLEncoding.DecodeString(string(sealOf(r))) },
		"no seal":              func(r *Row) { r.Public = bytes.Replace(r.Public, sealOf(r), nil, 1) },
		"no public part":       func(r *Row) { r.Public = nil },
		"one bit":              func(r *Row) { r.Sealed = slices.Clone(r.Sealed); r.Sealed[40] ^= 1 },
	} {
		bad := good
		change(&bad)
		if _, err := bad.open(m); err == nil {
			t.Errorf("%s: opens", name)
		}
	}
	if _, err := good.open(m); err != nil {
		t.Errorf("unchanged row: %v", err)
	}
	erased := good
	erased.Sealed = nil
	if k, err := erased.open(m); err != nil || k.private != nil {
		t.Errorf("erased row: %v", err)
	}
}

func sealOf(r *Row) []byte {
	var rec record
	if err := json.Unmarshal(r.Public, &rec); err != nil {
		panic(err)
	}
	return []byte(rec.Seal)
}

// TestRevokedKeyIsGoneAtOnce: it signs nothing, verifies nothing and is shown
// to nobody, and its successor is made without being asked for.
func TestRevokedKeyIsGoneAtOnce(t *testing.T) {
	store := &rows{}
	r := testRing(t, store, start)
	signed, _, err := r.Login(testLogin(), start)
	if err != nil {
		t.Fatal(err)
	}
	at := start.Add(time.Minute)
	store.list[0].RevokedAt, store.list[0].Sealed = at, nil
	r.generate = func() (*rsa.PrivateKey, error) { return pool()[2], nil }
	for range 3 {
		if err := r.Refresh(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Verify(signed, "http://localhost:8000", at); !errors.Is(err, ErrSignature) {
		t.Errorf("a token of the revoked key: %v", err)
	}
	if body, _ := r.JWKS(at); bytes.Contains(body, []byte(store.list[0].KID)) {
		t.Error("the revoked key is published")
	}
	if len(store.list) != 2 {
		t.Fatalf("%d rows, want one successor", len(store.list))
	}
	if _, _, err := r.Login(testLogin(), at); !errors.Is(err, ErrNoSigner) {
		t.Errorf("signs before anybody can know the new key: %v", err)
	}
	if kid := signedWith(t, r, at.Add(DefaultTimetable().MinLead())); kid != store.list[1].KID {
		t.Errorf("signs with %s", kid)
	}
}

// TestClockSetBack: a key from the future is not used; once it is withdrawn, a
// new one takes over as after any withdrawal.
func TestClockSetBack(t *testing.T) {
	store := &rows{}
	r := testRing(t, store, start.AddDate(1, 0, 0))
	r.generate = func() (*rsa.PrivateKey, error) { return pool()[2], nil }
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Login(testLogin(), start); !errors.Is(err, ErrNoSigner) {
		t.Errorf("signed with a key from the future: %v", err)
	}
	store.list[0].RevokedAt, store.list[0].Sealed = start, nil
	if err := r.Refresh(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	if kid := signedWith(t, r, start.Add(DefaultTimetable().MinLead())); kid != store.list[1].KID {
		t.Errorf("signs with %s", kid)
	}
}

func TestWrongMasterKeyNeverMakesANewKey(t *testing.T) {
	store := &rows{}
	testRing(t, store, start)
	_, err := open(t.Context(), store, testMaster(t, 8), DefaultTimetable(), start, fromPool())
	if !errors.Is(err, ErrWrongMaster) {
		t.Errorf("got %v, want ErrWrongMaster", err)
	}
	if len(store.list) != 1 {
		t.Errorf("%d rows, want the one that was there", len(store.list))
	}
}
