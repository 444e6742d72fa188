package account

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// NewID makes a UUIDv7 (RFC 9562 section 5.7) in lower-case text form: 48 bits
// of Unix milliseconds, then 74 random bits, so ids sort by age.
func NewID() string {
	var id [16]byte
	rand.Read(id[6:]) // never fails: crypto/rand ends the process instead
	ms := uint64(time.Now().UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80

	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
