package token

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// KeyBits is the size of the RSA keys that the ring makes.
const KeyBits = 2048

// Row is a signing key as it lies in the store. Whoever reads the database can
// read all of it but the private part; nothing in it can be changed without
// the master key, except that a key can be withdrawn.
type Row struct {
	KID       string    // RFC 7638 thumbprint of the public key
	Alg       string    // RS256
	Public    []byte    // JSON: the public JWK, and a seal that outlives the private part
	Sealed    []byte    // PKCS #8 under the master key; empty once erased
	RevokedAt time.Time // zero unless withdrawn early
	Times
}

// errSeal means that a row was not made under this master key, or was changed.
var errSeal = errors.New("key row does not open under the master key")

// key is a row that opened.
type key struct {
	kid     string
	public  *rsa.PublicKey
	private *rsa.PrivateKey // nil once erased
	Times
}

// record is what Row.Public holds.
type record struct {
	member
	Seal string `json:"seal"`
}

// newRow makes a row from a fresh private key.
func newRow(m *Master, private *rsa.PrivateKey, times Times) (Row, error) {
	kid, err := thumbprint(&private.PublicKey)
	if err != nil {
		return Row{}, fmt.Errorf("seal signing key: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Row{}, fmt.Errorf("seal signing key: %w", err)
	}
	defer clear(secret)
	jwk := newMember(kid, &private.PublicKey)
	bound := bind(jwk, times)
	row := Row{KID: kid, Alg: algorithm, Times: times}
	row.Sealed = m.private.Seal(nil, nil, secret, bound)
	seal := m.seal.Seal(nil, nil, nil, bound)
	row.Public, err = json.Marshal(record{member: jwk, Seal: base64.RawURLEncoding.EncodeToString(seal)})
	if err != nil {
		return Row{}, fmt.Errorf("seal signing key: %w", err)
	}
	return row, nil
}

// generate makes an RSA key of KeyBits.
func generate() (*rsa.PrivateKey, error) {
	return rsa.GenerateKey(rand.Reader, KeyBits)
}

// open checks a row and takes it apart. A row whose private part is there and
// does not open is refused whole.
func (r Row) open(m *Master) (*key, error) {
	var rec record
	dec := json.NewDecoder(bytes.NewReader(r.Public))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rec); err != nil {
		return nil, errors.New("open signing key: the public part is damaged")
	}
	public, err := rec.key()
	if err != nil {
		return nil, err
	}
	if rec.KID != r.KID || rec.Alg != r.Alg {
		return nil, errors.New("open signing key: row and public part differ")
	}
	seal, err := base64.RawURLEncoding.DecodeString(rec.Seal)
	if err != nil {
		return nil, errSeal
	}
	bound := bind(rec.member, r.Times)
	if _, err := m.seal.Open(nil, nil, seal, bound); err != nil {
		return nil, errSeal
	}
	k := &key{kid: r.KID, public: public, Times: r.Times.revoked(r.RevokedAt)}
	if len(r.Sealed) == 0 {
		return k, nil
	}
	if k.private, err = openPrivate(m, r.Sealed, bound, public); err != nil {
		return nil, err
	}
	return k, nil
}

func openPrivate(m *Master, sealed, bound []byte, public *rsa.PublicKey) (*rsa.PrivateKey, error) {
	secret, err := m.private.Open(nil, nil, sealed, bound)
	if err != nil {
		return nil, errSeal
	}
	defer clear(secret)
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, errors.New("open signing key: private part is damaged")
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok || !private.PublicKey.Equal(public) {
		return nil, errors.New("open signing key: private and public part differ")
	}
	return private, nil
}

// bind is the associated data of both seals: every field with its length, so
// that no two rows read alike.
func bind(jwk member, times Times) []byte {
	b := []byte("scopegate signing key row v1\x00")
	for _, field := range []string{jwk.KID, jwk.KTY, jwk.Alg, jwk.Use, jwk.N, jwk.E} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	for _, at := range []time.Time{times.PublishAt, times.SignFrom, times.SignUntil, times.RetireAt} {
		b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
	}
	return b
}

func newMember(kid string, public *rsa.PublicKey) member {
	return member{
		N:   base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
		E:   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
		KTY: "RSA",
		KID: kid,
		Alg: algorithm,
		Use: "sig",
	}
}

// key is the public key that a member describes. Anything that newMember would
// not have written, a wrong key id included, is an error.
func (m member) key() (*rsa.PublicKey, error) {
	n, err := base64.RawURLEncoding.DecodeString(m.N)
	if err != nil {
		return nil, errors.New("open signing key: the public part is damaged")
	}
	e, err := base64.RawURLEncoding.DecodeString(m.E)
	if err != nil || len(e) > 4 {
		return nil, errors.New("open signing key: the public part is damaged")
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if public.N.BitLen() < KeyBits || public.E < 3 {
		return nil, errors.New("open signing key: not an RSA key of at least 2048 bits")
	}
	kid, err := thumbprint(public)
	if err != nil {
		return nil, err
	}
	if m != newMember(kid, public) {
		return nil, errors.New("open signing key: key id is not the thumbprint")
	}
	return public, nil
}

// thumbprint is the RFC 7638 thumbprint (SHA-256, base64url) of a public key.
func thumbprint(public *rsa.PublicKey) (string, error) {
	k, err := jwk.FromRaw(public)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
