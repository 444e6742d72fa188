package seal

import (
	"bytes"
	"crypto/hpke"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
)

// Error is every error of [Open]: why a sealed text was not opened, and what to do.
type Error struct{ Text, Hint string }

func (e *Error) Error() string { return e.Text }

// Open opens a sealed text with the one of the keys that it was sealed for. White space in it
// is passed over, since people copy it out of terminals that break lines. The error is always an *[Error].
func Open(sealed string, keys ...*Key) ([]byte, error) {
	sealed = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, sealed)
	rest, ok := strings.CutPrefix(sealed, version)
	switch {
	case !ok && strings.HasPrefix(sealed, "sg") && strings.Contains(sealed, "."):
		kind, _, _ := strings.Cut(sealed, ".")
		return nil, &Error{fmt.Sprintf("the sealed explanation is of version %.16q, which this program does not know", kind), "use the gateway's own version, or a newer one"}
	case !ok:
		return nil, &Error{"this is no sealed explanation", "it begins with " + version + " and stands in the answer's Scopegate-Explanation"}
	case len(sealed) != Length:
		return nil, &Error{fmt.Sprintf("the sealed explanation has %d characters, and all have %d", len(sealed), Length), "copy it whole"}
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil {
		return nil, damaged
	}
	id := keyID(raw)
	for _, k := range keys {
		if k.id == id {
			return k.open(raw)
		}
	}
	return nil, &Error{fmt.Sprintf("the explanation was sealed for the key %s, and %s", id, others(keys)), "name the file of that key with --key; its comment bears the id"}
}

var damaged = &Error{"the sealed explanation is damaged: it is not what a gateway with this key has sealed", "copy it anew, with every character"}

func (k *Key) open(raw []byte) ([]byte, error) {
	head, box := raw[:headSize], raw[headSize:]
	recipient, err := hpke.NewRecipient(head[idSize:], k.private, kdf, hpke.ExportOnly(), info)
	if err != nil {
		return nil, damaged
	}
	secret, err := recipient.Export(secretLabel, 32)
	if err != nil {
		return nil, damaged
	}
	aead, err := aeadOf(secret)
	if err != nil {
		return nil, damaged
	}
	text, err := aead.Open(nil, nil, box, head)
	if err != nil {
		return nil, damaged
	}
	return bytes.TrimRight(text, " "), nil
}

// others says which keys were there.
func others(keys []*Key) string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID())
	}
	switch len(ids) {
	case 0:
		return "no key was given"
	case 1:
		return "the one given is " + ids[0]
	}
	return "those given are " + strings.Join(ids, ", ")
}
