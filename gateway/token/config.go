package token

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Defaults, used where a field of [Config] or [JWKSConfig] is zero. Skew has no such
// default, because zero is a meaningful skew: loaders fill DefaultSkew in.
const (
	DefaultSkew               = 30 * time.Second
	DefaultCacheEntries       = 100_000
	DefaultCacheBytes         = 256 << 20
	DefaultMaxTokenBytes      = 16 << 10
	DefaultUnknownKidInterval = 10 * time.Second
	DefaultMinRefresh         = 30 * time.Second
	DefaultMaxRefresh         = 10 * time.Minute
	DefaultMaxStale           = 24 * time.Hour
	DefaultTimeout            = 5 * time.Second
	DefaultMaxBytes           = 1 << 20
)

// TypeAbsent, in IssuerConfig.Types, admits tokens whose header has no typ.
const TypeAbsent = "absent"

// Config says whose tokens count and how much memory remembering them may take.
type Config struct {
	Issuers []IssuerConfig
	// CacheEntries and CacheBytes bound the cache of verified tokens; zero means the
	// default, a negative CacheEntries switches the cache off.
	CacheEntries int
	CacheBytes   int64
	// MaxTokenBytes is the longest token that is looked at.
	MaxTokenBytes int
	// Logger gets what happens to key sets. Nil discards.
	Logger *slog.Logger
	// Transport replaces the transport of key fetches, in tests. The rules on dialled
	// addresses belong to the built-in transport and do not hold for another one.
	Transport http.RoundTripper
}

// IssuerConfig describes one issuer.
type IssuerConfig struct {
	// Issuer is compared with the claim iss byte for byte.
	Issuer string
	// JWKSURI is where the keys are: http, https or file. With neither JWKSURI nor Inline
	// the issuer's metadata is asked (RFC 8414, then OpenID Connect Discovery).
	JWKSURI string
	// Inline is a JWKS document; with it nothing is ever fetched.
	Inline []byte
	// Audience must be set; there is no default that would be right.
	Audience Audience
	// Algorithms is the allow-list of JWS algorithms. Empty means RS256 alone.
	Algorithms []string
	// Types lists the values of the header typ that access tokens of this issuer have,
	// [TypeAbsent] among them. Empty means at+jwt, JWT and absent.
	Types []string
	// Skew is the tolerance for exp, nbf and iat.
	Skew time.Duration
	// Scopes limits which scope words of this issuer count: exact words, or "prefix.*".
	// Empty means all.
	Scopes []string
	// ScopeClaim names the claim that holds the scopes, in place of scope, scopes and scp:
	// a name, a path with dots, or a JSON pointer (RFC 6901).
	ScopeClaim string
	// AllowClaims names claims that would otherwise mark a token as no access token, and
	// that this issuer's access tokens have all the same: nonce, at_hash, c_hash, s_hash,
	// events, typ, token_use.
	AllowClaims []string
	// AllowInsecure lets JWKSURI be plain http beyond loopback.
	AllowInsecure bool
	JWKS          JWKSConfig
}

// JWKSConfig tunes the fetching of one issuer's keys; zero fields mean the defaults.
type JWKSConfig struct {
	UnknownKidInterval time.Duration // refill time of the budget for unknown key ids
	MinRefresh         time.Duration // lower bound of the time between background fetches
	MaxRefresh         time.Duration // upper bound of it
	MaxStale           time.Duration // for how long after the last good fetch its keys count
	Timeout            time.Duration // of one fetch, redirects and body included
	MaxBytes           int64         // longest document
	File               string        // keeps the last good set for a cold start; empty: none
}

// AudienceMode says how the claim aud is judged.
type AudienceMode uint8

// The modes. The zero value is none of them, so that an audience cannot be left out.
const (
	AudienceNames AudienceMode = iota + 1 // one of the names must be in aud
	AudienceNone                          // aud must be absent, null or empty
	AudienceAny                           // aud is not looked at
)

// Audience is the rule for the claim aud.
type Audience struct {
	Mode  AudienceMode
	Names []string
}

// Acceptance is what one service demands beyond a token being good. It is judged for
// every request, also when the token is in the cache. Nil demands nothing more.
type Acceptance struct {
	// Issuers are those whose tokens count for the service; nil means every configured one.
	Issuers []string
	// Audience replaces the issuer's; nil keeps it.
	Audience *Audience
}

func (a *Audience) accepts(aud []string) bool {
	switch a.Mode {
	case AudienceAny:
		return true
	case AudienceNone:
		for _, name := range aud {
			if name != "" {
				return false
			}
		}
		return true
	case AudienceNames:
		for _, name := range aud {
			if name != "" && slices.Contains(a.Names, name) {
				return true
			}
		}
	}
	return false
}

// markers are the claims that AllowClaims may name.
var markers = []string{"nonce", "at_hash", "c_hash", "s_hash", "events", "typ", "token_use"}

func (c Config) withDefaults() Config {
	if c.CacheEntries == 0 {
		c.CacheEntries = DefaultCacheEntries
	}
	if c.CacheBytes <= 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	if c.MaxTokenBytes <= 0 {
		c.MaxTokenBytes = DefaultMaxTokenBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Issuers = slices.Clone(c.Issuers)
	for i := range c.Issuers {
		c.Issuers[i] = c.Issuers[i].withDefaults()
	}
	return c
}

func (ic IssuerConfig) withDefaults() IssuerConfig {
	if len(ic.Algorithms) == 0 {
		ic.Algorithms = []string{"RS256"}
	}
	if len(ic.Types) == 0 {
		ic.Types = []string{"at+jwt", "JWT", TypeAbsent}
	}
	j := &ic.JWKS
	orDuration := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	orDuration(&j.UnknownKidInterval, DefaultUnknownKidInterval)
	orDuration(&j.MinRefresh, DefaultMinRefresh)
	orDuration(&j.MaxRefresh, DefaultMaxRefresh)
	orDuration(&j.MaxStale, DefaultMaxStale)
	orDuration(&j.Timeout, DefaultTimeout)
	if j.MaxBytes <= 0 {
		j.MaxBytes = DefaultMaxBytes
	}
	return ic
}

func (c *Config) check() error {
	var faults []error
	seen := map[string]bool{}
	files := map[string]string{}
	for i := range c.Issuers {
		ic := &c.Issuers[i]
		if seen[ic.Issuer] {
			faults = append(faults, fmt.Errorf("issuer %q: configured twice", ic.Issuer))
		}
		seen[ic.Issuer] = true
		if other, taken := files[ic.JWKS.File]; taken && ic.JWKS.File != "" {
			faults = append(faults, fmt.Errorf("issuer %q: jwks.file %s is also that of issuer %q", ic.Issuer, ic.JWKS.File, other))
		}
		files[ic.JWKS.File] = ic.Issuer
		for _, err := range ic.check() {
			faults = append(faults, fmt.Errorf("issuer %q: %w", ic.Issuer, err))
		}
	}
	return errors.Join(faults...)
}

func (ic *IssuerConfig) check() (faults []error) {
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if ic.Issuer == "" {
		add("the name is empty")
	}
	switch ic.Audience.Mode {
	case AudienceNone, AudienceAny:
	case AudienceNames:
		if len(ic.Audience.Names) == 0 || slices.Contains(ic.Audience.Names, "") {
			add("audience: a list of names that are not empty is needed")
		}
	default:
		add("audience: must be written: names, none or any")
	}
	for _, alg := range ic.Algorithms {
		if _, ok := algorithms[alg]; !ok {
			add("algorithms: %q is not one of %s", alg, strings.Join(Algorithms(), ", "))
		}
	}
	for _, name := range ic.AllowClaims {
		if !slices.Contains(markers, name) {
			add("allow_claims: %q is not one of %s", name, strings.Join(markers, ", "))
		}
	}
	for _, word := range ic.Scopes {
		if stem := strings.TrimSuffix(word, ".*"); stem == "" || strings.ContainsAny(stem, "* ") {
			add("scopes: %q is neither a word nor a prefix like example_service.*", word)
		}
	}
	if ic.Skew < 0 || ic.Skew > 10*time.Minute {
		add("skew: %s is not between 0 and 10m", ic.Skew)
	}
	if ic.JWKS.MinRefresh > ic.JWKS.MaxRefresh {
		add("jwks.min_refresh %s is above jwks.max_refresh %s", ic.JWKS.MinRefresh, ic.JWKS.MaxRefresh)
	}
	return append(faults, ic.checkSource()...)
}

func (ic *IssuerConfig) checkSource() []error {
	if ic.Inline != nil {
		if ic.JWKSURI != "" {
			return []error{errors.New("jwks_uri and inline keys exclude one another")}
		}
		if _, err := parseKeySet(ic.Inline); err != nil {
			return []error{fmt.Errorf("inline keys: %w", err)}
		}
		return nil
	}
	if ic.JWKSURI == "" {
		if _, err := remoteURL(ic.Issuer, ic.AllowInsecure); err != nil {
			return []error{fmt.Errorf("neither jwks_uri nor inline keys, and discovery is not possible: %w", err)}
		}
		return nil
	}
	if _, isFile := fileURI(ic.JWKSURI); isFile {
		return nil
	}
	if _, err := remoteURL(ic.JWKSURI, ic.AllowInsecure); err != nil {
		return []error{fmt.Errorf("jwks_uri: %w", err)}
	}
	return nil
}

// remoteURL parses an address of keys or metadata. Plain http is refused here where the host
// is an address that is not loopback; a name is judged when it has been resolved and dialled.
func remoteURL(raw string, allowInsecure bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not an http or https URL without user and fragment", u.Redacted())
	}
	switch u.Scheme {
	case "https":
		return u, nil
	case "http":
		addr, err := netip.ParseAddr(u.Hostname())
		if err == nil && !addr.Unmap().IsLoopback() && !allowInsecure {
			return nil, fmt.Errorf("%q: plain http is for loopback only (allow_insecure lifts this)", raw)
		}
		return u, nil
	}
	return nil, fmt.Errorf("%q: the scheme is not http or https", raw)
}

// fileURI returns the path of a file: URI, absolute or relative to the working folder.
func fileURI(raw string) (path string, ok bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "file" || (u.Host != "" && u.Host != "localhost") {
		return "", false
	}
	if u.Opaque != "" {
		return u.Opaque, true
	}
	return u.Path, u.Path != ""
}

// sameKeys reports whether both configurations take the same issuer's keys from the same
// place, so that keys fetched for one may serve the other.
func (ic *IssuerConfig) sameKeys(other *IssuerConfig) bool {
	return ic.Issuer == other.Issuer && ic.JWKSURI == other.JWKSURI && ic.AllowInsecure == other.AllowInsecure &&
		(ic.Inline == nil) == (other.Inline == nil) && bytes.Equal(ic.Inline, other.Inline)
}

// sameVerdicts reports whether both configurations judge every token alike, and remember alike.
func (c *Config) sameVerdicts(other *Config) bool {
	return c.CacheEntries == other.CacheEntries && c.CacheBytes == other.CacheBytes &&
		c.MaxTokenBytes == other.MaxTokenBytes && reflect.DeepEqual(c.Issuers, other.Issuers)
}
