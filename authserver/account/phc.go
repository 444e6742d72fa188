package account

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params is the cost of one argon2id hash (RFC 9106).
type Params struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultParams is OWASP's smallest recommended setting: 19 MiB, two passes,
// one lane.
var DefaultParams = Params{MemoryKiB: 19 * 1024, Passes: 2, Lanes: 1}

const (
	saltBytes = 16
	keyBytes  = 32
)

// Bounds of what is taken from a stored hash: a row written by somebody else
// must not make the next login take all memory, nor compare two empty keys.
const (
	maxMemoryKiB = 256 * 1024
	maxPasses    = 16
	maxLanes     = 16
	minSalt      = 8
	minKey       = 16
	maxPart      = 64
	maxPHC       = 256
)

func (p Params) check() error {
	switch {
	case p.Lanes < 1 || p.Lanes > maxLanes:
		return errors.New("lanes out of bounds")
	case p.Passes < 1 || p.Passes > maxPasses:
		return errors.New("passes out of bounds")
	case p.MemoryKiB < 8*uint32(p.Lanes) || p.MemoryKiB > maxMemoryKiB:
		return errors.New("memory out of bounds")
	}
	return nil
}

// less reports whether any part of p is below q: then a hash is made anew.
func (p Params) less(q Params) bool {
	return p.MemoryKiB < q.MemoryKiB || p.Passes < q.Passes || p.Lanes < q.Lanes
}

// hashed is a parsed PHC string.
type hashed struct {
	Params
	salt, key []byte
}

func (h hashed) derive(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.Passes, h.MemoryKiB, h.Lanes, uint32(len(h.key)))
}

func (h hashed) matches(key []byte) bool { return subtle.ConstantTimeCompare(h.key, key) == 1 }

var b64 = base64.RawStdEncoding.Strict()

// String is the PHC form: $argon2id$v=19$m=…,t=…,p=…$salt$key.
func (h hashed) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.MemoryKiB, h.Passes, h.Lanes, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

var errPHC = errors.New("account: stored password hash is not an argon2id PHC string")

// parsePHC reads exactly what String writes, within bounds: one spelling per
// hash. Its error never holds the string.
func parsePHC(s string) (hashed, error) {
	var h hashed
	parts := strings.Split(s, "$")
	if len(s) > maxPHC || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" ||
		parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return h, errPHC
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return h, errPHC
	}
	memory, okM := cost(costs[0], "m=")
	passes, okT := cost(costs[1], "t=")
	lanes, okP := cost(costs[2], "p=")
	if !okM || !okT || !okP || lanes > maxLanes {
		return h, errPHC
	}
	h.Params = Params{MemoryKiB: memory, Passes: passes, Lanes: uint8(lanes)}
	if h.check() != nil {
		return h, errPHC
	}
	var errS, errK error
	h.salt, errS = b64.DecodeString(parts[4])
	h.key, errK = b64.DecodeString(parts[5])
	if errS != nil || errK != nil || len(h.salt) < minSalt || len(h.salt) > maxPart ||
		len(h.key) < minKey || len(h.key) > maxPart || h.String() != s {
		return h, errPHC
	}
	return h, nil
}

func cost(s, name string) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil
}
