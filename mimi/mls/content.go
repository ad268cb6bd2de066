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

	encoded []byte // the content, once somebody has asked
}

// contentBytes returns the octets of the content, which does not change any more:
// signature, tags, transcript and reference all cover them.
func (a *authenticatedContent) contentBytes() ([]byte, error) {
	var err error
	if a.encoded == nil {
		a.encoded, err = a.content.received.bytes(&a.content)
	}
	return a.encoded, err
}

// Wire codes the structure.
func (a *authenticatedContent) Wire(c *wire.Codec) {
	wire.Uint16(c, &a.format)
	a.content.Wire(c)
	a.auth.code(c, a.content.ContentType)
}

// tbs is what the signature covers (RFC 9420, section 6.1). The encoded
// GroupContext is part of it for members and external Commits.
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
func (a *authenticatedContent) tbs(groupContext []byte) ([]byte, error) {
	content, err := a.contentBytes()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 4+len(content)+len(groupContext))
	b = binary.BigEndian.AppendUint16(b, uint16(MLS10))
	b = binary.BigEndian.AppendUint16(b, uint16(a.format))
	b = append(b, content...)
	switch a.content.Sender.Type {
	case SenderMember, SenderNewMemberCommit:
		b = append(b, groupContext...)
	case SenderExternal, SenderNewMemberProposal:
	}
	return b, nil
}

func (a *authenticatedContent) sign(s *suite.Suite, key suite.SignatureKey, groupContext []byte) error {
	tbs, err := a.tbs(groupContext)
	if err != nil {
		return err
	}
	// RFC 9420, section 6.1: 1
	a.auth.Signature, err = s.SignWithLabel(key, "FramedContentTBS", tbs)
	return err
}

// verify checks the signature, and fails with [ErrSignature].
func (a *authenticatedContent) verify(s *suite.Suite, public, groupContext []byte) error {
	tbs, err := a.tbs(groupContext)
	if err != nil {
		return err
	}
	// RFC 9420, section 6.1: 5
	if err := s.VerifyWithLabel(public, "FramedContentTBS", tbs, a.auth.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// tbm is what the membership tag covers (RFC 9420, section 6.2).
//
//	struct {
//	    FramedContentTBS content_tbs;
//	    FramedContentAuthData auth;
//	} AuthenticatedContentTBM;
func (a *authenticatedContent) tbm(groupContext []byte) ([]byte, error) {
	tbs, err := a.tbs(groupContext)
	if err != nil {
		return nil, err
	}
	auth, err := wire.Marshal(&authData{&a.auth, a.content.ContentType})
	return append(tbs, auth...), err
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
	content, err := a.contentBytes()
	if err != nil {
		return nil, err
	}
	auth, err := wire.Marshal(&authData{&a.auth, a.content.ContentType})
	if err != nil {
		return nil, err
	}
	b := slices.Concat(binary.BigEndian.AppendUint16(nil, uint16(a.format)), content, auth)
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
func (a *authenticatedContent) confirmedInput() ([]byte, error) {
	content, err := a.contentBytes()
	if err != nil {
		return nil, err
	}
	signature, err := wire.Marshal((*opaque)(&a.auth.Signature))
	if err != nil {
		return nil, err
	}
	return slices.Concat(binary.BigEndian.AppendUint16(nil, uint16(a.format)), content, signature), nil
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
		m.MembershipTag = s.MAC(membershipKey, tbm)
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
	if !s.VerifyMAC(membershipKey, tbm, tag) {
		return ErrMembershipTag
	}
	return nil
}
