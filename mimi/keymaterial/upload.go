package keymaterial

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	uploadVersion = 1
	uploadLabel   = "KeyMaterialUpload"

	// MaxUpload is the most KeyPackages, and the most sets to drop, that one upload
	// may have.
	MaxUpload = 256
)

// The ways in which an upload is refused. Nothing is stored then.
var (
	// ErrUpload reports an upload that is malformed, or KeyPackages that a provider
	// does not take: not signed, not of its domain, not of the form that everyone's
	// have, or not of one set.
	ErrUpload = errors.New("keymaterial: unusable upload")
	// ErrUploadSignature reports an upload that its upload key has not signed.
	ErrUploadSignature = errors.New("keymaterial: upload is not signed by its upload key")
	// ErrUploadKey reports an upload by another key than the one that was
	// registered with the first upload under that token.
	ErrUploadKey = errors.New("keymaterial: another upload key is registered for this token")
	// ErrUploadOrder reports an upload that is not newer than the last one: it was
	// received before, or another client was faster.
	ErrUploadOrder = errors.New("keymaterial: upload is not newer than the last one")
	// ErrUploadLimit reports that more would be stored under a token than
	// [MaxStored] KeyPackages.
	ErrUploadLimit = errors.New("keymaterial: too many KeyPackages under one token")
)

// An UploadedKeyPackage is one of a set.
//
//	struct {
//	    IdentifierUri user_pseudonym;
//	    uint32 client_slot;
//	    KeyPackage key_package;
//	} UploadedKeyPackage;
type UploadedKeyPackage struct {
	// Set is the user pseudonym, and Slot the client; see [Row].
	Set        mimi.URI
	Slot       uint32
	KeyPackage mls.KeyPackage
}

// Wire implements [wire.Message].
func (k *UploadedKeyPackage) Wire(c *wire.Codec) {
	wirePseudonym(c, &k.Set)
	wire.Uint32(c, &k.Slot)
	k.KeyPackage.Wire(c)
}

// wirePseudonym codes the URI of a user.
func wirePseudonym(c *wire.Codec, u *mimi.URI) {
	u.Wire(c)
	if u.Kind != mimi.KindUser {
		c.Fail(fmt.Errorf("%w: a set is named by a user pseudonym", ErrUpload))
	}
}

// A KeyMaterialUpload changes what a provider hands out under a token. It names no
// account: it is signed by a key that was made for this token and for nothing else,
// and paid with tokens that cannot be linked to who was given them
// (docs/mmr-profile.md, section 5).
//
//	struct {
//	    uint16 version = 1;
//	    CipherSuite cipher_suite;
//	    opaque token_hash<V>;            /* SHA-256(connection_token) */
//	    uint64 sequence;
//	    uint32 client_slots<V>;          /* ascending */
//	    IdentifierUri dropped_sets<V>;
//	    UploadedKeyPackage key_packages<V>;
//	    UploadToken tokens<V>;           /* one for each KeyPackage */
//	    opaque upload_key<V>;
//	    /* SignWithLabel(upload key, "KeyMaterialUpload", all before) */
//	    opaque signature<V>;
//	} KeyMaterialUpload;
type KeyMaterialUpload struct {
	// Suite of the upload key.
	Suite mls.CipherSuite
	Token TokenHash
	// Sequence is higher than that of every upload before it under this token.
	Sequence uint64
	// Slots are the clients of the user from now on. Sets with a KeyPackage of
	// another client are dropped. None means that the token has ended: all that is
	// stored under it is deleted, and the registration of the key.
	Slots       []uint32
	Drop        []mimi.URI
	KeyPackages []UploadedKeyPackage
	Tokens      []UploadToken
	// UploadKey is public. The first upload under a token registers it.
	UploadKey []byte
	Signature []byte
}

// Wire implements [wire.Message].
func (u *KeyMaterialUpload) Wire(c *wire.Codec) {
	u.tbs(c)
	wire.Opaque(c, &u.Signature)
}

func (u *KeyMaterialUpload) tbs(c *wire.Codec) {
	version, token := uint16(uploadVersion), u.Token[:]
	wire.Uint16(c, &version)
	wire.Uint16(c, &u.Suite)
	wire.Opaque(c, &token)
	wire.Uint64(c, &u.Sequence)
	wireSlots(c, &u.Slots)
	wire.Vector(c, &u.Drop, wirePseudonym)
	wire.Vector(c, &u.KeyPackages, wire.Struct)
	wire.Vector(c, &u.Tokens, wire.Struct)
	wire.Opaque(c, &u.UploadKey)
	switch {
	case version != uploadVersion:
		c.Fail(fmt.Errorf("%w: version %d", ErrUpload, version))
	case copy(u.Token[:], token) != len(u.Token) || len(token) != len(u.Token):
		c.Fail(fmt.Errorf("%w: token hash of %d octets", ErrUpload, len(token)))
	case len(u.KeyPackages) > MaxUpload || len(u.Drop) > MaxUpload:
		c.Fail(fmt.Errorf("%w: more than %d KeyPackages or sets", ErrUpload, MaxUpload))
	case len(u.Tokens) != len(u.KeyPackages):
		c.Fail(fmt.Errorf("%w: %d tokens for %d KeyPackages", ErrUpload, len(u.Tokens), len(u.KeyPackages)))
	case len(u.Slots) == 0 && len(u.KeyPackages)+len(u.Drop) > 0:
		c.Fail(fmt.Errorf("%w: KeyPackages or sets under a token that ends", ErrUpload))
	}
}

// uploadTBS are the fields of an upload that are signed.
type uploadTBS struct{ *KeyMaterialUpload }

// Wire implements [wire.Message].
func (u uploadTBS) Wire(c *wire.Codec) { u.tbs(c) }

// Sign sets Suite, UploadKey and Signature.
func (u *KeyMaterialUpload) Sign(s *suite.Suite, key suite.SignatureKey) error {
	u.Suite, u.UploadKey = s.ID(), key.Public()
	content, err := wire.Marshal(uploadTBS{u})
	if err != nil {
		return fmt.Errorf("sign an upload: %w", err)
	}
	u.Signature, err = s.SignWithLabel(key, uploadLabel, content)
	return err
}

// Verify checks the signature. Whose key that is, it does not say. It fails with
// [ErrUploadSignature].
func (u *KeyMaterialUpload) Verify() error {
	s, err := suite.Lookup(u.Suite)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUploadSignature, err)
	}
	content, err := wire.Marshal(uploadTBS{u})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUpload, err)
	}
	if err := s.VerifyWithLabel(u.UploadKey, uploadLabel, content, u.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrUploadSignature, err)
	}
	return nil
}

// NewUpload makes an upload of rows that [NewSet] has made; they are all of one
// token. It is not signed, and not paid, yet.
func NewUpload(token identity.ConnectionToken, slots []uint32, rows []Row) (*KeyMaterialUpload, error) {
	u := &KeyMaterialUpload{Token: HashToken(token), Slots: slots}
	for _, row := range rows {
		k := UploadedKeyPackage{Set: row.Set, Slot: row.Slot}
		if err := wire.Unmarshal(row.KeyPackage, &k.KeyPackage); err != nil {
			return nil, fmt.Errorf("upload a KeyPackage: %w", err)
		}
		u.KeyPackages = append(u.KeyPackages, k)
	}
	return u, nil
}
