// Package schedule is the MLS key schedule (RFC 9420, section 8).
package schedule

import (
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Secrets are the secrets of one epoch. The joiner, member and epoch secrets
// are consumed when they are derived, and appear nowhere. Encryption and
// AppExport are moved out by whoever grows a secret tree from them.
type Secrets struct {
	SenderData    suite.Secret
	Encryption    suite.Secret
	Exporter      suite.Secret
	External      suite.Secret
	Confirmation  suite.Secret
	Membership    suite.Secret
	Resumption    suite.Secret
	Authenticator suite.Secret
	Init          suite.Secret
	AppExport     suite.Secret // draft-ietf-mls-extensions-09, section "Exported Secrets"
}

// Wire codes the secrets that live as long as the epoch, for storing them.
func (e *Secrets) Wire(c *wire.Codec) {
	for _, s := range []*suite.Secret{
		&e.SenderData, &e.Exporter, &e.External, &e.Confirmation, &e.Membership, &e.Resumption, &e.Authenticator, &e.Init,
	} {
		s.Wire(c)
	}
}

// Joiner derives joiner_secret from the init secret of the previous epoch, the
// commit secret (absent without path) and the encoded GroupContext.
func Joiner(s *suite.Suite, initSecret, commitSecret suite.Secret, groupContext []byte) suite.Secret {
	prk := s.Extract(initSecret, commitSecret)
	defer prk.Erase()
	return s.ExpandWithLabel(prk, "joiner", groupContext, s.Nh())
}

// Welcome derives the key and nonce of the GroupInfo in a Welcome (RFC 9420,
// section 12.4.3.1). An absent psk is the psk_secret without PSKs.
func Welcome(s *suite.Suite, joiner, psk suite.Secret) (key suite.Secret, nonce []byte) {
	member := s.Extract(joiner, psk)
	defer member.Erase()
	welcome := s.DeriveSecret(member, "welcome")
	defer welcome.Erase()
	return s.ExpandWithLabel(welcome, "key", nil, s.Nk()), s.ExpandWithLabel(welcome, "nonce", nil, s.Nn()).Bytes()
}

// Epoch derives the secrets of the epoch with this encoded GroupContext.
func Epoch(s *suite.Suite, joiner, psk suite.Secret, groupContext []byte) *Secrets {
	member := s.Extract(joiner, psk)
	defer member.Erase()
	epoch := s.ExpandWithLabel(member, "epoch", groupContext, s.Nh())
	defer epoch.Erase()
	return FromEpochSecret(s, epoch)
}

// FromEpochSecret derives the secrets of an epoch, in which a group is created
// from a random epoch secret.
func FromEpochSecret(s *suite.Suite, epoch suite.Secret) *Secrets {
	return &Secrets{
		SenderData:    s.DeriveSecret(epoch, "sender data"),
		Encryption:    s.DeriveSecret(epoch, "encryption"),
		Exporter:      s.DeriveSecret(epoch, "exporter"),
		External:      s.DeriveSecret(epoch, "external"),
		Confirmation:  s.DeriveSecret(epoch, "confirm"),
		Membership:    s.DeriveSecret(epoch, "membership"),
		Resumption:    s.DeriveSecret(epoch, "resumption"),
		Authenticator: s.DeriveSecret(epoch, "authentication"),
		Init:          s.DeriveSecret(epoch, "init"),
		AppExport:     s.DeriveSecret(epoch, "application_export"),
	}
}

// Export is MLS-Exporter (RFC 9420, section 8.5).
func (e *Secrets) Export(s *suite.Suite, label string, context []byte, n int) suite.Secret {
	derived := s.DeriveSecret(e.Exporter, label)
	defer derived.Erase()
	return s.ExpandWithLabel(derived, "exported", s.Hash(context), n)
}

// A PSK is a pre-shared key with its encoded PreSharedKeyID.
type PSK struct {
	ID     []byte
	Secret suite.Secret
}

// pskLabel is
//
//	struct {
//	    PreSharedKeyID id;
//	    uint16 index;
//	    uint16 count;
//	} PSKLabel;
type pskLabel struct {
	id           []byte
	index, count uint16
}

func (l *pskLabel) Wire(c *wire.Codec) {
	wire.Fixed(c, &l.id, len(l.id))
	wire.Uint16(c, &l.index)
	wire.Uint16(c, &l.count)
}

// PSKSecret derives psk_secret (RFC 9420, section 8.4). It fails for more PSKs
// than 16 bits can count.
func PSKSecret(s *suite.Suite, psks []PSK) (suite.Secret, error) {
	secret := suite.NewSecret(make([]byte, s.Nh()))
	if len(psks) > 0xffff {
		return suite.Secret{}, ErrTooManyPSKs
	}
	for i, p := range psks {
		context, err := wire.Marshal(&pskLabel{p.ID, uint16(i), uint16(len(psks))})
		if err != nil {
			return suite.Secret{}, err
		}
		extracted := s.Extract(suite.Secret{}, p.Secret)
		input := s.ExpandWithLabel(extracted, "derived psk", context, s.Nh())
		next := s.Extract(input, secret)
		extracted.Erase()
		input.Erase()
		secret.Erase()
		secret = next
	}
	return secret, nil
}
