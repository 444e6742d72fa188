package account

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"
)

// passwords hashes and compares, each time waiting for its turn in a queue.
type passwords struct {
	params      Params
	dummy       string // a hash of nothing anybody knows, for users who do not exist
	login, join *hashQueue
	wait        func(queue string, wait time.Duration)
	count       *hashCount
}

// hashCount is the hashing work done, kept so that a test can see that no user
// is cheaper than another without measuring time.
type hashCount struct{ hashes, work atomic.Uint64 }

func newPasswords(cfg Config) passwords {
	return passwords{
		params: cfg.Password,
		dummy:  hashed{cfg.Password, random(saltBytes), random(keyBytes)}.String(),
		login:  newHashQueue(cfg.Login),
		join:   newHashQueue(cfg.Join),
		wait:   cfg.HashWait,
		count:  &hashCount{},
	}
}

// hash makes the PHC string of a new password, in the queue of signups.
func (p *passwords) hash(ctx context.Context, net netip.Prefix, password string) (string, error) {
	leave, err := p.enter(ctx, p.join, "signup", net)
	if err != nil {
		return "", err
	}
	defer leave()
	return p.fresh(password), nil
}

// verify compares a password with a credential: right only if it matches and
// the user may log in. Everybody gets one hashing of the same cost, whatever
// they are; renewed is a hash to store when the credential's cost is below
// today's. A password longer than any that was accepted is hashed as an empty
// one, and is wrong.
func (p *passwords) verify(
	ctx context.Context, net netip.Prefix, password string, c Credential,
) (right bool, renewed string, err error) {
	stored, err := parsePHC(c.PHC)
	if err != nil {
		return false, "", err
	}
	tooLong := len(password) > maxPassword
	if tooLong {
		password = ""
	}
	leave, err := p.enter(ctx, p.login, "login", net)
	if err != nil {
		return false, "", err
	}
	defer leave()
	match := stored.matches(p.derive(stored, password))
	right = match && !tooLong && c.User.ID != "" && c.User.Active && !c.Locked
	if right && stored.less(p.params) {
		renewed = p.fresh(password)
	}
	return right, renewed, nil
}

func (p *passwords) enter(ctx context.Context, q *hashQueue, name string, net netip.Prefix) (leave func(), err error) {
	start := time.Now()
	leave, err = q.enter(ctx, net)
	if errors.Is(err, errQueueFull) {
		return nil, &Refusal{Reason: ErrBusy, Detail: "Too many logins at the moment", RetryAfter: wholeSeconds(q.patience())}
	}
	if err == nil {
		p.wait(name, time.Since(start))
	}
	return leave, err
}

func (p *passwords) fresh(password string) string {
	h := hashed{Params: p.params, salt: random(saltBytes), key: make([]byte, keyBytes)}
	h.key = p.derive(h, password)
	return h.String()
}

func (p *passwords) derive(h hashed, password string) []byte {
	p.count.hashes.Add(1)
	p.count.work.Add(uint64(h.MemoryKiB) * uint64(h.Passes))
	return h.derive(password)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return b
}

// HashStats is the state of password hashing, for gauges.
type HashStats struct {
	LoginQueue  int    // logins that wait for their turn
	SignupQueue int    // signups that wait for theirs
	Hashes      uint64 // hashes computed since the start
	Work        uint64 // their cost, in KiB times passes
}

// HashStats reads the state of password hashing now.
func (s *Service) HashStats() HashStats {
	return HashStats{
		LoginQueue:  s.passwords.login.depth(),
		SignupQueue: s.passwords.join.depth(),
		Hashes:      s.passwords.count.hashes.Load(),
		Work:        s.passwords.count.work.Load(),
	}
}
