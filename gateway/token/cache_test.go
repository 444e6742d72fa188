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

// A burst of one new token costs one verification, however many bring it.
func TestBurstOfOneTokenIsVerifiedOnce(t *testing.T) {
	v := inlineVerifier(t, nil, "rsa")
	raw := pair("rsa").token("RS256", claims(nil))
	var all sync.WaitGroup
	start := make(chan struct{})
	for range 200 {
		all.Go(func() {
			<-start
			if _, err := v.Verify(t.Context(), strings.Clone(raw), nil); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	all.Wait()
	if n := v.verified.Load(); n != 1 {
		t.Errorf("%d verifications", n)
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
		v.cache.sweep(time.Now().Add(20 * time.Minute))
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

// tokenFor is a token that a cache takes, without a signature to make.
func tokenFor(v *Verifier, size int64) *Token {
	iss := v.issuers[testIssuer]
	return &Token{issuer: iss, thumb: iss.source.snapshot().set.keys[0].thumb, deadline: time.Now().Add(time.Hour).UnixNano(), size: size}
}

func TestCacheIsBoundedByEntriesAndBytes(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.IntRange(1, 20).Draw(t, "entries")
		bytes := rapid.Int64Range(1000, 20000).Draw(t, "bytes")
		c := newCache(entries, bytes)
		live, names := map[string]*Token{}, map[*Token]string{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			raw := fmt.Sprint("token-", rapid.IntRange(0, 40).Draw(t, "raw"))
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				live[raw] = tokenFor(v, rapid.Int64Range(0, 4000).Draw(t, "size"))
				names[live[raw]] = raw
				c.put(raw, live[raw])
			case 2:
				if got, _ := c.get(raw); got != nil && names[got] != raw {
					t.Fatalf("%s stands for another token", raw)
				}
			case 3:
				if live[raw] != nil {
					c.drop(raw, live[raw])
				}
			}
			checkShard(t, c, entries, bytes)
		}
	})
}

// checkShard compares the counters and the queue of a cache with one shard.
func checkShard(t *rapid.T, c *cache, entries int, bytes int64) {
	s := &c.shards[0]
	n, sum := 0, int64(0)
	for e := s.oldest; e != nil; e = e.newer {
		n, sum = n+1, sum+e.size
		if s.entries[e.hash] != e || (e.newer == nil) != (s.newest == e) {
			t.Fatal("queue and map differ")
		}
	}
	if n != len(s.entries) || n > entries || sum != s.bytes || sum > bytes {
		t.Fatalf("%d entries of at most %d, %d bytes of at most %d (counted %d)", n, entries, sum, bytes, s.bytes)
	}
}

// A flood of distinct good tokens does not push out those in daily use.
func TestFloodSparesTokensInUse(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	c := newCache(100, 1<<30)
	for i := range 50 {
		c.put(fmt.Sprint("daily-", i), tokenFor(v, 100))
	}
	for i := range 10000 {
		c.put(fmt.Sprint("flood-", i), tokenFor(v, 100))
		if got, _ := c.get(fmt.Sprint("daily-", i%50)); got == nil {
			t.Fatalf("daily-%d was pushed out by flood-%d", i%50, i)
		}
	}
}

// Two tokens with one hash must not be taken for each other: the whole token is compared.
func TestCacheComparesTheWholeToken(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	c := newCache(10, 1<<20)
	c.put("one", tokenFor(v, 0))
	for _, e := range c.shards[0].entries {
		e.raw = "two" // as if "two" had come first, with the same hash
	}
	if got, _ := c.get("one"); got != nil {
		t.Error("a token was found by its hash alone")
	}
}

// The characters may stand in a buffer that the next request overwrites.
func TestCacheCopiesTheToken(t *testing.T) {
	v := inlineVerifier(t, nil, "ec256")
	raw := pair("ec256").token("ES256", claims(nil))
	buffer := []byte(raw)
	got := must(v.Verify(t.Context(), unsafeString(buffer), nil))
	clear(buffer)
	if again := must(v.Verify(t.Context(), raw, nil)); again != got || again.Subject != "u1" {
		t.Error("the entry changed with the buffer")
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
