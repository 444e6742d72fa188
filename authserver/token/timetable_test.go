package token

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world simulates replicas that share rows, and clients that cache what any of
// the replicas shows them. Real time is one clock; every machine's own clock
// is off by a constant of at most half the skew allowed between two machines.
type world struct {
	tt       Timetable
	now      time.Time
	rows     []plan
	replicas []*replica
	views    []view  // JWKS answers that a client may still hold
	tokens   []issue // tokens that are still alive
	signed   int
}

type plan struct {
	id string
	Times
}

type replica struct {
	offset time.Duration
	up     bool
	seen   []plan
	loaded time.Time
}

type view struct {
	at   time.Time
	kids []string
}

type issue struct {
	kid     string
	expires time.Time // by real time, skew included
}

func (w *world) refresh(r *replica) {
	clock := w.now.Add(r.offset)
	times := make([]Times, len(w.rows))
	for i, row := range w.rows {
		times[i] = row.Times
	}
	if next, due := w.tt.Due(times, clock); due {
		w.rows = append(slices.Clone(w.rows), plan{fmt.Sprintf("k%04d", len(w.rows)), next})
	}
	r.seen, r.loaded = w.rows, w.now
}

func (r *replica) published(clock time.Time) (kids []string) {
	for _, p := range r.seen {
		if p.Published(clock) {
			kids = append(kids, p.id)
		}
	}
	return kids
}

func (r *replica) signer(clock time.Time) string {
	best := ""
	var from time.Time
	for _, p := range r.seen {
		if p.State(clock) == Signing && (best == "" || !p.SignFrom.Before(from)) {
			best, from = p.id, p.SignFrom
		}
	}
	return best
}

// step lets every running replica reload when it has to, show its JWKS, and
// sign; then it asks every cached view about every living token.
func (w *world) step(t *rapid.T) {
	for _, r := range w.replicas {
		if r.up && w.now.Sub(r.loaded) >= w.tt.Reload {
			w.refresh(r)
		}
	}
	w.views = slices.DeleteFunc(w.views, func(v view) bool { return w.now.Sub(v.at) > w.tt.MaxAge })
	w.tokens = slices.DeleteFunc(w.tokens, func(i issue) bool { return w.now.After(i.expires) })
	for _, r := range w.replicas {
		if !r.up {
			continue
		}
		clock := w.now.Add(r.offset)
		w.views = append(w.views, view{w.now, r.published(clock)})
		if kid := r.signer(clock); kid != "" {
			if !slices.Contains(r.published(clock), kid) {
				t.Fatalf("%s: replica signs with %s, which it does not publish", w.now, kid)
			}
			w.signed++
			w.tokens = append(w.tokens, issue{kid, w.now.Add(w.tt.TTL)})
		}
	}
	for _, v := range w.views {
		for _, tok := range w.tokens {
			if !slices.Contains(v.kids, tok.kid) {
				t.Fatalf("%s: a client that fetched the JWKS at %s (%v) meets a token signed with %s", w.now, v.at, v.kids, tok.kid)
			}
		}
	}
	w.tokens = compact(w.tokens)
}

// compact keeps the longest-living token of each key.
func compact(tokens []issue) []issue {
	last := map[string]issue{}
	for _, tok := range tokens {
		if have, ok := last[tok.kid]; !ok || tok.expires.After(have.expires) {
			last[tok.kid] = tok
		}
	}
	var out []issue
	for _, tok := range last {
		out = append(out, tok)
	}
	return out
}

// TestEveryTokenIsVerifiableByCachingClients is the promise of the timetable
// over a simulated year: several replicas, clocks apart by the skew, restarts
// and long outages of some or all of them, an operator who rotates by hand,
// and clients that keep a JWKS answer for its whole max-age.
func TestEveryTokenIsVerifiableByCachingClients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tt := DefaultTimetable()
		if rapid.Bool().Draw(t, "short periods") {
			tt.Period, tt.Grace, tt.Lead = 26*time.Hour, 3*time.Hour, tt.MinLead()
		}
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		w := &world{tt: tt, now: start}
		for range rapid.IntRange(1, 4).Draw(t, "replicas") {
			half := int64(tt.Skew / 2)
			offset := time.Duration(rapid.Int64Range(-half, half).Draw(t, "offset"))
			w.replicas = append(w.replicas, &replica{offset: offset})
		}
		strides := []time.Duration{
			time.Second, 20 * time.Second, 50 * time.Second, tt.Reload, 3 * time.Minute,
			tt.MaxAge, tt.MinLead(), time.Hour, 5 * time.Hour, 20 * time.Hour, 6 * 24 * time.Hour,
		}
		for i := 0; w.now.Before(start.AddDate(1, 0, 0)) && i < 2000; i++ {
			w.disturb(t)
			stride := rapid.SampledFrom(strides).Draw(t, "stride")
			// Replicas that run reload in time, however long the stride is.
			if stride > tt.Reload && w.anyUp() {
				for end := w.now.Add(stride); w.now.Before(end.Add(-tt.Reload)); {
					w.now = w.now.Add(min(tt.Reload*211, end.Sub(w.now)))
					w.reloadAll()
				}
			} else {
				w.now = w.now.Add(stride)
			}
			w.step(t)
		}
		if w.signed == 0 {
			t.Skip("nobody was ever up")
		}
	})
}

// disturb restarts, stops or starts a replica, or rotates by hand.
func (w *world) disturb(t *rapid.T) {
	r := w.replicas[rapid.IntRange(0, len(w.replicas)-1).Draw(t, "which")]
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		r.up = false
	case 1:
		if w.anyUp() && len(w.rows) < 100 {
			clock := w.now.Add(r.offset)
			w.rows = append(slices.Clone(w.rows), plan{fmt.Sprintf("k%04d", len(w.rows)), w.tt.Rotated(clock)})
		}
	case 2, 3, 4:
		if !r.up {
			r.up = true
			w.refresh(r)
		}
	}
}

func (w *world) anyUp() bool {
	return slices.ContainsFunc(w.replicas, func(r *replica) bool { return r.up })
}

func (w *world) reloadAll() {
	for _, r := range w.replicas {
		if r.up {
			w.refresh(r)
		}
	}
}

func TestTimetableThatCannotKeepItsPromiseIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Timetable){
		"lead shorter than max-age": func(tt *Timetable) { tt.Lead = tt.MaxAge },
		"period within lead":        func(tt *Timetable) { tt.Period = tt.Lead },
		"no max-age":                func(tt *Timetable) { tt.MaxAge = 0 },
		"negative grace":            func(tt *Timetable) { tt.Grace = -1 },
	} {
		tt := DefaultTimetable()
		spoil(&tt)
		if tt.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := DefaultTimetable().Validate(); err != nil {
		t.Errorf("default timetable: %v", err)
	}
}

func TestStatesFollowOneAnother(t *testing.T) {
	tt := DefaultTimetable()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := tt.Rotated(now)
	for _, c := range []struct {
		at   time.Time
		want State
	}{
		{now.Add(-tt.Skew - time.Millisecond), Waiting},
		{now.Add(-tt.Skew), Published},
		{now, Published},
		{k.SignFrom.Add(-time.Millisecond), Published},
		{k.SignFrom, Signing},
		{k.SignUntil.Add(-time.Millisecond), Signing},
		{k.SignUntil, Retiring},
		{k.RetireAt.Add(-time.Millisecond), Retiring},
		{k.RetireAt, Retired},
	} {
		if got := k.State(c.at); got != c.want {
			t.Errorf("state at %s = %s, want %s", c.at, got, c.want)
		}
	}
}
