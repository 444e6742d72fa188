package token

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// cache remembers verified tokens. Only tokens whose signature was good and that may be
// used come in, so what strangers invent takes no room; what holders of many good tokens
// bring is bounded by entries and by bytes.
//
// It is cut into shards, each with a map from a seeded hash to an entry and a queue in the
// order of arrival. Eviction is SIEVE: a hand walks the queue from the oldest entry on, spares
// once those that were asked for since it came by, and removes the first that was not. A hit
// therefore writes one flag and moves nothing, and one flood of distinct tokens does not
// push out those in daily use.
type cache struct {
	seed   maphash.Seed
	shards []shard
}

type shard struct {
	mu           sync.RWMutex // guards everything below but the counters
	entries      map[uint64]*entry
	newest       *entry
	oldest       *entry
	hand         *entry // where eviction goes on; nil: at the oldest
	bytes        int64
	maxEntries   int
	maxBytes     int64
	hits, misses atomic.Uint64
	_            [64]byte // keeps the counters of neighbours on different cache lines
}

type entry struct {
	raw          string // the whole token, compared on every hit
	hash         uint64
	token        *Token
	size         int64
	asked        atomic.Bool
	newer, older *entry
}

// entryOverhead is about what an entry takes beside the token's characters and claims.
const entryOverhead = 640

// newCache returns nil, which is a cache that remembers nothing, for negative entries.
func newCache(entries int, bytes int64) *cache {
	if entries < 0 {
		return nil
	}
	n := 64
	if entries < 64*n {
		n = 1
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range c.shards {
		c.shards[i].entries = map[uint64]*entry{}
		c.shards[i].maxEntries = max(1, entries/n)
		c.shards[i].maxBytes = bytes / int64(n)
	}
	return c
}

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash%uint64(len(c.shards))] }

// get returns the token that these characters stand for, or nil, and the shard where it is or
// would be; the shard of a nil cache is nil. Without the comparison of all characters, somebody
// who finds two tokens with one hash would be served as another.
func (c *cache) get(raw string) (*Token, *shard) {
	if c == nil {
		return nil, nil
	}
	hash := maphash.String(c.seed, raw)
	s := c.shard(hash)
	s.mu.RLock()
	e := s.entries[hash]
	s.mu.RUnlock()
	if e == nil || e.raw != raw {
		return nil, s
	}
	if !e.asked.Load() {
		e.asked.Store(true)
	}
	return e.token, s
}

// count adds to the hits or misses.
func (s *shard) count(hit bool) {
	switch {
	case s == nil:
	case hit:
		s.hits.Add(1)
	default:
		s.misses.Add(1)
	}
}

// put remembers a token. The characters are copied: they may stand in a buffer that is
// used again.
func (c *cache) put(raw string, t *Token) {
	if c == nil {
		return
	}
	hash := maphash.String(c.seed, raw)
	s := c.shard(hash)
	e := &entry{hash: hash, token: t, size: int64(len(raw)) + t.size + entryOverhead}
	if e.size > s.maxBytes {
		return
	}
	e.raw = strings.Clone(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[hash]; old != nil {
		s.remove(old)
	}
	for len(s.entries) > 0 && (len(s.entries) >= s.maxEntries || s.bytes+e.size > s.maxBytes) {
		s.evict()
	}
	s.insert(e)
}

// drop forgets a token, if it is still the one that these characters stand for.
func (c *cache) drop(raw string, t *Token) {
	hash := maphash.String(c.seed, raw)
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[hash]; e != nil && e.token == t {
		s.remove(e)
	}
}

// sweep forgets all tokens that may not be used any more at now.
func (c *cache) sweep(now time.Time) {
	if c == nil {
		return
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for e := s.oldest; e != nil; {
			next := e.newer
			if !e.token.active(now, e.token.issuer.source.snapshot()) {
				s.remove(e)
			}
			e = next
		}
		s.mu.Unlock()
	}
}

func (s *shard) insert(e *entry) {
	s.entries[e.hash] = e
	s.bytes += e.size
	e.older = s.newest
	if s.newest != nil {
		s.newest.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
}

func (s *shard) remove(e *entry) {
	if s.hand == e {
		s.hand = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	delete(s.entries, e.hash)
	s.bytes -= e.size
}

// evict removes one entry. It ends after at most one round, since it clears the flags that it passes.
func (s *shard) evict() {
	e := s.hand
	for {
		if e == nil {
			e = s.oldest
		}
		if !e.asked.Load() {
			break
		}
		e.asked.Store(false)
		e = e.newer
	}
	s.hand = e
	s.remove(e)
}

// CacheStats are the counters of the cache of verified tokens.
type CacheStats struct {
	Hits, Misses uint64
	Entries      int
	Bytes        int64 // as estimated for the bound, not measured
}

func (c *cache) stats() (total CacheStats) {
	if c == nil {
		return total
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		total.Entries += len(s.entries)
		total.Bytes += s.bytes
		s.mu.RUnlock()
		total.Hits += s.hits.Load()
		total.Misses += s.misses.Load()
	}
	return total
}
