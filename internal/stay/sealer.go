package stay

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
)

// Sealer encrypts short texts for the database, such as secrets of guests: AES-256-GCM, with a key that is derived
// from a secret which is kept elsewhere. A copy of the database is not enough to read them. Anyone who has the secret
// can read them, so it should be one that gives access to them anyway. Each use has a secret of its own.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns a sealer. With another secret it can't open what was sealed before.
func NewSealer(secret string) Sealer {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "staykey backup codes", 32)
	if err != nil {
		panic(err) // only for a key that is longer than SHA-256 gives
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a key of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block of another size
	}
	return Sealer{aead}
}

// Seal encrypts a text that belongs to what id names.
func (s Sealer) Seal(text, id string) []byte { return s.aead.Seal(nil, nil, []byte(text), []byte(id)) }

// Open decrypts a text; ok is false for one that was sealed with another secret or for another id.
func (s Sealer) Open(sealed []byte, id string) (text string, ok bool) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(id))
	return string(plain), err == nil
}
