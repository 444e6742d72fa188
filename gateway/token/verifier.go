package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sweepEvery is how often tokens that ended are removed from the cache.
const sweepEvery = time.Minute

// Verifier judges tokens against a fixed configuration. It is safe for concurrent use.
type Verifier struct {
	config   Config
	issuers  map[string]*issuer
	cache    *cache
	verified *atomic.Uint64 // signatures looked at: what cache and shared flights did not save
}

// New builds a verifier; it reads nothing from network or disk. All faults of the configuration
// are in the error.
//
// previous is the verifier of before a reload, or nil. An issuer whose keys come from the same
// place keeps them; where no issuer changed at all, the cache of verified tokens is
// kept too.
func New(config Config, previous *Verifier) (*Verifier, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	v := &Verifier{
		config:   config,
		issuers:  map[string]*issuer{},
		verified: &atomic.Uint64{},
	}
	if previous != nil && config.sameVerdicts(&previous.config) {
		v.issuers, v.cache, v.verified = previous.issuers, previous.cache, previous.verified
		return v, nil
	}
	v.cache = newCache(config.CacheEntries, config.CacheBytes)
	for i := range config.Issuers {
		iss, err := v.newIssuer(&config.Issuers[i], previous)
		if err != nil {
			return nil, err
		}
		v.issuers[iss.config.Issuer] = iss
	}
	return v, nil
}

func (v *Verifier) newIssuer(config *IssuerConfig, previous *Verifier) (*issuer, error) {
	src := newSource(*config, v.config.Logger)
	if config.Inline != nil {
		set, err := parseKeySet(config.Inline)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: inline keys: %w", config.Issuer, err)
		}
		src.setInline(set)
		return newIssuer(*config, src), nil
	}
	src.load = loaderOf(config, v.config.Transport)
	if previous == nil {
		return newIssuer(*config, src), nil
	}
	if old := previous.issuers[config.Issuer]; old != nil && old.config.sameKeys(config) {
		src.adopt(old.source)
	}
	return newIssuer(*config, src), nil
}

// Run keeps the keys of all issuers current until ctx ends, and returns when all its
// goroutines have. Without it no key is ever fetched. The error is ctx's.
func (v *Verifier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, iss := range v.issuers {
		all.Go(func() { iss.source.run(ctx) })
	}
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case now := <-ticker.C:
			v.sweep(now)
		case <-ctx.Done():
		}
	}
	all.Wait()
	return ctx.Err()
}

// sweep forgets tokens that may not be used any more, and terms that no token has.
func (v *Verifier) sweep(now time.Time) {
	v.cache.sweep(now)
	used := v.cache.terms()
	for _, iss := range v.issuers {
		iss.terms.retain(used)
	}
}

// Verify returns the token that raw, the characters after "Bearer ", stands for, if it counts
// for a. The error is always an *[Error]. It waits only for keys that the issuer's
// snapshot lacks, at most three seconds and no longer than ctx. A hit in the cache allocates nothing.
// Nothing keeps raw or a part of it once Verify has returned: it may be a view of a buffer
// that is used again.
func (v *Verifier) Verify(ctx context.Context, raw string, a *Acceptance) (*Token, error) {
	hash := v.cache.hash(raw)
	shard := v.cache.shard(hash)
	t := shard.get(raw, hash)
	if t != nil && !t.active(time.Now(), t.issuer.source.snapshot()) {
		shard.drop(t)
		t = nil
	}
	shard.note(t != nil)
	if t == nil {
		var err *Error
		if t, err = v.verifyNew(ctx, raw, hash, a); err != nil {
			return nil, err
		}
	}
	if err := t.countsFor(a); err != nil {
		return nil, err
	}
	return t, nil
}

// countsFor judges what depends on the service that asks.
func (t *Token) countsFor(a *Acceptance) *Error {
	if !a.takes(t.Issuer) {
		return refuse(ReasonIssuer, fmt.Sprintf("issuer %q is not one of this service", clip(t.Issuer)))
	}
	audience := &t.issuer.config.Audience
	if a != nil && a.Audience != nil {
		audience = a.Audience
	}
	if !audience.accepts(t.Audience) {
		return refuse(ReasonAudience, fmt.Sprintf("aud is %s", clip(fmt.Sprintf("%q", t.Audience))))
	}
	return nil
}

func (a *Acceptance) takes(issuer string) bool {
	return a == nil || a.Issuers == nil || slices.Contains(a.Issuers, issuer)
}

// missingKey says that a token names a key which its issuer's snapshot lacks.
type missingKey struct {
	issuer *issuer
	id     string
}

func (m *missingKey) Error() string { return "key not in the snapshot" }

// verifyNew verifies a token that is not in the cache. When its key is unknown it waits for a
// fetch and tries once more. The service's issuers are judged before that: a token that
// cannot count here must not cost a fetch.
func (v *Verifier) verifyNew(ctx context.Context, raw string, hash uint64, a *Acceptance) (*Token, *Error) {
	if len(raw) > v.config.MaxTokenBytes {
		return nil, refuse(ReasonMalformed, fmt.Sprintf("longer than %d bytes", v.config.MaxTokenBytes))
	}
	for range 2 {
		t, err := v.together(raw, hash)
		missing, ok := err.(*missingKey)
		if !ok {
			return t, asError(err)
		}
		if name := missing.issuer.config.Issuer; !a.takes(name) {
			return nil, refuse(ReasonIssuer, fmt.Sprintf("issuer %q is not one of this service", clip(name)))
		}
		if err := missing.issuer.source.await(ctx, missing.id); err != nil {
			return nil, err
		}
	}
	return nil, &Error{Reason: ReasonKeysUnavailable, Detail: "the issuer's keys change faster than they can be used", RetryAfter: time.Second}
}

func asError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return refuse(ReasonMalformed, err.Error())
}

// compacts are used again by the verification after.
var compacts = sync.Pool{New: func() any { return new(compact) }}

// once is the straight line from characters to a token. The issuer is chosen before any
// key is tried, and its configuration, not the token, says which algorithms there are.
func (v *Verifier) once(raw string) (*Token, error) {
	now := time.Now()
	c := compacts.Get().(*compact)
	defer compacts.Put(c)
	if err := c.parse(raw); err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	if err := c.document.parse(c.payload, claimLimits); err != nil {
		return nil, refuse(ReasonMalformed, "claims: "+err.Error())
	}
	iss, refused := v.issuerOf(&c.document)
	if refused != nil {
		return nil, refused
	}
	if !slices.Contains(iss.config.Algorithms, c.header.algorithm) {
		return nil, refuse(ReasonAlgorithm, fmt.Sprintf("alg %q is not allowed for this issuer", clip(c.header.algorithm)))
	}
	if len(c.signature) == 0 {
		return nil, refuse(ReasonMalformed, "the signature is empty")
	}
	if !iss.allowsType(&c.header) {
		return nil, refuse(ReasonType, fmt.Sprintf("typ %q is not allowed for this issuer", clip(c.header.typ)))
	}
	k, err := iss.keyFor(&c.header, now)
	if err != nil {
		return nil, err
	}
	v.verified.Add(1)
	if !c.verifiedBy(k) {
		return nil, refuse(ReasonSignature, "the signature does not verify")
	}
	t, refused := iss.accept(c, k, now)
	if refused != nil {
		return nil, refused
	}
	return t, nil
}

// issuerOf chooses the issuer by the claim iss, byte for byte.
func (v *Verifier) issuerOf(d *jsonDocument) (*issuer, *Error) {
	name, there, err := d.stringMember("iss")
	if err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	if !there {
		return nil, refuse(ReasonIssuer, "iss is missing")
	}
	if iss := v.issuers[name]; iss != nil {
		return iss, nil
	}
	for configured := range v.issuers {
		if NearlySame(name, configured) {
			return nil, refuse(ReasonIssuer, fmt.Sprintf(
				"iss is %q, which is nearly the configured %q: they must be equal byte for byte", clip(name), configured))
		}
	}
	return nil, refuse(ReasonIssuer, fmt.Sprintf("iss is %q, which is not configured", clip(name)))
}

// NearlySame reports whether people take two issuers for one: they differ in scheme, case, a
// final slash, a default port or the name of loopback. It serves hints only, since issuers are
// compared byte for byte.
func NearlySame(a, b string) bool { return nearly(a) == nearly(b) }

func nearly(issuer string) string {
	issuer = strings.ToLower(strings.TrimSpace(issuer))
	_, rest, hasScheme := strings.Cut(issuer, "://")
	if !hasScheme {
		rest = issuer
	}
	rest = strings.TrimRight(rest, "/")
	for _, loopback := range []string{"127.0.0.1", "[::1]", "0.0.0.0"} {
		if after, ok := strings.CutPrefix(rest, loopback); ok {
			rest = "localhost" + after
		}
	}
	host, path, _ := strings.Cut(rest, "/")
	host = strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
	return strings.TrimRight(host+"/"+path, "/")
}

// keyFor returns the one key that may verify a token with this header.
func (iss *issuer) keyFor(h *header, now time.Time) (*key, error) {
	snap := iss.source.snapshot()
	if !snap.usable(now) {
		return nil, &missingKey{iss, h.keyID}
	}
	if !h.hasKeyID {
		if k := snap.set.only(h.algorithm); k != nil {
			return k, nil
		}
		return nil, refuse(ReasonUnknownKey, "the token names no key, and not exactly one of the issuer's fits")
	}
	k := snap.set.byID[h.keyID]
	if k == nil {
		return nil, &missingKey{iss, h.keyID}
	}
	if !k.fits(h.algorithm) {
		return nil, refuse(ReasonAlgorithm, fmt.Sprintf("alg %q does not fit key %q", h.algorithm, clip(h.keyID)))
	}
	return k, nil
}

// Active reports whether a token that was accepted earlier may still be used: its issuer is
// configured, allows its algorithm and still publishes the key that verified it, and exp
// plus skew is not reached. Tunnels and streams ask from time to time.
func (v *Verifier) Active(t *Token) bool {
	iss := v.issuers[t.Issuer]
	return iss != nil && slices.Contains(iss.config.Algorithms, t.algorithm) &&
		t.active(time.Now(), iss.source.snapshot())
}

// Status tells, for every configured issuer in the order of the configuration, how its keys are.
func (v *Verifier) Status() []IssuerStatus {
	now := time.Now()
	all := make([]IssuerStatus, 0, len(v.config.Issuers))
	for i := range v.config.Issuers {
		all = append(all, v.issuers[v.config.Issuers[i].Issuer].source.status(now))
	}
	return all
}

// Stats returns the counters of the cache of verified tokens.
func (v *Verifier) Stats() CacheStats { return v.cache.stats() }
