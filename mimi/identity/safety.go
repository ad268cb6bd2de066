package identity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	labelSafety = "MGP1 SafetyCode"
	// safetyVersion is that of the safety codes of the profile.
	safetyVersion = 1
	// safetyDigits is how many digits of a safety code stand for one person: 10^32 is
	// 2^106.3.
	safetyDigits = 32
	safetyGroup  = 4
	safetyPrefix = "MIMI SAFETY CODE 1:"
)

// ErrSafetyCode reports a text that is no safety code of this version.
var ErrSafetyCode = errors.New("identity: this is no safety code")

// A SafetyParty is one of the two people whom a safety code is about, as the other one
// knows them (docs/mmr-profile.md, section 4, "Safety codes").
//
//	struct {
//	    uint16 version = 1;
//	    CipherSuite cipher_suite;
//	    opaque user_uri<V>;
//	    opaque client_uri<V>;
//	    opaque signature_public_key<V>;   /* the client's, as its certificate has it */
//	    opaque identity_ca<V>;            /* SHA-256 of the PEM of the identity CA */
//	} SafetyParty;
type SafetyParty struct {
	CipherSuite  mls.CipherSuite
	User, Client mimi.URI
	PublicKey    []byte
	// Authority is the fingerprint of the identity CA; see [Authority.Fingerprint].
	Authority [sha256.Size]byte
}

// Wire codes the structure.
func (p *SafetyParty) Wire(c *wire.Codec) {
	version := uint16(safetyVersion)
	wire.Uint16(c, &version)
	wire.Uint16(c, &p.CipherSuite)
	p.User.Wire(c)
	p.Client.Wire(c)
	wire.Opaque(c, &p.PublicKey)
	ca := p.Authority[:]
	wire.Opaque(c, &ca)
	if version != safetyVersion || copy(p.Authority[:], ca) != len(p.Authority) || len(ca) != len(p.Authority) {
		c.Fail(fmt.Errorf("%w: of another version, or with a malformed fingerprint", ErrSafetyCode))
	}
}

// hash is RefHash("MGP1 SafetyCode", SafetyParty).
func (p *SafetyParty) hash() (out [sha256.Size]byte, err error) {
	s, err := suite.Lookup(p.CipherSuite)
	if err != nil {
		return out, fmt.Errorf("safety code: %w", err)
	}
	b, err := wire.Marshal(p)
	if err != nil {
		return out, fmt.Errorf("safety code: %w", err)
	}
	copy(out[:], s.RefHash(labelSafety, b))
	return out, nil
}

// A SafetyCode is what two people compare, to see that nobody stands between them. It
// is the same for both, and no secret.
type SafetyCode struct {
	// first and second are the hashes of the two, in ascending order.
	first, second [sha256.Size]byte
}

// NewSafetyCode returns the code of two people, in any order.
func NewSafetyCode(a, b *SafetyParty) (SafetyCode, error) {
	one, err := a.hash()
	if err != nil {
		return SafetyCode{}, err
	}
	other, err := b.hash()
	if err != nil {
		return SafetyCode{}, err
	}
	if bytes.Compare(one[:], other[:]) > 0 {
		one, other = other, one
	}
	return SafetyCode{one, other}, nil
}

// Digits returns the 64 decimal digits that people compare: 32 for each of the two, so
// that who wants to pass for one of them has to find a key for 2^106 possibilities, and
// cannot choose on both sides at once.
func (c SafetyCode) Digits() string {
	modulus := new(big.Int).Exp(big.NewInt(10), big.NewInt(safetyDigits), nil)
	var b strings.Builder
	for _, hash := range [][sha256.Size]byte{c.first, c.second} {
		n := new(big.Int).SetBytes(hash[:])
		fmt.Fprintf(&b, "%0*d", safetyDigits, n.Mod(n, modulus))
	}
	return b.String()
}

// String returns the digits in groups of four.
func (c SafetyCode) String() string {
	digits := c.Digits()
	var groups []string
	for i := 0; i < len(digits); i += safetyGroup {
		groups = append(groups, digits[i:i+safetyGroup])
	}
	return strings.Join(groups, " ")
}

// Picture returns the text of the QR code: the digits, behind the name and version of
// what they are.
func (c SafetyCode) Picture() string { return safetyPrefix + " " + c.String() }

// Digest identifies everything that the code is about, for noting that it was compared.
func (c SafetyCode) Digest() [sha256.Size]byte {
	return sha256.Sum256(append(bytes.Clone(c.first[:]), c.second[:]...))
}

// Matches reports whether a text that somebody was told, or read from a picture, is this
// code. It fails with [ErrSafetyCode] if the text is no safety code.
func (c SafetyCode) Matches(text string) (bool, error) {
	text = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(text)), safetyPrefix)
	digits := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n-", r) }), "")
	if len(digits) != 2*safetyDigits || strings.Trim(digits, "0123456789") != "" {
		return false, ErrSafetyCode
	}
	return digits == c.Digits(), nil
}
