package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"encoding/base64"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Size is the most bytes that a text may have. All are padded to it.
	Size = 1000

	version   = "sg1."
	idSize    = len(keyID{})
	encSize   = 32
	headSize  = idSize + encSize
	extraSize = 12 + 16 // nonce and tag
	rawSize   = headSize + Size + extraSize

	// Length is the number of characters of every sealed text.
	Length = len(version) + (rawSize*8+5)/6
)

// secretLife is how long one secret is used: what is taken from a gateway's memory opens no more than
// its own texts of this time. It also keeps random nonces far from 2^32 for one secret.
const secretLife = time.Hour

// Sealer seals texts. It may be used by many goroutines.
type Sealer struct {
	public  hpke.PublicKey
	id      keyID
	session atomic.Pointer[session]
}

// session is a secret that was agreed on with the holders of the opening key.
type session struct {
	head  [headSize]byte // id and encapsulated key
	aead  cipher.AEAD    // with a random nonce before what it seals
	until time.Time
}

// NewSealer reads a sealing key from the text of its file.
func NewSealer(text []byte) (*Sealer, error) {
	public, err := parseSealing(text)
	if err != nil {
		return nil, err
	}
	s := &Sealer{public: public, id: idOf(public)}
	first, err := s.newSession(time.Now())
	if err != nil {
		return nil, err
	}
	s.session.Store(first)
	return s, nil
}

// ID is the key's name: that of the opening key which opens what s seals.
func (s *Sealer) ID() string { return s.id.String() }

func (s *Sealer) newSession(now time.Time) (*session, error) {
	enc, sender, err := hpke.NewSender(s.public, kdf, hpke.ExportOnly(), info)
	if err != nil {
		return nil, err
	}
	secret, err := sender.Export(secretLabel, 32)
	if err != nil {
		return nil, err
	}
	n := &session{until: now.Add(secretLife)}
	copy(n.head[:], s.id[:])
	copy(n.head[idSize:], enc)
	n.aead, err = aeadOf(secret)
	return n, err
}

// secretLabel is the exporter context (RFC 9180 section 5.3) of the one secret that is exported.
const secretLabel = "AES-256-GCM"

func aeadOf(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// current is the session of this hour. Two goroutines may each begin one; both are good.
func (s *Sealer) current(now time.Time) *session {
	n := s.session.Load()
	if now.Before(n.until) {
		return n
	}
	if next, err := s.newSession(now); err == nil {
		s.session.Store(next)
		return next
	}
	return n
}

// room is memory for one text on its way.
type room struct {
	plain [Size]byte
	raw   [rawSize]byte
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// Append appends the sealed text, [Length] characters, to b. A text that is longer than [Size]
// is cut; one that ends in blanks is opened without them. It allocates nothing where b has
// room, but for the secret of a new hour.
func (s *Sealer) Append(b, text []byte, now time.Time) []byte {
	n := s.current(now)
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	padding := r.plain[copy(r.plain[:], text):]
	for i := range padding {
		padding[i] = ' '
	}
	raw := append(r.raw[:0], n.head[:]...)
	raw = n.aead.Seal(raw, nil, r.plain[:], n.head[:])
	b = append(slices.Grow(b, Length), version...)
	return base64.RawURLEncoding.AppendEncode(b, raw)
}
