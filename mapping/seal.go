package mapping

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// A sealed value is
//
//	struct {
//	    opaque key_id[8];      which key-encryption key
//	    opaque nonce[12];
//	    opaque ciphertext[];   AES-256-GCM, with its tag
//	} Sealed;
//
// with the name of the table and the primary key of the row as additional data,
// so that a value opens in its own row alone. GCM with random nonces is good for
// 2^32 values under one key, which a busy gateway writes in a year. Therefore
// each row has a key of its own, expanded from the key-encryption key with the
// same context.
const (
	keyIDSize = 8
	kekSize   = 32
)

var (
	// ErrKey reports that a value was sealed with another key than the one in
	// the key file.
	ErrKey = errors.New("mapping: wrong key-encryption key")
	// ErrSealed reports a sealed value that was damaged, or moved from another
	// row.
	ErrSealed = errors.New("mapping: sealed value does not open")
)

type keyID [keyIDSize]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// Keys holds the key-encryption key that seals secrets in the database.
// [LoadKeyFile] makes one; the zero value does not seal. It is safe for
// concurrent use, and does not print its key.
type Keys struct {
	_    [0]func() // not comparable
	id   keyID
	kek  []byte
	path string
}

// newKeys names the key in errors after the file that it came from.
func newKeys(kek []byte, path string) Keys {
	h := sha256.New()
	h.Write([]byte("mimi-gateway key id\x00"))
	h.Write(kek)
	return Keys{id: keyID(h.Sum(nil)[:keyIDSize]), kek: kek, path: path}
}

// ID returns the public name of the key: 16 hexadecimal digits.
func (k Keys) ID() string { return k.id.String() }

// String names the key and does not show it.
func (k Keys) String() string { return "[redacted key " + k.ID() + "]" }

// GoString is String, for %#v.
func (k Keys) GoString() string { return k.String() }

// Format is String for every verb and flag.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue is String for log/slog.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String, for encoders.
func (k Keys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// seal returns the sealed form of a secret that belongs in the given row; nil
// stays nil.
func (k Keys) seal(secret []byte, table string, row ...string) ([]byte, error) {
	if secret == nil {
		return nil, nil
	}
	context := sealContext(table, row)
	aead, err := k.aead(context)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, keyIDSize, keyIDSize+aead.Overhead()+len(secret))
	copy(sealed, k.id[:])
	return aead.Seal(sealed, nil, secret, context), nil
}

// open is the inverse of seal.
func (k Keys) open(sealed []byte, table string, row ...string) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	if len(sealed) < keyIDSize {
		return nil, fmt.Errorf("%w: %d octets in %s", ErrSealed, len(sealed), table)
	}
	if id := keyID(sealed[:keyIDSize]); id != k.id {
		return nil, k.wrongKey(id)
	}
	context := sealContext(table, row)
	aead, err := k.aead(context)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, nil, sealed[keyIDSize:], context)
	if err != nil {
		return nil, fmt.Errorf("%w: it was damaged, or moved from another row of %s", ErrSealed, table)
	}
	if secret == nil {
		secret = []byte{} // nil would say that there is none
	}
	return secret, nil
}

// wrongKey says which key is needed in place of k.
func (k Keys) wrongKey(needed keyID) error {
	return fmt.Errorf("%w: the database needs the key with id %s, but key file %s holds %s; put back the file that belongs to this database",
		ErrKey, needed, k.path, k.id)
}

func (k Keys) aead(context []byte) (cipher.AEAD, error) {
	if len(k.kek) != kekSize {
		return nil, errors.New("mapping: internal error: no key-encryption key was loaded")
	}
	key, err := hkdf.Expand(sha256.New, k.kek, "mimi-gateway sealed row\x00"+string(context), 32)
	if err != nil {
		return nil, fmt.Errorf("mapping: derive row key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("mapping: row key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealContext encodes table and primary key so that no two rows are alike.
func sealContext(table string, row []string) []byte {
	var context []byte
	for _, part := range append([]string{table}, row...) {
		context = binary.BigEndian.AppendUint32(context, uint32(len(part)))
		context = append(context, part...)
	}
	return context
}
