package identitytest

import (
	"crypto/aes"
	"encoding/binary"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TwoKeyCiphertext returns n octets and a tag that AES-GCM takes for valid under both
// keys: all zeros but for the last block, which solves the equation between the two
// tags. It fails for keys that are not AES's.
func TwoKeyCiphertext(k1, k2 suite.Secret, nonce, aad []byte, n int) ([]byte, error) {
	h1, e1, err := gcmSecrets(k1, nonce)
	if err != nil {
		return nil, err
	}
	h2, e2, err := gcmSecrets(k2, nonce)
	if err != nil {
		return nil, err
	}
	ct := make([]byte, n)
	// The last block counts with H^2: the block of lengths comes behind it.
	t1, t2 := ghash(h1, aad, ct).xor(e1), ghash(h2, aad, ct).xor(e2)
	x := t1.xor(t2).mul(h1.mul(h1).xor(h2.mul(h2)).inverse())
	x.put(ct[n-16:])
	tag := make([]byte, 16)
	ghash(h1, aad, ct).xor(e1).put(tag)
	return append(ct, tag...), nil
}

// gcmSecrets returns the hash key and the mask of the tag (NIST SP 800-38D).
func gcmSecrets(key suite.Secret, nonce []byte) (h, mask element, err error) {
	block, err := aes.NewCipher(key.Bytes())
	if err != nil {
		return h, mask, err
	}
	var out, counter [16]byte
	block.Encrypt(out[:], make([]byte, 16))
	h = elementOf(out[:])
	copy(counter[:], nonce)
	counter[15] = 1
	block.Encrypt(out[:], counter[:])
	return h, elementOf(out[:]), nil
}

// An element of GF(2^128) in GCM's order: the coefficient of x^0 is the first
// bit.
type element struct{ hi, lo uint64 }

func elementOf(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a element) put(b []byte) {
	binary.BigEndian.PutUint64(b, a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
}

func (a element) xor(b element) element { return element{a.hi ^ b.hi, a.lo ^ b.lo} }

func (a element) mul(b element) element {
	var z element
	for i := range 128 {
		word := a.hi
		if i >= 64 {
			word = a.lo
		}
		if word>>(63-i%64)&1 == 1 {
			z = z.xor(b)
		}
		carry := b.lo & 1
		b.lo = b.lo>>1 | b.hi<<63
		b.hi >>= 1
		b.hi ^= carry * (0xe1 << 56)
	}
	return z
}

// inverse is a^(2^128-2).
func (a element) inverse() element {
	z, square := element{hi: 1 << 63}, a
	for range 127 {
		square = square.mul(square)
		z = z.mul(square)
	}
	return z
}

func ghash(h element, aad, ct []byte) element {
	var y element
	blocks := func(b []byte) {
		for len(b) > 0 {
			var block [16]byte
			b = b[copy(block[:], b):]
			y = y.xor(elementOf(block[:])).mul(h)
		}
	}
	blocks(aad)
	blocks(ct)
	return y.xor(element{uint64(len(aad)) * 8, uint64(len(ct)) * 8}).mul(h)
}
