package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The words with which the two kinds of key begin, so that one cannot be taken for the other.
const (
	openingWord = "scopegate-opening-key-1:"
	sealingWord = "scopegate-sealing-key-1:"
)

var (
	kem  = hpke.DHKEM(ecdh.X25519())
	kdf  = hpke.HKDFSHA256()
	info = []byte("scopegate explanation, version 1")
)

// keyID tells keys apart without giving the public key away.
type keyID [8]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

func idOf(public hpke.PublicKey) (id keyID) {
	sum := sha256.Sum256(public.Bytes())
	copy(id[:], sum[:])
	return id
}

// Key opens what was sealed for it.
type Key struct {
	private hpke.PrivateKey
	id      keyID
}

// ID is the key's name in hexadecimal digits: it stands in both files of a pair, and in errors.
func (k *Key) ID() string { return k.id.String() }

// NewKey makes a pair of keys, each as the text of a file: the operators' opening key, and the
// sealing key for their gateways.
func NewKey() (opening, sealing []byte, err error) {
	private, err := kem.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	secret, err := private.Bytes()
	if err != nil {
		return nil, nil, err
	}
	public := private.PublicKey()
	return keyFile("Opens the gateway's sealed explanations. For operators only; no gateway needs it.", openingWord, idOf(public), secret),
		keyFile("Seals a gateway's explanations, and opens none. For explain_key in gateway.yaml.", sealingWord, idOf(public), public.Bytes()), nil
}

func keyFile(about, word string, id keyID, key []byte) []byte {
	return fmt.Appendf(nil, "# %s\n# key id %s\n%s%s\n", about, id, word, base64.RawURLEncoding.EncodeToString(key))
}

// ParseKey reads an opening key from the text of its file.
func ParseKey(text []byte) (*Key, error) {
	line, err := theLine(text)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(line, sealingWord) {
		return nil, errors.New("is a sealing key, which opens nothing: name the other file of the pair")
	}
	secret, err := decode(line, openingWord, "an opening key")
	if err != nil {
		return nil, err
	}
	private, err := kem.NewPrivateKey(secret)
	if err != nil {
		return nil, errors.New("holds no X25519 key")
	}
	return &Key{private, idOf(private.PublicKey())}, nil
}

// parseSealing reads a sealing key from the text of its file.
func parseSealing(text []byte) (hpke.PublicKey, error) {
	line, err := theLine(text)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(line, openingWord) {
		return nil, errors.New("is an opening key, which belongs to operators and on no gateway: name the other file of the pair")
	}
	public, err := decode(line, sealingWord, "a sealing key")
	if err != nil {
		return nil, err
	}
	key, err := kem.NewPublicKey(public)
	if err != nil {
		return nil, errors.New("holds no X25519 key")
	}
	return key, nil
}

// theLine is the one line of a key file that is neither empty nor a comment.
func theLine(text []byte) (string, error) {
	var found []string
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			found = append(found, string(line))
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("must hold one key on one line, and has %d lines", len(found))
	}
	return found[0], nil
}

// decode never repeats the line in its error: it may be a secret of another kind.
func decode(line, word, what string) ([]byte, error) {
	rest, ok := strings.CutPrefix(line, word)
	if !ok {
		return nil, fmt.Errorf("holds no key that begins with %s", word)
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("holds %s that is damaged: it must have 32 bytes in base64url", what)
	}
	return key, nil
}
