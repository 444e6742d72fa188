package token

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// MasterKeySize is the length of a master key in bytes.
const MasterKeySize = 32

// ErrMasterKeyFormat means that a text is not a master key. The text itself is
// never part of the message.
var ErrMasterKeyFormat = errors.New("a master key is 32 random bytes as base64 or as 64 hexadecimal digits")

// Master seals and opens key rows. The zero value is not usable.
type Master struct {
	private cipher.AEAD // for private keys
	seal    cipher.AEAD // for the authenticity of a row, which outlives its private key
}

// NewMaster derives the sealing keys from a master key of MasterKeySize bytes.
func NewMaster(secret []byte) (*Master, error) {
	if len(secret) != MasterKeySize {
		return nil, ErrMasterKeyFormat
	}
	private, err := derive(secret, "scopegate authserver signing key private v1")
	if err != nil {
		return nil, err
	}
	seal, err := derive(secret, "scopegate authserver signing key row v1")
	if err != nil {
		return nil, err
	}
	return &Master{private: private, seal: seal}, nil
}

// derive separates the purposes: a private key's box cannot be passed off as a
// row's seal.
func derive(secret []byte, purpose string) (cipher.AEAD, error) {
	sub, err := hkdf.Key(sha256.New, secret, nil, purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive sealing key: %w", err)
	}
	block, err := aes.NewCipher(sub)
	if err != nil {
		return nil, fmt.Errorf("derive sealing key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// ParseMaster reads a master key as an operator writes it: base64 (any
// alphabet, with or without padding) or hexadecimal, white space around it
// ignored.
func ParseMaster(text []byte) (*Master, error) {
	text = bytes.TrimSpace(text)
	if raw, err := hex.DecodeString(string(text)); err == nil {
		return NewMaster(raw)
	}
	bare := string(bytes.TrimRight(text, "="))
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		if raw, err := enc.DecodeString(bare); err == nil {
			return NewMaster(raw)
		}
	}
	return nil, ErrMasterKeyFormat
}

// ReadMasterFile reads a master key from a file of at most a kilobyte. With
// private set, a symbolic link and a file that others may read are refused:
// that is the rule for the file which the server made itself.
func ReadMasterFile(path string, private bool) (*Master, error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK // a named pipe would make Open wait for a writer
	if private {
		flags |= syscall.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read master key %s: not a regular file", path)
	}
	if private && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read master key %s: mode %04o lets others read it; want 0600", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	m, err := ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("read master key %s: %w", path, err)
	}
	return m, nil
}

// CreateMasterFile makes a new master key and writes it to a file that must
// not exist yet, mode 0600; the error is fs.ErrExist if it does, be it as a
// link that leads nowhere. The file appears whole or not at all, and is on
// disk when the function returns: a key that sealed something and is then
// lost would lock the store.
func CreateMasterFile(path string) (*Master, error) {
	secret := make([]byte, MasterKeySize)
	rand.Read(secret)
	draft := path + ".new-" + rand.Text()
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create master key: %w", err)
	}
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(secret) + "\n")
	err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(draft, path)
	}
	err = errors.Join(err, os.Remove(draft))
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("create master key: %w", err)
	}
	return NewMaster(secret)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
