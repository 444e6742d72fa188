package token

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// cache remembers verified tokens. Only tokens whose signature was good and that may be
// used come in, so what strangers invent takes no room; what holders of many good tokens
// bring is bounded by entries and by bytes.
//
// It is cut into shards, each with a map from a seeded hash to a token and a queue in the
// order of arrival. Eviction is SIEVE: a hand walks the queue from the oldest token on, spares
// once those that were asked for since it came by, and removes the first that was not. A hit
// therefore writes one flag and moves nothing, and one flood of distinct tokens does not
// push out those in daily use.
type cache struct {
	seed   maphash.Seed
	shards []shard
}

type shard struct {
	mu           sync.RWMutex // guards everything below but the counters
	tokens       map[uint64]*Token
	terms        map[*Terms]use // of the tokens
	flights      map[uint64]*flight
	newest       *Token
	oldest       *Token
	hand         *Token // where eviction goes on; nil: at the oldest
	bytes        int
	maxTokens    int // 0: remembers nothing
	maxBytes     int
	hits, misses atomic.Uint64
	_            [64]byte // keeps the counters of neighbours on different cache lines
}

// place is where a token stands in the cache.
type place struct {
	hash         uint64
	newer, older *Token
	counted      int32 // of the shard's bytes
	asked        atomic.Bool
}

// use is how many tokens of a shard have the same terms.
type use struct {
	tokens  int
	counted int // of the shard's bytes, for the terms
}

// tokenOverhead is about what a remembered token takes beside its characters: itself and its
// share of the map.
const tokenOverhead = 224

// size estimates what the token takes, its terms left out. The allocator rounds up by an
// eighth at most.
func (t *Token) size() int {
	characters := len(t.rest) + len(t.Subject)
	return characters + characters/8 + tokenOverhead + int(t.memo.bytes.Load())
}

// newCache returns a cache that remembers nothing for negative entries.
func newCache(entries int, bytes int64) *cache {
	n := 64
	if entries > 0 && entries < 64*n {
		n = 1
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range c.shards {
		s := &c.shards[i]
		s.tokens, s.terms, s.flights = map[uint64]*Token{}, map[*Terms]use{}, map[uint64]*flight{}
		if entries > 0 {
			s.maxTokens = entries / n
			s.maxBytes = int(bytes / int64(n))
		}
	}
	return c
}

// hash is the token's for all of its way through the cache.
func (c *cache) hash(raw string) uint64 { return maphash.String(c.seed, raw) }

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash%uint64(len(c.shards))] }

// get returns the token that these characters stand for, or nil. Without the comparison of all
// characters, somebody who finds two tokens with one hash would be served as another.
func (s *shard) get(raw string, hash uint64) *Token {
	s.mu.RLock()
	t := s.tokens[hash]
	s.mu.RUnlock()
	if t == nil || !t.is(raw) {
		return nil
	}
	if !t.place.asked.Load() {
		t.place.asked.Store(true)
	}
	return t
}

// note adds to the hits or misses.
func (s *shard) note(hit bool) {
	switch {
	case s.maxTokens == 0:
	case hit:
		s.hits.Add(1)
	default:
		s.misses.Add(1)
	}
}

// put remembers a token that is in no cache yet.
func (s *shard) put(t *Token, hash uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.tokens[hash]; old != nil {
		s.remove(old)
	}
	room := s.maxBytes - t.size() - t.Terms.size()
	if s.maxTokens == 0 || room < 0 {
		return
	}
	for len(s.tokens) >= s.maxTokens || s.bytes > room {
		s.evict()
	}
	t.place.hash = hash
	s.insert(t)
}

// drop forgets a token, if it is still there.
func (s *shard) drop(t *Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[t.place.hash] == t {
		s.remove(t)
	}
}

// sweep forgets all tokens that may not be used any more at now, and counts again what the others take.
func (c *cache) sweep(now time.Time) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for t := s.oldest; t != nil; {
			next := t.place.newer
			if t.active(now, t.issuer.source.snapshot()) {
				s.count(t)
			} else {
				s.remove(t)
			}
			t = next
		}
		for s.bytes > s.maxBytes {
			s.evict()
		}
		s.mu.Unlock()
	}
}

// terms are those of all remembered tokens.
func (c *cache) terms() map[*Terms]bool {
	used := map[*Terms]bool{}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		for t := range s.terms {
			used[t] = true
		}
		s.mu.RUnlock()
	}
	return used
}

// count corrects the shard's bytes by what a token of it and its terms take at the moment.
func (s *shard) count(t *Token) {
	u, size, terms := s.terms[t.Terms], t.size(), t.Terms.size()
	s.bytes += size - int(t.place.counted) + terms - u.counted
	t.place.counted, u.counted = int32(size), terms
	s.terms[t.Terms] = u
}

// discount is the opposite, for a token that leaves.
func (s *shard) discount(t *Token) {
	u := s.terms[t.Terms]
	s.bytes -= int(t.place.counted)
	t.place.counted = 0
	if u.tokens--; u.tokens > 0 {
		s.terms[t.Terms] = u
		return
	}
	s.bytes -= u.counted
	delete(s.terms, t.Terms)
}

func (s *shard) insert(t *Token) {
	s.tokens[t.place.hash] = t
	u := s.terms[t.Terms]
	u.tokens++
	s.terms[t.Terms] = u
	s.count(t)
	t.place.older = s.newest
	if s.newest != nil {
		s.newest.place.newer = t
	} else {
		s.oldest = t
	}
	s.newest = t
}

// remove takes a token out. It must not hold on to its neighbours: a tunnel may
// keep it for hours.
func (s *shard) remove(t *Token) {
	newer, older := t.place.newer, t.place.older
	if s.hand == t {
		s.hand = newer
	}
	if newer != nil {
		newer.place.older = older
	} else {
		s.newest = older
	}
	if older != nil {
		older.place.newer = newer
	} else {
		s.oldest = newer
	}
	t.place.newer, t.place.older = nil, nil
	delete(s.tokens, t.place.hash)
	s.discount(t)
}

// evict removes one token. It ends after at most one round, since it clears the flags that it passes.
func (s *shard) evict() {
	t := s.hand
	for {
		if t == nil {
			t = s.oldest
		}
		if !t.place.asked.Load() {
			break
		}
		t.place.asked.Store(false)
		t = t.place.newer
	}
	s.hand = t
	s.remove(t)
}

// CacheStats are the counters of the cache of verified tokens.
type CacheStats struct {
	Hits, Misses uint64
	Entries      int
	Bytes        int64 // as estimated for the bound, not measured
}

func (c *cache) stats() (total CacheStats) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		total.Entries += len(s.tokens)
		total.Bytes += int64(s.bytes)
		s.mu.RUnlock()
		total.Hits += s.hits.Load()
		total.Misses += s.misses.Load()
	}
	return total
}
