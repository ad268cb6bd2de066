package mls

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrPartialGroupInfo reports a [PartialGroupInfo] that speaks of another
// GroupInfo than there was before, or that cannot be made or coded.
var ErrPartialGroupInfo = errors.New("mls: PartialGroupInfo does not fit")

// RatchetTreePresence says whether the GroupInfos of an epoch and of the one
// before have the ratchet_tree extension (draft-mahy-mls-ratchet-tree-options-03,
// section "Conveying the GroupInfo").
//
//	enum {
//	    no_ratchet_tree(0), present(1), removed(2), added(3), (255)
//	} RatchetTreePresence;
type RatchetTreePresence uint8

// The presences: in neither, in both, only in the one before, only in the new
// one.
const (
	RatchetTreeNever   RatchetTreePresence = 0
	RatchetTreePresent RatchetTreePresence = 1
	RatchetTreeRemoved RatchetTreePresence = 2
	RatchetTreeAdded   RatchetTreePresence = 3
)

// presence is the one for these two GroupInfos.
func presence(before, now bool) RatchetTreePresence {
	switch {
	case before && now:
		return RatchetTreePresent
	case before:
		return RatchetTreeRemoved
	case now:
		return RatchetTreeAdded
	}
	return RatchetTreeNever
}

// A PartialGroupInfo has what nobody but the committer knows of the GroupInfo
// that goes with a commit. Who processes the commits of a group, as a hub does,
// computes the rest (draft-mahy-mls-ratchet-tree-options-03, section "Conveying
// the GroupInfo").
//
//	struct {
//	    RatchetTreePresence ratchet_tree_presence;
//	    /* GroupInfo extensions excluding ratchet_tree */
//	    Extension group_info_extensions<V>;
//	    opaque signature<V>;
//	} PartialGroupInfo;
//
// The signature covers all extensions, and the draft does not say where among
// them the ratchet_tree was. Here it is the last one.
type PartialGroupInfo struct {
	RatchetTree RatchetTreePresence
	Extensions  Extensions // without ratchet_tree
	Signature   []byte     // of the GroupInfo, by the committer
}

// Wire codes the structure. An unknown presence or a ratchet_tree extension fails
// with [ErrPartialGroupInfo].
func (p *PartialGroupInfo) Wire(c *wire.Codec) {
	wire.Uint8(c, &p.RatchetTree)
	if p.RatchetTree > RatchetTreeAdded {
		c.Fail(fmt.Errorf("%w: unknown presence %d", ErrPartialGroupInfo, p.RatchetTree))
	}
	p.Extensions.code(c)
	if _, ok := p.Extensions.Find(ExtensionRatchetTree); ok {
		c.Fail(fmt.Errorf("%w: it has a ratchet_tree", ErrPartialGroupInfo))
	}
	wire.Opaque(c, &p.Signature)
}

// Partial returns what someone who processes the commit needs of its GroupInfo.
// before says whether the GroupInfo of the epoch before had a ratchet_tree. It
// fails with [ErrPartialGroupInfo] if that extension is there and not the last
// one.
func (g *GroupInfo) Partial(before bool) (*PartialGroupInfo, error) {
	extensions, at := g.Extensions, len(g.Extensions)-1
	_, now := extensions.Find(ExtensionRatchetTree)
	if now {
		if extensions[at].Type != ExtensionRatchetTree {
			return nil, fmt.Errorf("%w: the ratchet_tree is not the last extension", ErrPartialGroupInfo)
		}
		extensions = extensions[:at]
	}
	return &PartialGroupInfo{presence(before, now), slices.Clone(extensions), slices.Clone(g.Signature)}, nil
}

// Complete returns the GroupInfo that a PartialGroupInfo stands for: that of the
// epoch to which a staged commit leads, signed by its committer. It is verified as
// Apply would. It fails with [ErrStaged] if the group went on since Stage, with
// [ErrPartialGroupInfo] if the presence does not fit the GroupInfo of this epoch,
// and with [ErrGroupInfo] if the committer has signed another one.
func (p *PublicGroup) Complete(s *Staged, partial *PartialGroupInfo) (*GroupInfo, error) {
	if s.state != p.state {
		return nil, ErrStaged
	}
	if s.commit == nil {
		return nil, fmt.Errorf("%w: it came with a proposal", ErrPartialGroupInfo)
	}
	_, before := p.info.Extensions.Find(ExtensionRatchetTree)
	now := partial.RatchetTree == RatchetTreePresent || partial.RatchetTree == RatchetTreeAdded
	if partial.RatchetTree != presence(before, now) {
		return nil, fmt.Errorf("%w: presence %d, and a ratchet_tree before is %v", ErrPartialGroupInfo, partial.RatchetTree, before)
	}
	next := s.commit.next
	computed := &GroupInfo{
		GroupContext: *View{next}.Context(), Extensions: slices.Clone(partial.Extensions),
		ConfirmationTag: next.confirmationTag, Signer: s.commit.committer, Signature: partial.Signature,
	}
	if now {
		tree, err := wire.Marshal(next.tree)
		if err != nil {
			return nil, err
		}
		computed.Extensions = append(computed.Extensions, Extension{ExtensionRatchetTree, tree})
	}
	// Kept is what was decoded, as for a GroupInfo that came in full.
	b, err := wire.Marshal(computed)
	if err != nil {
		return nil, err
	}
	gi := new(GroupInfo)
	if err := wire.Unmarshal(b, gi); err != nil {
		return nil, err
	}
	return gi, next.checkGroupInfo(gi)
}

// ApplyPartial is Apply with a PartialGroupInfo, which comes with a commit.
func (p *PublicGroup) ApplyPartial(s *Staged, partial *PartialGroupInfo) error {
	gi, err := p.Complete(s, partial)
	if err != nil {
		return err
	}
	p.advance(s.commit.next, gi)
	return nil
}
