// Package seal closes short texts so that whoever carries them cannot read them: a gateway
// that explains a refusal to its operators seals the explanation and gives it to the caller,
// who passes it on.
//
// There are two keys. The sealing key is the gateway's and opens nothing; the opening key is
// the operators'. It is HPKE (RFC 9180, base mode: DHKEM with X25519, HKDF-SHA256), used to
// agree on a secret once an hour (section 5.3, secret export); each text then costs one
// AES-256-GCM. A sealing key has to be kept as well: it opens nothing, but whoever has it can
// make up an explanation. Outsiders never see it, since a sealed text holds only a hash of it.
//
// A sealed text is "sg1." and, in base64url without padding,
//
//	8 bytes     the opening key's id: the beginning of the public key's SHA-256
//	32 bytes    the encapsulated key, which says how to find the secret
//	12 bytes    the nonce, random
//	1016 bytes  the text, with blanks behind it up to 1000 bytes, and the tag
//
// so that its length says nothing of what is in it.
package seal
