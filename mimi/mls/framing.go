package mls

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Sender says who sent a message (RFC 9420, section 6).
//
//	struct {
//	    SenderType sender_type;
//	    select (Sender.sender_type) {
//	        case member:              uint32 leaf_index;
//	        case external:            uint32 sender_index;
//	        case new_member_commit:
//	        case new_member_proposal: struct{};
//	    };
//	} Sender;
type Sender struct {
	Type  SenderType
	Index LeafIndex // a leaf of a member, a position in external_senders
}

// Wire codes the structure.
func (s *Sender) Wire(c *wire.Codec) {
	wire.Uint8(c, &s.Type)
	switch s.Type {
	case SenderMember, SenderExternal:
		wire.Uint32(c, &s.Index)
	case SenderNewMemberCommit, SenderNewMemberProposal:
	default:
		c.Fail(fmt.Errorf("mls: unknown sender type %d", s.Type))
	}
}

// A FramedContent is a message with its place in a group (RFC 9420, section 6).
//
//	struct {
//	    opaque group_id<V>;
//	    uint64 epoch;
//	    Sender sender;
//	    opaque authenticated_data<V>;
//	    ContentType content_type;
//	    select (FramedContent.content_type) {
//	        case application: opaque application_data<V>;
//	        case proposal:    Proposal proposal;
//	        case commit:      Commit commit;
//	    };
//	} FramedContent;
type FramedContent struct {
	GroupID           []byte
	Epoch             uint64
	Sender            Sender
	AuthenticatedData []byte
	ContentType       ContentType
	ApplicationData   []byte
	Proposal          *Proposal
	Commit            *Commit

	received received
}

// Wire codes the structure.
func (f *FramedContent) Wire(c *wire.Codec) {
	mark := c.Mark()
	wire.Opaque(c, &f.GroupID)
	wire.Uint64(c, &f.Epoch)
	f.Sender.Wire(c)
	wire.Opaque(c, &f.AuthenticatedData)
	wire.Uint8(c, &f.ContentType)
	f.wireContent(c)
	f.received.keep(c, mark)
}

// wireContent codes the part that the content type selects.
func (f *FramedContent) wireContent(c *wire.Codec) {
	switch f.ContentType {
	case ContentApplication:
		wire.Opaque(c, &f.ApplicationData)
	case ContentProposal:
		if c.Decoding() {
			f.Proposal = new(Proposal)
		}
		if f.Proposal == nil {
			c.Fail(fmt.Errorf("mls: proposal message without proposal"))
			return
		}
		f.Proposal.Wire(c)
	case ContentCommit:
		if c.Decoding() {
			f.Commit = new(Commit)
		}
		if f.Commit == nil {
			c.Fail(fmt.Errorf("mls: commit message without commit"))
			return
		}
		f.Commit.Wire(c)
	default:
		c.Fail(fmt.Errorf("mls: unknown content type %d", f.ContentType))
	}
}

// FramedContentAuthData authenticates a [FramedContent] (RFC 9420, section 6.1).
//
//	struct {
//	    /* SignWithLabel(., "FramedContentTBS", FramedContentTBS) */
//	    opaque signature<V>;
//	    select (FramedContent.content_type) {
//	        case commit: MAC confirmation_tag;
//	        case application:
//	        case proposal: struct{};
//	    };
//	} FramedContentAuthData;
type FramedContentAuthData struct {
	Signature       []byte
	ConfirmationTag []byte // Commits only
}

// code codes the structure of a message with this content type.
func (a *FramedContentAuthData) code(c *wire.Codec, t ContentType) {
	wire.Opaque(c, &a.Signature)
	if t == ContentCommit {
		wire.Opaque(c, &a.ConfirmationTag)
	}
}

// A PublicMessage is a message that is signed and not encrypted (RFC 9420,
// section 6.2).
//
//	struct {
//	    FramedContent content;
//	    FramedContentAuthData auth;
//	    select (PublicMessage.content.sender.sender_type) {
//	        case member: MAC membership_tag;
//	        case external:
//	        case new_member_commit:
//	        case new_member_proposal: struct{};
//	    };
//	} PublicMessage;
type PublicMessage struct {
	Content       FramedContent
	Auth          FramedContentAuthData
	MembershipTag []byte // members only
}

// Wire codes the structure.
func (m *PublicMessage) Wire(c *wire.Codec) {
	m.Content.Wire(c)
	m.Auth.code(c, m.Content.ContentType)
	if m.Content.Sender.Type == SenderMember {
		wire.Opaque(c, &m.MembershipTag)
	}
}

// A PrivateMessage is a message that is signed and encrypted (RFC 9420, section
// 6.3).
//
//	struct {
//	    opaque group_id<V>;
//	    uint64 epoch;
//	    ContentType content_type;
//	    opaque authenticated_data<V>;
//	    opaque encrypted_sender_data<V>;
//	    opaque ciphertext<V>;
//	} PrivateMessage;
type PrivateMessage struct {
	GroupID             []byte
	Epoch               uint64
	ContentType         ContentType
	AuthenticatedData   []byte
	EncryptedSenderData []byte
	Ciphertext          []byte
}

// Wire codes the structure.
func (m *PrivateMessage) Wire(c *wire.Codec) {
	wire.Opaque(c, &m.GroupID)
	wire.Uint64(c, &m.Epoch)
	wire.Uint8(c, &m.ContentType)
	if m.ContentType < ContentApplication || m.ContentType > ContentCommit {
		c.Fail(fmt.Errorf("mls: unknown content type %d", m.ContentType))
	}
	wire.Opaque(c, &m.AuthenticatedData)
	wire.Opaque(c, &m.EncryptedSenderData)
	wire.Opaque(c, &m.Ciphertext)
}
