package mls

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// An authenticatedContent is a message without its protection (RFC 9420, section
// 6).
//
//	struct {
//	    WireFormat wire_format;
//	    FramedContent content;
//	    FramedContentAuthData auth;
//	} AuthenticatedContent;
type authenticatedContent struct {
	format  WireFormat
	content FramedContent
	auth    FramedContentAuthData

	// signed is the SignContent, once somebody has asked: it has FramedContentTBS at
	// its end, and that has the content from 4 to end.
	signed   []byte
	tbs, end int
}

// Wire codes the structure.
func (a *authenticatedContent) Wire(c *wire.Codec) {
	wire.Uint16(c, &a.format)
	a.content.Wire(c)
	a.auth.code(c, a.content.ContentType)
}

// sealTBS puts together what the signature covers (RFC 9420, section 6.1), after
// which the content must not change. The encoded GroupContext is part of it for
// members and external Commits.
//
//	struct {
//	    ProtocolVersion version = mls10;
//	    WireFormat wire_format;
//	    FramedContent content;
//	    select (FramedContentTBS.content.sender.sender_type) {
//	        case member, new_member_commit: GroupContext context;
//	        case external, new_member_proposal: struct{};
//	    };
//	} FramedContentTBS;
func (a *authenticatedContent) sealTBS(groupContext []byte) error {
	if a.signed != nil {
		return nil
	}
	content, err := a.content.received.bytes(&a.content)
	if err != nil {
		return err
	}
	switch a.content.Sender.Type {
	case SenderMember, SenderNewMemberCommit:
	case SenderExternal, SenderNewMemberProposal:
		groupContext = nil
	}
	b, err := suite.StartSignContent("FramedContentTBS", 4+len(content)+len(groupContext))
	if err != nil {
		return err
	}
	a.tbs, a.end = len(b), len(b)+4+len(content)
	b = binary.BigEndian.AppendUint16(b, uint16(MLS10))
	b = binary.BigEndian.AppendUint16(b, uint16(a.format))
	a.signed = append(append(b, content...), groupContext...)
	return nil
}

// formatted returns wire_format and content, with which starts what transcript and
// reference cover.
func (a *authenticatedContent) formatted() ([]byte, error) {
	if a.signed != nil {
		return a.signed[a.tbs+2 : a.end], nil
	}
	content, err := a.content.received.bytes(&a.content)
	return append(binary.BigEndian.AppendUint16(nil, uint16(a.format)), content...), err
}

func (a *authenticatedContent) sign(s *suite.Suite, key suite.SignatureKey, groupContext []byte) error {
	if err := a.sealTBS(groupContext); err != nil {
		return err
	}
	var err error
	// RFC 9420, section 6.1: 1
	a.auth.Signature, err = s.SignContent(key, a.signed)
	return err
}

// verify checks the signature, and fails with [ErrSignature].
func (a *authenticatedContent) verify(s *suite.Suite, public, groupContext []byte) error {
	if err := a.sealTBS(groupContext); err != nil {
		return err
	}
	// RFC 9420, section 6.1: 5
	if err := s.VerifyContent(public, a.signed, a.auth.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// tbm is what the membership tag covers, in parts (RFC 9420, section 6.2).
//
//	struct {
//	    FramedContentTBS content_tbs;
//	    FramedContentAuthData auth;
//	} AuthenticatedContentTBM;
func (a *authenticatedContent) tbm(groupContext []byte) ([][]byte, error) {
	if err := a.sealTBS(groupContext); err != nil {
		return nil, err
	}
	auth, err := wire.Marshal(&authData{&a.auth, a.content.ContentType})
	return [][]byte{a.signed[a.tbs:], auth}, err
}

// authData is a FramedContentAuthData as a message of its own.
type authData struct {
	*FramedContentAuthData
	kind ContentType
}

// Wire codes the structure.
func (a *authData) Wire(c *wire.Codec) { a.code(c, a.kind) }

// ref is the ProposalRef of a proposal (RFC 9420, section 5.2).
func (a *authenticatedContent) ref(s *suite.Suite) (ProposalRef, error) {
	content, err := a.formatted()
	if err != nil {
		return nil, err
	}
	auth, err := wire.Marshal(&authData{&a.auth, a.content.ContentType})
	if err != nil {
		return nil, err
	}
	b := slices.Concat(content, auth)
	return s.RefHash("MLS 1.0 Proposal Reference", b), nil
}

// confirmedInput is the part of a Commit that the confirmed transcript hash
// covers (RFC 9420, section 8.2).
//
//	struct {
//	    WireFormat wire_format;
//	    FramedContent content; /* with content_type == commit */
//	    opaque signature<V>;
//	} ConfirmedTranscriptHashInput;
func (a *authenticatedContent) confirmedInput() ([][]byte, error) {
	content, err := a.formatted()
	if err != nil {
		return nil, err
	}
	signature, err := wire.Marshal((*opaque)(&a.auth.Signature))
	return [][]byte{content, signature}, err
}

// public returns the PublicMessage of a signed content. The membership tag is
// only there for members (RFC 9420, section 6.2).
func (a *authenticatedContent) public(s *suite.Suite, membershipKey suite.Secret, groupContext []byte) (*PublicMessage, error) {
	// RFC 9420, section 6: 1
	if a.content.ContentType == ContentApplication {
		return nil, fmt.Errorf("%w: application data is always encrypted", ErrWireFormat)
	}
	m := &PublicMessage{Content: a.content, Auth: a.auth}
	// RFC 9420, section 6.2: 1
	if a.content.Sender.Type == SenderMember {
		tbm, err := a.tbm(groupContext)
		if err != nil {
			return nil, err
		}
		m.MembershipTag = s.MAC(membershipKey, tbm...)
	}
	return m, nil
}

// fromPublic returns the content of a PublicMessage. Nothing is verified.
func fromPublic(m *PublicMessage) (*authenticatedContent, error) {
	// RFC 9420, section 6: 1
	if m.Content.ContentType == ContentApplication {
		return nil, fmt.Errorf("%w: application data in a PublicMessage", ErrWireFormat)
	}
	return &authenticatedContent{format: WireFormatPublicMessage, content: m.Content, auth: m.Auth}, nil
}

// verifyMembership checks the membership tag of a member's PublicMessage.
func (a *authenticatedContent) verifyMembership(s *suite.Suite, tag []byte, membershipKey suite.Secret, groupContext []byte) error {
	tbm, err := a.tbm(groupContext)
	if err != nil {
		return err
	}
	// RFC 9420, sections 6.2: 2; 12.4.2: 2
	if !s.VerifyMAC(membershipKey, tag, tbm...) {
		return ErrMembershipTag
	}
	return nil
}
