package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // registers SHA-384 and SHA-512
	"maps"
	"math/big"
	"slices"
)

// algorithm ties a JWS algorithm (RFC 7518 section 3, RFC 8037) to the one kind of key that it fits.
type algorithm struct {
	hash   crypto.Hash
	fits   func(public crypto.PublicKey) bool
	verify func(public crypto.PublicKey, hash crypto.Hash, signed, signature []byte) bool
}

// algorithms are those that an issuer may be configured with. Neither none nor any HMAC is
// among them: a gateway that could verify with a shared secret could also forge.
var algorithms = map[string]algorithm{
	"RS256": {crypto.SHA256, isRSA, verifyPKCS1},
	"RS384": {crypto.SHA384, isRSA, verifyPKCS1},
	"RS512": {crypto.SHA512, isRSA, verifyPKCS1},
	"PS256": {crypto.SHA256, isRSA, verifyPSS},
	"PS384": {crypto.SHA384, isRSA, verifyPSS},
	"PS512": {crypto.SHA512, isRSA, verifyPSS},
	"ES256": {crypto.SHA256, onCurve(elliptic.P256()), verifyECDSA},
	"ES384": {crypto.SHA384, onCurve(elliptic.P384()), verifyECDSA},
	"ES512": {crypto.SHA512, onCurve(elliptic.P521()), verifyECDSA},
	"EdDSA": {0, isEd25519, verifyEd25519},
}

// Algorithms lists what an issuer may be configured with, sorted.
func Algorithms() []string { return slices.Sorted(maps.Keys(algorithms)) }

func isRSA(public crypto.PublicKey) bool {
	_, ok := public.(*rsa.PublicKey)
	return ok
}

func isEd25519(public crypto.PublicKey) bool {
	_, ok := public.(ed25519.PublicKey)
	return ok
}

func onCurve(curve elliptic.Curve) func(crypto.PublicKey) bool {
	return func(public crypto.PublicKey) bool {
		key, ok := public.(*ecdsa.PublicKey)
		return ok && key.Curve == curve
	}
}

func digest(hash crypto.Hash, signed []byte) []byte {
	if hash == crypto.SHA256 {
		sum := sha256.Sum256(signed)
		return sum[:]
	}
	h := hash.New()
	h.Write(signed)
	return h.Sum(nil)
}

func verifyPKCS1(public crypto.PublicKey, hash crypto.Hash, signed, signature []byte) bool {
	return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), hash, digest(hash, signed), signature) == nil
}

// verifyPSS insists on a salt as long as the hash, as RFC 7518 section 3.5 does.
func verifyPSS(public crypto.PublicKey, hash crypto.Hash, signed, signature []byte) bool {
	options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	return rsa.VerifyPSS(public.(*rsa.PublicKey), hash, digest(hash, signed), signature, &options) == nil
}

// verifyECDSA reads r and s as two numbers of the curve's width, no shorter and no longer.
func verifyECDSA(public crypto.PublicKey, hash crypto.Hash, signed, signature []byte) bool {
	key := public.(*ecdsa.PublicKey)
	width := (key.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*width {
		return false
	}
	r := new(big.Int).SetBytes(signature[:width])
	s := new(big.Int).SetBytes(signature[width:])
	return ecdsa.Verify(key, digest(hash, signed), r, s)
}

func verifyEd25519(public crypto.PublicKey, _ crypto.Hash, signed, signature []byte) bool {
	return ed25519.Verify(public.(ed25519.PublicKey), signed, signature)
}

// verifiedBy reports whether k's signature stands under c, by the algorithm that c's header names.
// The caller has checked that the algorithm is allowed and fits the key.
func (c *compact) verifiedBy(k *key) bool {
	alg := algorithms[c.header.algorithm]
	return alg.verify(k.public, alg.hash, c.signed, c.signature)
}
