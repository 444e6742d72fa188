package token

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func cacheOf(v *Verifier) CacheStats { return v.Stats() }

func TestTokenIsVerifiedOnce(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	raw := pair("ec256").token("ES256", claims(nil))
	first := must(v.Verify(t.Context(), raw, nil))
	for range 9 {
		if again := must(v.Verify(t.Context(), raw, nil)); again != first {
			t.Fatal("another token came back")
		}
	}
	if s := cacheOf(v); s.Hits != 9 || s.Misses != 1 || s.Entries != 1 || v.verified.Load() != 1 {
		t.Errorf("%+v, %d verifications", s, v.verified.Load())
	}
}

// A burst of one new token costs one verification, however many bring it, and each of them may
// use its buffer again as soon as it has its answer.
func TestBurstOfOneTokenIsVerifiedOnce(t *testing.T) {
	for _, c := range signed {
		v := inlineVerifier(t, nil, c.key)
		const bursts = 10
		for i := range bursts {
			raw := pair(c.key).token(c.alg, claims(map[string]any{"jti": fmt.Sprint(i)}))
			var all sync.WaitGroup
			start := make(chan struct{})
			for range 100 {
				buffer := []byte(raw)
				all.Go(func() {
					<-start
					got, err := v.Verify(t.Context(), unsafeString(buffer), nil)
					clear(buffer)
					if err != nil || got.Subject != "u1" || got.Claims()["jti"] != fmt.Sprint(i) {
						t.Errorf("%s: %v %v", c.alg, got, err)
					}
				})
			}
			close(start)
			all.Wait()
		}
		if n := v.verified.Load(); n != bursts {
			t.Errorf("%s: %d verifications of %d tokens", c.alg, n, bursts)
		}
	}
}

// Those who wait for a verification that panics verify for themselves.
func TestBrokenFlightFailsNobodyElse(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	raw := pair("ec256").token("ES256", claims(nil))
	hash := v.cache.hash(raw)
	shard := v.cache.shard(hash)
	f, first := shard.board(raw, hash)
	if !first {
		t.Fatal("somebody else is verifying")
	}
	same, again := shard.board(raw, hash)
	if again || same != f {
		t.Fatal("the second one does not share the flight")
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if got, err := v.together(raw, hash); err != nil || got.Subject != "u1" {
			t.Errorf("%v %v", got, err)
		}
	})
	shard.land(f, hash) // as the deferred call of one that panicked
	waiting.Wait()
}

// Tokens with one hash do not share a flight.
func TestFlightsCompareTheWholeToken(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	shard := v.cache.shard(1)
	one, first := shard.board("one", 1)
	other, alone := shard.board("two", 1)
	if !first || !alone || one == other {
		t.Fatal("two tokens share a flight")
	}
	shard.land(other, 1)
	if _, again := shard.board("one", 1); again {
		t.Error("the landing of one ended the flight of the other")
	}
}

func TestCacheOffVerifiesEveryTime(t *testing.T) {
	config := IssuerConfig{Issuer: testIssuer, Inline: published("ec256"), Audience: Audience{Mode: AudienceNone}, Algorithms: []string{"ES256"}}
	v := must(New(Config{Issuers: []IssuerConfig{config}, CacheEntries: -1}, nil))
	raw := pair("ec256").token("ES256", claims(nil))
	for range 3 {
		must(v.Verify(t.Context(), raw, nil))
	}
	if v.verified.Load() != 3 || cacheOf(v) != (CacheStats{}) {
		t.Errorf("%d verifications, %+v", v.verified.Load(), cacheOf(v))
	}
}

func TestCachedTokenEndsAtExpPlusSkew(t *testing.T) {
	pair("ec256")
	synctest.Test(t, func(t *testing.T) {
		v := inlineVerifier(t, nil, "ec256")
		raw := pair("ec256").token("ES256", claims(nil))
		token := must(v.Verify(t.Context(), raw, nil))
		time.Sleep(600*time.Second + DefaultSkew - time.Nanosecond)
		must(v.Verify(t.Context(), raw, nil))
		if !v.Active(token) {
			t.Error("not active a moment before its end")
		}
		time.Sleep(time.Nanosecond)
		_, err := v.Verify(t.Context(), raw, nil)
		wantReason(t, err, ReasonExpired)
		if v.Active(token) || cacheOf(v).Entries != 0 {
			t.Errorf("active %v, %+v", v.Active(token), cacheOf(v))
		}
	})
}

func TestSweepForgetsEndedTokens(t *testing.T) {
	pair("ec256")
	synctest.Test(t, func(t *testing.T) {
		v := inlineVerifier(t, nil, "ec256")
		must(v.Verify(t.Context(), pair("ec256").token("ES256", claims(nil)), nil))
		must(v.Verify(t.Context(), pair("ec256").token("ES256", claims(map[string]any{"exp": time.Now().Add(time.Hour).Unix()})), nil))
		v.sweep(time.Now().Add(20 * time.Minute))
		if s := cacheOf(v); s.Entries != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// What strangers invent takes no room.
func TestInvalidTokensTakeNoRoom(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	for i := range 500 {
		c := claims(map[string]any{"jti": i})
		for _, raw := range []string{
			fmt.Sprintf("garbage-%d", i),
			pair("ec256").token("ES256", claims(map[string]any{"exp": 1, "jti": i})),
			pair("ec256-other").tokenOf("ES256", `{"alg":"ES256","typ":"at+jwt","kid":"ec256"}`, string(mustJSON(c))),
			invented(fmt.Sprint("kid-", i)),
		} {
			if _, err := v.Verify(t.Context(), raw, nil); err == nil {
				t.Fatal("accepted")
			}
		}
	}
	if s := cacheOf(v); s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// put remembers a token that a cache takes, without a signature to make. The subject gives
// it its size.
func put(c *cache, v *Verifier, raw string, terms *Terms, size int) *Token {
	t := &Token{Terms: terms, ExpiresAt: time.Now().Add(time.Hour)}
	t.keep([]byte(raw), strings.Repeat("x", size))
	hash := c.hash(raw)
	c.shard(hash).put(t, hash)
	return t
}

func termsFor(v *Verifier, size int) *Terms {
	iss := v.issuers[testIssuer]
	return &Terms{issuer: iss, thumb: iss.source.snapshot().set.keys[0].thumb, own: size}
}

func get(c *cache, raw string) *Token {
	hash := c.hash(raw)
	return c.shard(hash).get(raw, hash)
}

func TestCacheIsBoundedByEntriesAndBytes(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.IntRange(1, 20).Draw(t, "entries")
		bytes := rapid.IntRange(1000, 20000).Draw(t, "bytes")
		terms := []*Terms{termsFor(v, 0), termsFor(v, 500), termsFor(v, 3000)}
		c := newCache(entries, int64(bytes))
		live, names := map[string]*Token{}, map[*Token]string{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			raw := fmt.Sprint("token-", rapid.IntRange(0, 40).Draw(t, "raw"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				live[raw] = put(c, v, raw, rapid.SampledFrom(terms).Draw(t, "terms"), rapid.IntRange(0, 4000).Draw(t, "size"))
				names[live[raw]] = raw
			case 2:
				if got := get(c, raw); got != nil && names[got] != raw {
					t.Fatalf("%s stands for another token", raw)
				}
			case 3:
				if live[raw] != nil {
					c.shards[0].drop(live[raw])
				}
			case 4:
				if live[raw] != nil {
					live[raw].Memo().Store("", rapid.IntRange(0, 4000).Draw(t, "memo"))
					live[raw].Terms.Memo().Store("", rapid.IntRange(0, 500).Draw(t, "terms' memo"))
					c.sweep(time.Now())
				}
			}
			checkShard(t, c, entries, bytes)
		}
	})
}

// checkShard compares the counters and the queue of a cache with one shard.
func checkShard(t *rapid.T, c *cache, entries, bytes int) {
	s := &c.shards[0]
	n, sum, terms := 0, 0, map[*Terms]int{}
	for e := s.oldest; e != nil; e = e.place.newer {
		n, sum = n+1, sum+int(e.place.counted)
		terms[e.Terms]++
		if s.tokens[e.place.hash] != e || (e.place.newer == nil) != (s.newest == e) {
			t.Fatal("queue and map differ")
		}
	}
	for of, u := range s.terms {
		sum += u.counted
		if terms[of] != u.tokens {
			t.Fatalf("terms of %d tokens, %d are there", u.tokens, terms[of])
		}
	}
	if n != len(s.tokens) || n > entries || sum != s.bytes || sum > bytes || len(terms) != len(s.terms) {
		t.Fatalf("%d entries of at most %d, %d bytes of at most %d (counted %d)", n, entries, sum, bytes, s.bytes)
	}
}

// A flood of distinct good tokens does not push out those in daily use.
func TestFloodSparesTokensInUse(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	c, terms := newCache(100, 1<<30), termsFor(v, 100)
	for i := range 50 {
		put(c, v, fmt.Sprint("daily-", i), terms, 100)
	}
	for i := range 10000 {
		put(c, v, fmt.Sprint("flood-", i), terms, 100)
		if get(c, fmt.Sprint("daily-", i%50)) == nil {
			t.Fatalf("daily-%d was pushed out by flood-%d", i%50, i)
		}
	}
}

// A tunnel may hold a token for hours after the cache forgot it: alone, not with a chain of others.
func TestForgottenTokenHoldsNoOther(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	c, terms := newCache(2, 1<<20), termsFor(v, 100)
	var all []*Token
	for i := range 6 {
		all = append(all, put(c, v, fmt.Sprint("token-", i), terms, 100))
	}
	for i, old := range all[:4] {
		if get(c, fmt.Sprint("token-", i)) != nil || old.place.newer != nil || old.place.older != nil {
			t.Errorf("token %d is in the cache or holds its neighbours", i)
		}
	}
}

// Two tokens with one hash must not be taken for each other: the whole token is compared, the header
// that it shares with others included.
func TestCacheComparesTheWholeToken(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	raw := pair("ec256").token("ES256", claims(nil))
	got := must(v.Verify(t.Context(), raw, nil))
	shard := v.cache.shard(got.place.hash)
	if shard.get(raw, got.place.hash) != got {
		t.Fatal("the token is not in the cache")
	}
	for i := range raw {
		other := raw[:i] + "!" + raw[i+1:]
		for _, other := range []string{other, raw[:i], raw[i+1:], raw[:i] + raw[i+1:], raw + raw[i:]} {
			if shard.get(other, got.place.hash) != nil {
				t.Fatalf("%q was taken for %q", other, raw)
			}
		}
	}
}

func TestAcceptanceIsJudgedOnHitsToo(t *testing.T) {
	v := inlineVerifier(t, func(ic *IssuerConfig) { ic.Audience = Audience{Mode: AudienceAny} }, "ec256")
	raw := pair("ec256").token("ES256", claims(map[string]any{"aud": []string{"billing"}}))
	names := func(names ...string) *Audience { return &Audience{Mode: AudienceNames, Names: names} }
	for range 2 { // the second round hits
		for _, c := range []struct {
			name   string
			accept *Acceptance
			want   Reason
		}{
			{"the issuer's own rule", nil, "accepted"},
			{"nothing more", &Acceptance{}, "accepted"},
			{"this issuer", &Acceptance{Issuers: []string{"https://x.example", testIssuer}}, "accepted"},
			{"another issuer", &Acceptance{Issuers: []string{"https://x.example"}}, ReasonIssuer},
			{"no issuer", &Acceptance{Issuers: []string{}}, ReasonIssuer},
			{"this audience", &Acceptance{Audience: names("billing")}, "accepted"},
			{"another audience", &Acceptance{Audience: names("orders")}, ReasonAudience},
			{"no audience", &Acceptance{Audience: &Audience{Mode: AudienceNone}}, ReasonAudience},
			{"an audience that was never set", &Acceptance{Audience: &Audience{}}, ReasonAudience},
		} {
			_, err := v.Verify(t.Context(), raw, c.accept)
			if got := reasonOf(err); got != c.want {
				t.Errorf("%s: got %s, want %s", c.name, got, c.want)
			}
		}
	}
	if v.verified.Load() != 1 {
		t.Errorf("%d verifications", v.verified.Load())
	}
}

// A change of issuers empties the cache; an equal configuration keeps cache and keys.
func TestReloadKeepsWhatIsUnchanged(t *testing.T) {
	inWorld(t, []string{"ec256"}, func(s *issuerServer, _ *IssuerConfig) { s.publish("ec256") }, func(w *world) {
		raw := pair("ec256").token("ES256", claims(nil))
		token := must(w.verifier.Verify(w.Context(), raw, nil))
		same := must(New(Config{Issuers: []IssuerConfig{w.config}, Transport: w.server}, w.verifier))
		if got := must(same.Verify(w.Context(), raw, nil)); got != token {
			t.Error("an equal configuration lost the cache")
		}
		changed := w.config
		changed.Audience = Audience{Mode: AudienceAny}
		other := must(New(Config{Issuers: []IssuerConfig{changed}, Transport: w.server}, same))
		if other.Stats().Entries != 0 {
			t.Error("a change of issuers kept the cache")
		}
		// Its Run has not begun: the keys are those of before.
		if got := must(other.Verify(w.Context(), raw, nil)); got == token {
			t.Error("a token of before came back")
		}
		if !other.Active(token) {
			t.Error("a tunnel of before the reload ended though its key is still there")
		}
		moved := w.config
		moved.JWKSURI = "http://localhost:8000/other"
		_, err := must(New(Config{Issuers: []IssuerConfig{moved}, Transport: w.server}, same)).Verify(expired(w.T), raw, nil)
		wantReason(w.T, err, ReasonKeysUnavailable)
		strict := w.config
		strict.Algorithms = []string{"RS256"}
		if must(New(Config{Issuers: []IssuerConfig{strict}}, same)).Active(token) {
			t.Error("a tunnel goes on with an algorithm that is no longer allowed")
		}
		if must(New(Config{}, same)).Active(token) {
			t.Error("a tunnel goes on without its issuer")
		}
	})
}
