package token

import (
	"encoding/base64"
	"errors"
	"fmt"
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
// verified. Nothing in it shares memory with the characters it was read from but signed.
type compact struct {
	header    header
	payload   string
	signed    string // header and payload as they were received
	signature []byte
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

// parseCompact splits and decodes a token.
func parseCompact(raw string) (*compact, error) {
	first := strings.IndexByte(raw, '.')
	last := strings.LastIndexByte(raw, '.')
	if first < 0 || first == last || strings.IndexByte(raw[first+1:last], '.') >= 0 {
		return nil, fmt.Errorf("%d parts, a signed token has 3", strings.Count(raw, ".")+1)
	}
	head, err := decodeSegment(raw[:first])
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	c := &compact{signed: raw[:last]}
	if c.header, err = parseHeader(string(head)); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	payload, err := decodeSegment(raw[first+1 : last])
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	c.payload = string(payload)
	if c.signature, err = decodeSegment(raw[last+1:]); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return c, nil
}

// decodeSegment decodes canonical base64url. The standard decoder skips line breaks, which
// would give one token many spellings.
func decodeSegment(s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c == '\r' || c == '\n' {
			return nil, errors.New("not base64url")
		}
	}
	b, err := strictBase64.DecodeString(s)
	if err != nil {
		return nil, errors.New("not canonical base64url without padding")
	}
	return b, nil
}

// refusedMembers change what is signed or how it is to be read; a verifier that does not
// do what they say must refuse the token (RFC 7515 section 4.1.11, RFC 7797, RFC 7516).
var refusedMembers = []string{"crit", "b64", "zip", "enc"}

func parseHeader(src string) (h header, err error) {
	members, _, err := jsonObject(src, headerLimits)
	if err != nil {
		return h, err
	}
	for _, name := range refusedMembers {
		if _, there := members[name]; there {
			return h, fmt.Errorf("member %s is not supported", name)
		}
	}
	var hasAlgorithm bool
	if h.algorithm, hasAlgorithm, err = stringMember(members, "alg"); err != nil || !hasAlgorithm {
		return h, errors.Join(errors.New("alg is missing or not a string"), err)
	}
	if h.typ, h.hasType, err = stringMember(members, "typ"); err != nil {
		return h, err
	}
	if h.keyID, h.hasKeyID, err = stringMember(members, "kid"); err != nil {
		return h, err
	}
	if h.hasKeyID && (h.keyID == "" || len(h.keyID) > maxKeyIDBytes) {
		return h, fmt.Errorf("kid is empty or longer than %d bytes", maxKeyIDBytes)
	}
	return h, nil
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
