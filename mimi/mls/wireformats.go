package mls

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// WireFormats is the content of two extensions: supported_wire_formats of a leaf
// lists what its client supports, required_wire_formats of a GroupContext what
// every member has to support (draft-ietf-mls-extensions-09, section
// "Negotiating Extensions and Components"). The wire formats of RFC 9420 are
// never listed: everyone has them.
//
//	struct {
//	    WireFormat wire_formats<V>;
//	} WireFormats;
type WireFormats []WireFormat

// Wire codes the structure.
func (l *WireFormats) Wire(c *wire.Codec) { wire.Vector(c, (*[]WireFormat)(l), wire.Uint16) }

// Extension returns l as an extension of type t, which is
// [ExtensionSupportedWireFormats] or [ExtensionRequiredWireFormats].
func (l WireFormats) Extension(t ExtensionType) (Extension, error) {
	data, err := wire.Marshal(&l)
	return Extension{t, data}, err
}

// WireFormats returns the list that the extension of type t holds; without one it
// is empty.
func (l Extensions) WireFormats(t ExtensionType) (WireFormats, error) {
	var f WireFormats
	_, err := decodeExtension(l, t, &f)
	return f, err
}

// defaultWireFormats are those of RFC 9420.
var defaultWireFormats = WireFormats{
	WireFormatPublicMessage, WireFormatPrivateMessage, WireFormatWelcome, WireFormatGroupInfo, WireFormatKeyPackage,
}

// checkWireFormatsSent checks extensions of a leaf or GroupContext that is made
// here: where says which extension belongs there, and it lists no default wire
// format.
func (l Extensions) checkWireFormatsSent(where ExtensionType) error {
	for _, t := range []ExtensionType{ExtensionSupportedWireFormats, ExtensionRequiredWireFormats} {
		formats, err := l.WireFormats(t)
		if err != nil {
			return err
		}
		if _, there := l.Find(t); there && t != where {
			return fmt.Errorf("%w: extension 0x%04x does not belong here", ErrWireFormats, uint16(t))
		}
		for _, f := range formats {
			if slices.Contains(defaultWireFormats, f) {
				return fmt.Errorf("%w: default wire format 0x%04x is listed", ErrWireFormats, uint16(f))
			}
		}
	}
	return nil
}
