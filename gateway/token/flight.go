package token

import "time"

// flight is a verification under way. Requests that bring the same new token at the same time share it.
type flight struct {
	raw   string        // of the first who brought it: its own until the flight has landed
	ended chan struct{} // closed at the landing; nil while nobody waits
	token *Token
	err   error
}

// together verifies a token once for all who bring it at the same time. Nothing in it waits for
// anything but the verification, so that nobody is held up by another's context.
func (v *Verifier) together(raw string, hash uint64) (*Token, error) {
	s := v.cache.shard(hash)
	f, first := s.board(raw, hash)
	if !first {
		<-f.ended
		if f.token == nil && f.err == nil { // the first one panicked
			return v.together(raw, hash)
		}
		return f.token, f.err
	}
	defer s.land(f, hash)
	if t := s.get(raw, hash); t != nil && t.active(time.Now(), t.issuer.source.snapshot()) {
		f.token = t // from a flight that landed a moment ago
		return t, nil
	}
	if f.token, f.err = v.once(raw); f.err == nil {
		s.put(f.token, hash)
	}
	return f.token, f.err
}

// board returns the flight that verifies raw, and whether the caller is the first in it and
// has to do the work.
func (s *shard) board(raw string, hash uint64) (f *flight, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.flights[hash]
	switch {
	case f == nil:
		f = &flight{raw: raw}
		s.flights[hash] = f
		return f, true
	case f.raw != raw: // another token with the same hash: this one goes alone
		return &flight{}, true
	}
	if f.ended == nil {
		f.ended = make(chan struct{})
	}
	return f, false
}

// land ends a flight, also when it panics. From here on nobody looks at its raw, which may be a view
// of a buffer that the next request overwrites.
func (s *shard) land(f *flight, hash uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[hash] == f {
		delete(s.flights, hash)
	}
	if f.ended != nil {
		close(f.ended)
	}
}
