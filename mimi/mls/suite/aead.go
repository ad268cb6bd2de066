package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

func newAESGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func newChaCha20(key []byte) (cipher.AEAD, error) { return chacha20poly1305.New(key) }

// cipher returns the AEAD under key, which has Nk octets, for a nonce of Nn.
func (s *Suite) cipher(key Secret, nonce []byte) (cipher.AEAD, error) {
	if key.Len() != s.nk {
		return nil, fmt.Errorf("%w: an AEAD key of %d octets", ErrKey, key.Len())
	}
	if len(nonce) != s.Nn() {
		return nil, fmt.Errorf("%w: a nonce of %d octets", ErrKey, len(nonce))
	}
	return s.newAEAD(key.Bytes())
}

// Seal encrypts plaintext under a key of Nk and a nonce of Nn octets. The caller
// answers for the nonce being new under that key. It fails with [ErrKey] if the
// lengths are wrong.
func (s *Suite) Seal(key Secret, nonce, aad, plaintext []byte) ([]byte, error) {
	a, err := s.cipher(key, nonce)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nonce, plaintext, aad), nil
}

// Open decrypts what [Suite.Seal] made. It fails with [ErrDecrypt].
func (s *Suite) Open(key Secret, nonce, aad, ciphertext []byte) ([]byte, error) {
	a, err := s.cipher(key, nonce)
	if err != nil {
		return nil, err
	}
	plaintext, err := a.Open(nil, nonce, ciphertext, aad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}
