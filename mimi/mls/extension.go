package mls

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrDuplicateExtension reports a list with two extensions of one type (RFC
// 9420, section 13.4).
var ErrDuplicateExtension = errors.New("mls: two extensions of the same type")

// An Extension carries data of a type that need not be known (RFC 9420, section
// 7.2).
//
//	struct {
//	    ExtensionType extension_type;
//	    opaque extension_data<V>;
//	} Extension;
type Extension struct {
	Type ExtensionType
	Data []byte
}

// Wire codes the structure.
func (e *Extension) Wire(c *wire.Codec) {
	wire.Uint16(c, &e.Type)
	wire.Opaque(c, &e.Data)
}

// Extensions is an extension list: at most one of each type.
type Extensions []Extension

// code codes the list and refuses duplicates in both directions.
func (l *Extensions) code(c *wire.Codec) {
	wire.Vector(c, (*[]Extension)(l), wire.Struct)
	// RFC 9420, section 13.4: 5
	if t, ok := l.duplicate(); ok {
		c.Fail(fmt.Errorf("%w: 0x%04x", ErrDuplicateExtension, uint16(t)))
	}
}

// duplicate returns a type that l has twice. Lists are short in practice, but a
// peer may send a long one.
func (l Extensions) duplicate() (ExtensionType, bool) {
	if len(l) < 2 {
		return 0, false
	}
	types := make([]ExtensionType, len(l))
	for i := range l {
		types[i] = l[i].Type
	}
	slices.Sort(types)
	for i := 1; i < len(types); i++ {
		if types[i-1] == types[i] {
			return types[i], true
		}
	}
	return 0, false
}

// Find returns the data of the extension of type t.
func (l Extensions) Find(t ExtensionType) (data []byte, ok bool) {
	for i := range l {
		if l[i].Type == t {
			return l[i].Data, true
		}
	}
	return nil, false
}

// With returns a copy of l in which the extension of type t has this data. A new
// type is put at the end.
func (l Extensions) With(t ExtensionType, data []byte) Extensions {
	out := slices.Clone(l)
	for i := range out {
		if out[i].Type == t {
			out[i].Data = data
			return out
		}
	}
	return append(out, Extension{Type: t, Data: data})
}

// Without returns a copy of l that has no extension of type t.
func (l Extensions) Without(t ExtensionType) Extensions {
	return slices.DeleteFunc(slices.Clone(l), func(e Extension) bool { return e.Type == t })
}

// decodeExtension decodes the extension of type t into m, if there is one.
//
// RFC 9420, sections 10: 7; 12.4.3: 1; 13.4: 4
func decodeExtension(l Extensions, t ExtensionType, m wire.Message) (ok bool, err error) {
	data, ok := l.Find(t)
	if !ok {
		return false, nil
	}
	if err := wire.Unmarshal(data, m); err != nil {
		return true, fmt.Errorf("extension 0x%04x: %w", uint16(t), err)
	}
	return true, nil
}

// RequiredCapabilities is the extension of RFC 9420, section 11.1.
//
//	struct {
//	    ExtensionType extension_types<V>;
//	    ProposalType proposal_types<V>;
//	    CredentialType credential_types<V>;
//	} RequiredCapabilities;
type RequiredCapabilities struct {
	Extensions  []ExtensionType
	Proposals   []ProposalType
	Credentials []CredentialType
}

// Wire codes the structure.
func (r *RequiredCapabilities) Wire(c *wire.Codec) {
	wire.Vector(c, &r.Extensions, wire.Uint16)
	wire.Vector(c, &r.Proposals, wire.Uint16)
	wire.Vector(c, &r.Credentials, wire.Uint16)
}

// Extension returns r as an extension.
func (r *RequiredCapabilities) Extension() (Extension, error) {
	data, err := wire.Marshal(r)
	return Extension{ExtensionRequiredCapabilities, data}, err
}

// RequiredCapabilities returns the extension of that type; without one nothing
// is required.
func (l Extensions) RequiredCapabilities() (RequiredCapabilities, error) {
	var r RequiredCapabilities
	_, err := decodeExtension(l, ExtensionRequiredCapabilities, &r)
	return r, err
}

// An ExternalSender may send proposals without being a member (RFC 9420, section
// 12.1.8.1).
//
//	struct {
//	    SignaturePublicKey signature_key;
//	    Credential credential;
//	} ExternalSender;
type ExternalSender struct {
	SignatureKey []byte
	Credential   Credential
}

// Wire codes the structure.
func (s *ExternalSender) Wire(c *wire.Codec) {
	wire.Opaque(c, &s.SignatureKey)
	s.Credential.Wire(c)
}

type externalSenders []ExternalSender

func (l *externalSenders) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]ExternalSender)(l), wire.Struct)
}

// ExternalSendersExtension makes the external_senders extension.
func ExternalSendersExtension(senders ...ExternalSender) (Extension, error) {
	l := externalSenders(senders)
	data, err := wire.Marshal(&l)
	return Extension{ExtensionExternalSenders, data}, err
}

// ExternalSenders returns the senders listed in the external_senders extension.
func (l Extensions) ExternalSenders() ([]ExternalSender, error) {
	var s externalSenders
	_, err := decodeExtension(l, ExtensionExternalSenders, &s)
	return s, err
}

// ExternalPub returns the key of the external_pub extension (RFC 9420, section
// 12.4.3.2), or nil if there is none.
func (l Extensions) ExternalPub() ([]byte, error) {
	var pub opaque
	_, err := decodeExtension(l, ExtensionExternalPub, &pub)
	return pub, err
}

// RatchetTree returns the tree of the ratchet_tree extension (RFC 9420, section
// 12.4.3.3), or nil if there is none: that never means an empty tree.
func (l Extensions) RatchetTree() (*RatchetTree, error) {
	var t RatchetTree
	ok, err := decodeExtension(l, ExtensionRatchetTree, &t)
	if !ok || err != nil {
		return nil, err
	}
	return &t, nil
}
