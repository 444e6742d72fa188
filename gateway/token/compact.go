package token

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of the JOSE header and of the claims.
var (
	headerLimits = jsonLimits{depth: 8, values: 256}
	claimLimits  = jsonLimits{depth: 32, values: 4096}
)

// maxKeyIDBytes is the longest key id, in a token or a key set.
const maxKeyIDBytes = 512

// compact is a JWS in compact serialization (RFC 7515 section 7.1), decoded and not yet
// verified. It is made to be parsed into again and again: what must last longer than until the next
// token is copied out of it.
type compact struct {
	header    header
	head      []byte // the header as it was received, with the dot behind it
	signed    []byte // header and payload as they were received
	payload   []byte
	signature []byte

	text     []byte       // the token
	decoded  []byte       // its three parts
	document jsonDocument // the part that was parsed last
	terms    []byte       // what tells its terms from others
}

// header holds what is read of a JOSE header. Members that would tell the verifier where
// to find a key (jku, x5u, jwk, x5c, and x5t) are never read.
type header struct {
	algorithm string
	typ       string
	hasType   bool
	keyID     string
	hasKeyID  bool
}

// strictBase64 refuses padding and trailing bits that are not zero.
var strictBase64 = base64.RawURLEncoding.Strict()

var dot = []byte(".")

// parse splits and decodes a token, and reads its header.
func (c *compact) parse(raw string) error {
	if dots := strings.Count(raw, "."); dots != 2 {
		return fmt.Errorf("%d parts, a signed token has 3", dots+1)
	}
	c.text = append(c.text[:0], raw...)
	c.decoded = slices.Grow(c.decoded[:0], len(raw))
	head, rest, _ := bytes.Cut(c.text, dot)
	payload, signature, _ := bytes.Cut(rest, dot)
	c.head = c.text[:len(head)+len(dot)]
	c.signed = c.text[:len(c.head)+len(payload)]
	text, err := c.decode(head)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if err := c.readHeader(text); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if c.payload, err = c.decode(payload); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if c.signature, err = c.decode(signature); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

func (c *compact) decode(segment []byte) (part []byte, err error) {
	start := len(c.decoded)
	c.decoded, err = appendDecoded(c.decoded, segment)
	return c.decoded[start:], err
}

// appendDecoded decodes canonical base64url. The standard decoder skips line breaks, which
// would give one token many spellings.
func appendDecoded(to, segment []byte) ([]byte, error) {
	if bytes.IndexByte(segment, '\r') >= 0 || bytes.IndexByte(segment, '\n') >= 0 {
		return to, errors.New("not base64url")
	}
	decoded, err := strictBase64.AppendDecode(to, segment)
	if err != nil {
		return to, errors.New("not canonical base64url without padding")
	}
	return decoded, nil
}

func decodeSegment(segment string) ([]byte, error) { return appendDecoded(nil, []byte(segment)) }

// refusedMembers change what is signed or how it is to be read; a verifier that does not
// do what they say must refuse the token (RFC 7515 section 4.1.11, RFC 7797, RFC 7516).
var refusedMembers = []string{"crit", "b64", "zip", "enc"}

func (c *compact) readHeader(text []byte) error {
	d, h := &c.document, &c.header
	*h = header{}
	if err := d.parse(text, headerLimits); err != nil {
		return err
	}
	for _, name := range refusedMembers {
		if d.get(root, name) != root {
			return fmt.Errorf("member %s is not supported", name)
		}
	}
	var hasAlgorithm bool
	var err error
	if h.algorithm, hasAlgorithm, err = d.stringMember("alg"); err != nil || !hasAlgorithm {
		return errors.Join(errors.New("alg is missing or not a string"), err)
	}
	if h.typ, h.hasType, err = d.stringMember("typ"); err != nil {
		return err
	}
	if h.keyID, h.hasKeyID, err = d.stringMember("kid"); err != nil {
		return err
	}
	if h.hasKeyID && (h.keyID == "" || len(h.keyID) > maxKeyIDBytes) {
		return fmt.Errorf("kid is empty or longer than %d bytes", maxKeyIDBytes)
	}
	return nil
}
