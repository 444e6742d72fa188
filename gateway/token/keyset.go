package token

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Bounds of a key set. An RSA key beyond 8192 bits makes each verification a burden.
const (
	maxKeys    = 64
	minRSABits = 2048
	maxRSABits = 8192
	// maxMemberBytes bounds what a key is made of, in base64url. No modulus that may be used is as long, and
	// to make numbers of longer ones would hold up the one goroutine that loads keys.
	maxMemberBytes = 2 << 10
)

var keySetLimits = jsonLimits{depth: 16, values: 16384}

// thumbprint identifies key material (RFC 7638, SHA-256), whatever the key is called.
type thumbprint [32]byte

func (t thumbprint) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// key is one public key that may verify.
type key struct {
	id        string // kid; empty when it has none
	algorithm string // alg; empty when it has none
	public    crypto.PublicKey
	thumb     thumbprint
}

func (k *key) fits(name string) bool {
	alg, known := algorithms[name]
	return known && (k.algorithm == "" || k.algorithm == name) && alg.fits(k.public)
}

// keySet is an issuer's usable keys, immutable.
type keySet struct {
	keys    []*key
	byID    map[string]*key
	byThumb map[thumbprint]*key
	skipped []string // why other keys of the document are not used, for people
}

// snapshot is a key set with the time since which it is known to be current.
type snapshot struct {
	set     *keySet
	fetched time.Time
	until   time.Time // fetched plus max_stale; zero: for ever
}

func (s *snapshot) usable(now time.Time) bool {
	return s != nil && (s.until.IsZero() || now.Before(s.until))
}

func (s *keySet) holds(thumb thumbprint) bool {
	_, ok := s.byThumb[thumb]
	return ok
}

// only returns the key that fits an algorithm, if exactly one does.
func (s *keySet) only(algorithm string) *key {
	var found *key
	for _, k := range s.keys {
		if !k.fits(algorithm) {
			continue
		}
		if found != nil {
			return nil
		}
		found = k
	}
	return found
}

// ids lists the key ids, sorted; a key without one stands as its thumbprint.
func (s *keySet) ids() []string {
	ids := make([]string, 0, len(s.keys))
	for _, k := range s.keys {
		ids = append(ids, cmp.Or(k.id, k.thumb.String()))
	}
	slices.Sort(ids)
	return ids
}

// same reports whether two sets hold the same keys under the same names.
func (s *keySet) same(other *keySet) bool {
	return slices.EqualFunc(s.keys, other.keys, func(a, b *key) bool {
		return a.id == b.id && a.algorithm == b.algorithm && a.thumb == b.thumb
	})
}

// parseKeySet reads a JWKS document (RFC 7517). Keys that cannot verify here are skipped, so
// that an issuer may publish others beside them; a document that is broken, holds over 64
// keys, or none that is usable is an error, and never replaces a good one.
func parseKeySet(document []byte) (*keySet, error) {
	members, err := jsonObject(document, keySetLimits)
	if err != nil {
		return nil, fmt.Errorf("JWKS: %w", err)
	}
	list, ok := members["keys"].([]any)
	if !ok {
		return nil, errors.New("JWKS: keys is missing or not an array")
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("JWKS: %d keys, more than %d", len(list), maxKeys)
	}
	set := &keySet{byID: map[string]*key{}, byThumb: map[thumbprint]*key{}}
	for i, entry := range list {
		k, err := parseKey(entry)
		if err != nil {
			set.skipped = append(set.skipped, fmt.Sprintf("key %d%s: %v", i, nameOf(entry), err))
			continue
		}
		set.keys = append(set.keys, k)
	}
	set.dropAmbiguous(list)
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("JWKS: no usable key among %d %v", len(list), set.skipped)
	}
	for _, k := range set.keys {
		set.byThumb[k.thumb] = k
		if k.id != "" {
			set.byID[k.id] = k
		}
	}
	slices.SortFunc(set.keys, func(a, b *key) int {
		return cmp.Or(cmp.Compare(a.id, b.id), slices.Compare(a.thumb[:], b.thumb[:]))
	})
	return set, nil
}

// dropAmbiguous removes all keys whose id stands twice in the document, be the other one
// usable or not: which of them an issuer means by the id cannot be known.
func (s *keySet) dropAmbiguous(list []any) {
	times := map[string]int{}
	for _, entry := range list {
		members, _ := entry.(map[string]any)
		if id, _ := members["kid"].(string); id != "" {
			times[id]++
		}
	}
	for id, n := range times {
		if n > 1 {
			s.skipped = append(s.skipped, fmt.Sprintf("kid %q stands %d times, none of them is used", clip(id), n))
		}
	}
	slices.Sort(s.skipped)
	s.keys = slices.DeleteFunc(s.keys, func(k *key) bool { return times[k.id] > 1 })
}

func nameOf(entry any) string {
	members, _ := entry.(map[string]any)
	if id, _ := members["kid"].(string); id != "" {
		return fmt.Sprintf(" (kid %q)", clip(id))
	}
	return ""
}

// materialOf lists the members that make up a public key, by kty. Only these reach jwx: what
// else a JWK holds, certificates above all, is not looked at.
var materialOf = map[string][]string{
	"RSA": {"n", "e"},
	"EC":  {"crv", "x", "y"},
	"OKP": {"crv", "x"},
}

func parseKey(entry any) (*key, error) {
	members, ok := entry.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	k := &key{}
	if err := k.readUse(members); err != nil {
		return nil, err
	}
	kty, _ := members["kty"].(string)
	names, known := materialOf[kty]
	if !known {
		return nil, fmt.Errorf("kty %q is not RSA, EC or OKP", clip(kty))
	}
	material := map[string]any{"kty": kty}
	for _, name := range names {
		value, _ := members[name].(string)
		if len(value) > maxMemberBytes {
			return nil, fmt.Errorf("%s is longer than %d characters", name, maxMemberBytes)
		}
		if _, err := decodeSegment(value); value == "" || (err != nil && name != "crv") {
			return nil, fmt.Errorf("%s is missing or not base64url", name)
		}
		material[name] = value
	}
	if err := k.build(material); err != nil {
		return nil, err
	}
	if err := k.checkStrength(); err != nil {
		return nil, err
	}
	if k.algorithm != "" && !k.fits(k.algorithm) {
		return nil, fmt.Errorf("alg %q does not fit the key", clip(k.algorithm))
	}
	return k, nil
}

// readUse reads the members that say what a key is for.
func (k *key) readUse(members map[string]any) (err error) {
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, there := members[private]; there {
			return errors.New("holds a private or symmetric part")
		}
	}
	if k.id, _, err = stringMember(members, "kid"); err != nil {
		return err
	}
	if len(k.id) > maxKeyIDBytes {
		return fmt.Errorf("kid is longer than %d bytes", maxKeyIDBytes)
	}
	if k.algorithm, _, err = stringMember(members, "alg"); err != nil {
		return err
	}
	use, hasUse, err := stringMember(members, "use")
	if err != nil || (hasUse && use != "sig") {
		return errors.New("use is not sig")
	}
	if ops, there := members["key_ops"]; there {
		list, _ := ops.([]any)
		if !slices.Contains(list, any("verify")) {
			return errors.New("key_ops does not hold verify")
		}
	}
	return nil
}

// stringMember returns a member that must be a string where it exists.
func stringMember(members map[string]any, name string) (value string, there bool, err error) {
	v, there := members[name]
	if !there {
		return "", false, nil
	}
	value, ok := v.(string)
	if !ok {
		return "", true, fmt.Errorf("%s is not a string", name)
	}
	return value, true, nil
}

// coordinateBytes is the full size of a coordinate (RFC 7518 section 6.2.1.2).
var coordinateBytes = map[string]int{"P-256": 32, "P-384": 48, "P-521": 66}

// checkCoordinates refuses coordinates that are longer than their curve's, of
// which jwx makes a panic and not an error.
func checkCoordinates(material map[string]any) error {
	crv, _ := material["crv"].(string)
	longest, known := coordinateBytes[crv]
	if !known {
		return nil
	}
	for _, name := range []string{"x", "y"} {
		encoded, _ := material[name].(string)
		if b, err := decodeSegment(encoded); err != nil || len(b) > longest {
			return fmt.Errorf("%s is longer than a coordinate of %s", name, crv)
		}
	}
	return nil
}

// build lets jwx make the public key of its members. A key that jwx chokes on is
// a key that is skipped: what an issuer publishes must not end the gateway.
func (k *key) build(material map[string]any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not a public key: %v", p)
		}
	}()
	if err := checkCoordinates(material); err != nil {
		return err
	}
	document, err := json.Marshal(material)
	if err != nil {
		return err
	}
	parsed, err := jwk.ParseKey(document)
	if err != nil {
		return fmt.Errorf("not a public key: %w", err)
	}
	if err := parsed.Raw(&k.public); err != nil {
		return fmt.Errorf("not a public key: %w", err)
	}
	thumb, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil || len(thumb) != len(k.thumb) {
		return fmt.Errorf("no thumbprint: %w", err)
	}
	k.thumb = thumbprint(thumb)
	if e, there := material["e"]; there {
		return checkExponent(e.(string))
	}
	return nil
}

// checkExponent looks at the public exponent as written, because a large one is cut
// to the width of an int on its way into [rsa.PublicKey].
func checkExponent(encoded string) error {
	b, _ := decodeSegment(encoded)
	e := new(big.Int).SetBytes(b)
	if e.BitLen() > 31 || e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0 {
		return errors.New("the RSA exponent is not an odd number from 3 to 2^31-1")
	}
	return nil
}

func (k *key) checkStrength() error {
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA with %d bits, %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
		if public.N.Bit(0) == 0 || hasROCA(public.N) {
			return errors.New("a weak RSA modulus")
		}
		return nil
	case *ecdsa.PublicKey:
		if _, err := public.ECDH(); err != nil {
			return fmt.Errorf("not a point on a supported curve: %w", err)
		}
		return nil
	case ed25519.PublicKey:
		if len(public) != ed25519.PublicKeySize {
			return errors.New("wrong length for Ed25519")
		}
		return nil
	}
	return fmt.Errorf("%T cannot verify signatures", k.public)
}

// hasROCA reports whether a modulus has the fingerprint of CVE-2017-15361: keys made by
// certain smart cards are, modulo every small prime, a power of 65537, and can be factored.
func hasROCA(modulus *big.Int) bool {
	for _, prime := range []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
		101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		rest := new(big.Int).Mod(modulus, big.NewInt(prime)).Int64()
		power, found := int64(1), false
		for range prime {
			found = found || power == rest
			power = power * 65537 % prime
		}
		if !found {
			return false
		}
	}
	return true
}
