package mls

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/secrettree"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// messageKeys are the secrets of one epoch that protect PrivateMessages.
type messageKeys struct {
	suite      *suite.Suite
	senderData suite.Secret
	tree       *secrettree.Tree
}

// senderData is
//
//	struct {
//	    uint32 leaf_index;
//	    uint32 generation;
//	    opaque reuse_guard[4];
//	} SenderData;
type senderData struct {
	leaf       LeafIndex
	generation uint32
	guard      []byte
}

func (d *senderData) Wire(c *wire.Codec) {
	wire.Uint32(c, &d.leaf)
	wire.Uint32(c, &d.generation)
	// RFC 9420, section 6.3.1: 5
	wire.Fixed(c, &d.guard, 4)
}

// privateAAD is PrivateContentAAD, and without its last field SenderDataAAD (RFC
// 9420, section 6.3).
//
//	struct {
//	    opaque group_id<V>;
//	    uint64 epoch;
//	    ContentType content_type;
//	    opaque authenticated_data<V>;
//	} PrivateContentAAD;
type privateAAD struct {
	m    *PrivateMessage
	full bool
}

func (a *privateAAD) Wire(c *wire.Codec) {
	wire.Opaque(c, &a.m.GroupID)
	wire.Uint64(c, &a.m.Epoch)
	wire.Uint8(c, &a.m.ContentType)
	if a.full {
		wire.Opaque(c, &a.m.AuthenticatedData)
	}
}

// privateContent is PrivateMessageContent without its padding.
//
//	struct {
//	    select (PrivateMessage.content_type) {
//	        case application: opaque application_data<V>;
//	        case proposal:    Proposal proposal;
//	        case commit:      Commit commit;
//	    };
//	    FramedContentAuthData auth;
//	    opaque padding[length_of_padding];
//	} PrivateMessageContent;
type privateContent struct {
	content *FramedContent
	auth    *FramedContentAuthData
	body    []byte // the octets of the content, when decoding
}

func (p *privateContent) Wire(c *wire.Codec) {
	mark := c.Mark()
	p.content.wireContent(c)
	if c.Decoding() {
		p.body = c.Since(mark)
	}
	p.auth.code(c, p.content.ContentType)
}

// kindOf returns the ratchet for a content type (RFC 9420, section 9.1).
func kindOf(t ContentType) secrettree.Kind {
	if t == ContentApplication {
		return secrettree.Application
	}
	return secrettree.Handshake
}

// senderDataKey derives key and nonce from a sample of the ciphertext (RFC 9420,
// section 6.3.2).
func senderDataKey(s *suite.Suite, secret suite.Secret, ciphertext []byte) (suite.Secret, []byte) {
	sample := ciphertext[:min(len(ciphertext), s.Nh())]
	return s.ExpandWithLabel(secret, "key", sample, s.Nk()), s.ExpandWithLabel(secret, "nonce", sample, s.Nn()).Bytes()
}

// guarded applies the reuse guard to a nonce (RFC 9420, section 6.3.1).
func guarded(nonce suite.Secret, guard []byte) []byte {
	n := bytes.Clone(nonce.Bytes())
	for i, g := range guard {
		n[i] ^= g
	}
	return n
}

// protect encrypts a signed content, padded to a multiple of pad octets. The
// message key is consumed.
func (k *messageKeys) protect(random io.Reader, a *authenticatedContent, pad int) (*PrivateMessage, error) {
	// RFC 9420, section 6.3.2: 1
	if a.content.Sender.Type != SenderMember {
		return nil, fmt.Errorf("%w: only members encrypt", ErrSender)
	}
	m := &PrivateMessage{
		GroupID: a.content.GroupID, Epoch: a.content.Epoch,
		ContentType: a.content.ContentType, AuthenticatedData: a.content.AuthenticatedData,
	}
	plaintext, err := wire.Marshal(&privateContent{content: &a.content, auth: &a.auth})
	if err != nil {
		return nil, err
	}
	if pad > 1 {
		// RFC 9420, section 6.3.1: 1
		plaintext = append(plaintext, make([]byte, (pad-len(plaintext)%pad)%pad)...)
	}
	aad, err := wire.Marshal(&privateAAD{m, true})
	if err != nil {
		return nil, err
	}
	data := senderData{leaf: a.content.Sender.Index, guard: make([]byte, 4)}
	// RFC 9420, section 6.3.1: 4
	if _, err := io.ReadFull(random, data.guard); err != nil {
		return nil, fmt.Errorf("randomness for a reuse guard: %w", err)
	}
	key, err := k.tree.Next(uint32(data.leaf), kindOf(m.ContentType))
	if err != nil {
		return nil, fmt.Errorf("key for sending: %w", err)
	}
	data.generation = key.Generation
	m.Ciphertext, err = k.suite.Seal(key.Key, guarded(key.Nonce, data.guard), aad, plaintext)
	// RFC 9420, section 6.3.1: 3
	key.Consume()
	if err != nil {
		return nil, err
	}
	if m.EncryptedSenderData, err = k.sealSenderData(m, &data); err != nil {
		return nil, err
	}
	return m, nil
}

func (k *messageKeys) sealSenderData(m *PrivateMessage, d *senderData) ([]byte, error) {
	aad, err := wire.Marshal(&privateAAD{m, false})
	if err != nil {
		return nil, err
	}
	plaintext, err := wire.Marshal(d)
	if err != nil {
		return nil, err
	}
	key, nonce := senderDataKey(k.suite, k.senderData, m.Ciphertext)
	defer key.Erase()
	return k.suite.Seal(key, nonce, aad, plaintext)
}

// openSenderData decrypts who sent a message.
func (k *messageKeys) openSenderData(m *PrivateMessage) (*senderData, error) {
	aad, err := wire.Marshal(&privateAAD{m, false})
	if err != nil {
		return nil, err
	}
	key, nonce := senderDataKey(k.suite, k.senderData, m.Ciphertext)
	defer key.Erase()
	plaintext, err := k.suite.Open(key, nonce, aad, m.EncryptedSenderData)
	if err != nil {
		return nil, fmt.Errorf("%w: sender data", ErrDecrypt)
	}
	d := new(senderData)
	if err := wire.Unmarshal(plaintext, d); err != nil {
		return nil, fmt.Errorf("sender data: %w", err)
	}
	return d, nil
}

// open decrypts the content of a message whose sender data is open. The key is
// consumed by the caller, after the signature is verified and everything the
// message asks for is possible.
func (k *messageKeys) open(m *PrivateMessage, d *senderData) (*authenticatedContent, *secrettree.Key, error) {
	aad, err := wire.Marshal(&privateAAD{m, true})
	if err != nil {
		return nil, nil, err
	}
	key, err := k.tree.Get(uint32(d.leaf), kindOf(m.ContentType), d.generation)
	switch {
	case errors.Is(err, secrettree.ErrConsumed):
		return nil, nil, fmt.Errorf("%w: leaf %d, generation %d", ErrReplay, d.leaf, d.generation)
	case errors.Is(err, secrettree.ErrTooFar):
		return nil, nil, fmt.Errorf("%w: leaf %d, generation %d", ErrTooFar, d.leaf, d.generation)
	case err != nil:
		return nil, nil, err
	}
	plaintext, err := k.suite.Open(key.Key, guarded(key.Nonce, d.guard), aad, m.Ciphertext)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: leaf %d, generation %d", ErrDecrypt, d.leaf, d.generation)
	}
	a := &authenticatedContent{format: WireFormatPrivateMessage, content: FramedContent{
		GroupID: m.GroupID, Epoch: m.Epoch, Sender: Sender{SenderMember, d.leaf},
		AuthenticatedData: m.AuthenticatedData, ContentType: m.ContentType,
	}}
	p := privateContent{content: &a.content, auth: &a.auth}
	padding, err := wire.UnmarshalPrefix(plaintext, &p)
	if err != nil {
		return nil, nil, fmt.Errorf("decrypted content: %w", err)
	}
	for _, b := range padding {
		// RFC 9420, section 6.3.1: 2
		if b != 0 {
			return nil, nil, ErrPadding
		}
	}
	if err := a.content.keepPrivate(p.body); err != nil {
		return nil, nil, err
	}
	return a, key, nil
}

// keepPrivate records the encoding of a content that came encrypted: its header,
// and its body as it was received.
func (f *FramedContent) keepPrivate(body []byte) error {
	header, err := wire.Marshal((*contentHeader)(f))
	if err != nil {
		return err
	}
	f.received = append(header, body...)
	return nil
}

// contentHeader is a FramedContent up to its content type.
type contentHeader FramedContent

// Wire codes the structure.
func (h *contentHeader) Wire(c *wire.Codec) {
	wire.Opaque(c, &h.GroupID)
	wire.Uint64(c, &h.Epoch)
	h.Sender.Wire(c)
	wire.Opaque(c, &h.AuthenticatedData)
	wire.Uint8(c, &h.ContentType)
}
