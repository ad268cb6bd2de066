package mls_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// formats is an extension of wire formats.
func formats(t *testing.T, typ mls.ExtensionType, l ...mls.WireFormat) mls.Extension {
	t.Helper()
	e, err := mls.WireFormats(l).Extension(typ)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// lists makes a leaf list the two extensions, and support these wire formats.
func lists(t *testing.T, l ...mls.WireFormat) func(*mls.LeafParams) {
	return func(p *mls.LeafParams) {
		p.Capabilities.Extensions = append(p.Capabilities.Extensions, mls.ExtensionSupportedWireFormats, mls.ExtensionRequiredWireFormats)
		p.Extensions = mls.Extensions{formats(t, mls.ExtensionSupportedWireFormats, l...)}
	}
}

// TestWireFormatCodePoints: the numbers of draft-ietf-mls-extensions-09, section
// "MLS Extension Types", and the form of the structure.
func TestWireFormatCodePoints(t *testing.T) {
	for typ, want := range map[mls.ExtensionType]string{
		mls.ExtensionAppDataDictionary: "\x00\x06", mls.ExtensionSupportedWireFormats: "\x00\x07", mls.ExtensionRequiredWireFormats: "\x00\x08",
	} {
		e := formats(t, typ, 0xf001, 6)
		if got, err := mls.Marshal(&e); err != nil || string(got) != want+"\x05\x04\xf0\x01\x00\x06" {
			t.Errorf("%x, %v", got, err)
		}
	}
}

// TestRequiredWireFormats: what the group requires, every leaf supports.
func TestRequiredWireFormats(t *testing.T) {
	o := &offer{
		demand: mls.Extensions{formats(t, mls.ExtensionRequiredWireFormats, 0xf002, 0xf001)},
		able:   lists(t, 0xf001, 0xf0f0, 0xf002),
		unable: []func(*mls.LeafParams){lists(t), lists(t, 0xf001), lists(t, 0xf001, 0xf0f0)},
		want:   mls.ErrUnsupported,
	}
	o.check(t)
	o.unable = []func(*mls.LeafParams){func(p *mls.LeafParams) {
		lists(t, 0xf001, 0xf002)(p)
		p.Capabilities.Extensions = slices.DeleteFunc(p.Capabilities.Extensions, func(e mls.ExtensionType) bool { return e == mls.ExtensionRequiredWireFormats })
	}}
	t.Run("required_wire_formats is not in the capabilities", o.check)
}

// TestDefaultWireFormats: everyone supports those of RFC 9420, whether listed or
// not, and we do not list them, nor the wrong one of the two extensions.
func TestDefaultWireFormats(t *testing.T) {
	w := threeWith(t, lists(t))
	o := &offer{demand: mls.Extensions{formats(t, mls.ExtensionRequiredWireFormats, 1, 2, 3, 4, 5)}}
	if _, err := w.Hub.Stage(t.Context(), o.forgedExtensions(t, w)); err != nil {
		t.Errorf("received: %v", err)
	}
	for name, e := range map[string]mls.Extension{
		"default":   formats(t, mls.ExtensionRequiredWireFormats, 1),
		"of a leaf": formats(t, mls.ExtensionSupportedWireFormats, 0xf001),
	} {
		gce := &mls.GroupContextExtensions{Extensions: mls.Extensions{e}}
		if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{gce}}); !errors.Is(err, mls.ErrWireFormats) {
			t.Errorf("GroupContext, %s: %v", name, err)
		}
	}
	for name, e := range map[string]mls.Extension{
		"default":    formats(t, mls.ExtensionSupportedWireFormats, 0xf001, 5),
		"of a group": formats(t, mls.ExtensionRequiredWireFormats, 0xf001),
	} {
		for how, err := range everyLeaf(t, w, func(p *mls.LeafParams) { p.Extensions = mls.Extensions{e} }) {
			if !errors.Is(err, mls.ErrWireFormats) {
				t.Errorf("leaf, %s, %s: %v", name, how, err)
			}
		}
	}
}

// TestMalformedWireFormats: in a leaf, in a GroupContext and in a proposal.
func TestMalformedWireFormats(t *testing.T) {
	for _, typ := range []mls.ExtensionType{mls.ExtensionSupportedWireFormats, mls.ExtensionRequiredWireFormats} {
		malformed(t, "half a wire format", mls.Extension{Type: typ, Data: []byte{1, 0}}, wire.ErrTruncated)
		malformed(t, "something left over", mls.Extension{Type: typ, Data: []byte{2, 0xf0, 1, 0}}, wire.ErrTrailing)
	}
	bad := func(p *mls.LeafParams) {
		lists(t)(p)
		p.Extensions[0].Data = []byte{1, 0}
	}
	w := mlstest.NewWith(t, mls.X25519, lists(t), "A", "alice/1")
	for how, err := range everyLeaf(t, w, bad) {
		if !errors.Is(err, wire.ErrTruncated) {
			t.Errorf("%s: %v", how, err)
		}
	}
}
