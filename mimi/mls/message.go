package mls

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// An MLSMessage is what goes over the network (RFC 9420, section 6). Exactly
// one field is set.
//
//	struct {
//	    ProtocolVersion version = mls10;
//	    WireFormat wire_format;
//	    select (MLSMessage.wire_format) {
//	        case mls_public_message:  PublicMessage public_message;
//	        case mls_private_message: PrivateMessage private_message;
//	        case mls_welcome:         Welcome welcome;
//	        case mls_group_info:      GroupInfo group_info;
//	        case mls_key_package:     KeyPackage key_package;
//	    };
//	} MLSMessage;
type MLSMessage struct {
	PublicMessage  *PublicMessage
	PrivateMessage *PrivateMessage
	Welcome        *Welcome
	GroupInfo      *GroupInfo
	KeyPackage     *KeyPackage
}

// WireFormat says which field is set, or is 0.
func (m *MLSMessage) WireFormat() WireFormat {
	switch {
	case m.PublicMessage != nil:
		return WireFormatPublicMessage
	case m.PrivateMessage != nil:
		return WireFormatPrivateMessage
	case m.Welcome != nil:
		return WireFormatWelcome
	case m.GroupInfo != nil:
		return WireFormatGroupInfo
	case m.KeyPackage != nil:
		return WireFormatKeyPackage
	}
	return 0
}

// Wire codes the structure. The version of a KeyPackage has to be that of the
// message (RFC 9420, section 10).
func (m *MLSMessage) Wire(c *wire.Codec) {
	wireVersion(c)
	format := m.WireFormat()
	wire.Uint16(c, &format)
	switch format {
	case WireFormatPublicMessage:
		part(c, &m.PublicMessage)
	case WireFormatPrivateMessage:
		part(c, &m.PrivateMessage)
	case WireFormatWelcome:
		part(c, &m.Welcome)
	case WireFormatGroupInfo:
		part(c, &m.GroupInfo)
	case WireFormatKeyPackage:
		part(c, &m.KeyPackage)
		// RFC 9420, section 10: 4
		if m.KeyPackage.Version != MLS10 {
			c.Fail(fmt.Errorf("%w %d of a KeyPackage", ErrVersion, m.KeyPackage.Version))
		}
	default:
		c.Fail(fmt.Errorf("mls: unknown wire format 0x%04x", uint16(format)))
	}
}

// part codes the one part of an MLSMessage.
func part[T any, P interface {
	*T
	wire.Message
}](c *wire.Codec, p *P) {
	if c.Decoding() {
		*p = new(T)
	}
	(*p).Wire(c)
}

// Marshal encodes a message of this package, or one that contains one.
func Marshal(m wire.Message) ([]byte, error) { return wire.Marshal(m) }

// Unmarshal decodes all of b as m.
func Unmarshal(b []byte, m wire.Message) error { return wire.Unmarshal(b, m) }
