package protocol

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// DraftRatchetTreeOptions is the document that defines [RatchetTreeOption] and
// [mls.PartialGroupInfo], in the revision that was current when
// draft-ietf-mimi-protocol-06 referred to it.
const DraftRatchetTreeOptions = "draft-mahy-mls-ratchet-tree-options-03"

// A RatchetTreeRepresentation says where a tree is to be found
// (draft-mahy-mls-ratchet-tree-options-03, section 3).
//
//	enum {
//	    reserved(0), full(1), httpsUri(2), outOfBand(3), distributionService(4), (255)
//	} RatchetTreeRepresentation;
type RatchetTreeRepresentation uint8

// The representations.
const (
	// TreeFull is the tree itself.
	TreeFull RatchetTreeRepresentation = 1
	// TreeHTTPSURI is an address; this project never follows one.
	TreeHTTPSURI RatchetTreeRepresentation = 2
	// TreeOutOfBand leaves it to an agreement that this project does not have.
	TreeOutOfBand RatchetTreeRepresentation = 3
	// TreeDistributionService leaves it to the hub, which computes the tree from
	// the handshakes.
	TreeDistributionService RatchetTreeRepresentation = 4
)

// A RatchetTreeOption is a ratchet tree or a hint where it is
// (draft-mahy-mls-ratchet-tree-options-03, section 3).
//
//	struct {
//	    RatchetTreeRepresentation representation;
//	    select (representation) {
//	        case full:                Node ratchet_tree<V>;   /* optional<Node> in RFC 9420 */
//	        case httpsUri:            opaque ratchet_tree_url<V>; opaque tree_signature<V>;
//	        case outOfBand:           opaque tree_signature<V>;
//	        case distributionService: struct {};
//	    };
//	} RatchetTreeOption;
//
// The draft writes Node where the ratchet_tree extension of RFC 9420, section
// 12.4.3.3, has optional<Node>. A tree with blank nodes has no other form, so the
// extension's is used.
type RatchetTreeOption struct {
	Representation RatchetTreeRepresentation
	// Tree of TreeFull.
	Tree mls.RatchetTree
	// URL of TreeHTTPSURI.
	URL string
	// Signature over the tree, of TreeHTTPSURI and TreeOutOfBand.
	Signature []byte
}

// FullTree is the option that carries the tree itself. It is what this project
// sends wherever a tree is asked for.
func FullTree(tree mls.RatchetTree) RatchetTreeOption {
	return RatchetTreeOption{Representation: TreeFull, Tree: tree}
}

// HubTree is the option that says that the hub has the tree already: for commits,
// whose tree the hub computes itself.
func HubTree() RatchetTreeOption {
	return RatchetTreeOption{Representation: TreeDistributionService}
}

// Wire implements [wire.Message].
func (o *RatchetTreeOption) Wire(c *wire.Codec) {
	enum(c, &o.Representation, TreeFull, TreeDistributionService)
	switch o.Representation {
	case TreeFull:
		o.Tree.Wire(c)
	case TreeHTTPSURI:
		text(c, &o.URL, maxURL)
		wire.Opaque(c, &o.Signature)
	case TreeOutOfBand:
		wire.Opaque(c, &o.Signature)
	}
}

// A GroupInfoRepresentation says how much of a GroupInfo is sent
// (draft-ietf-mimi-protocol-06, section 5.3).
//
//	enum { reserved(0), full(1), partial(2), (255) } GroupInfoRepresentation;
type GroupInfoRepresentation uint8

// The representations.
const (
	GroupInfoFull    GroupInfoRepresentation = 1
	GroupInfoPartial GroupInfoRepresentation = 2
)

// A GroupInfoOption is a GroupInfo, or what a hub can not work out by itself.
// Exactly one field is set.
//
//	struct {
//	    GroupInfoRepresentation representation;
//	    select (representation) {
//	        case full:    GroupInfo groupInfo;
//	        case partial: PartialGroupInfo partialGroupInfo;
//	    };
//	} GroupInfoOption;
type GroupInfoOption struct {
	Full    *mls.GroupInfo
	Partial *mls.PartialGroupInfo
}

// Wire implements [wire.Message].
func (o *GroupInfoOption) Wire(c *wire.Codec) {
	representation := GroupInfoFull
	if o.Partial != nil {
		representation = GroupInfoPartial
	}
	enum(c, &representation, GroupInfoFull, GroupInfoPartial)
	if c.Decoding() && representation == GroupInfoFull {
		o.Full = new(mls.GroupInfo)
	} else if c.Decoding() {
		o.Partial = new(mls.PartialGroupInfo)
	}
	switch {
	case (o.Full == nil) == (o.Partial == nil):
		c.Fail(fmt.Errorf("%w: want either a full or a partial GroupInfo", ErrMalformed))
	case o.Full != nil:
		treelessGroupInfo(c, o.Full)
	default:
		o.Partial.Wire(c)
	}
}

// treelessGroupInfo codes a GroupInfo that must not have the tree in it
// (draft-ietf-mimi-protocol-06, section 5.3).
func treelessGroupInfo(c *wire.Codec, g *mls.GroupInfo) {
	g.Wire(c)
	if _, there := g.Extensions.Find(mls.ExtensionRatchetTree); there {
		c.Fail(fmt.Errorf("%w: a GroupInfo with an embedded ratchet_tree", ErrMalformed))
	}
}
