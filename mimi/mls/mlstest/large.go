package mlstest

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A Shape says which inner nodes of a large tree are set.
type Shape string

// The two ends of what a tree can look like. Everything that a commit costs
// follows the logarithm of the members in one, and their number in the other.
const (
	// Fresh is the tree after one commit that has added everybody: only the inner
	// nodes above its author, leaf 0, are set.
	Fresh Shape = "fresh"
	// Filled is the tree in which every inner node with members on both sides is
	// set, and no leaf is unmerged.
	Filled Shape = "filled"
)

// LargeParams describe a [Large] group.
type LargeParams struct {
	Suite suite.ID
	Size  int // members
	Shape Shape
	// Own has the number of own leaves of each node that is not the crowd. Nil means
	// one node with one leaf.
	Own []int
	// Profile makes the leaves about as large as those of the minimal-metadata
	// room profile.
	Profile bool
	// Now is the clock of all of them. Nil means the time of the tests.
	Now func() time.Time
	// Progress is told what is done of one step. It may be nil.
	Progress func(step string, done, all int)
}

// A Large is a group of many members. Almost all of them are own leaves of one
// node, the crowd, since many groups would take very long to build and would not
// fit into memory. The nodes that are measured have one leaf, or a few.
//
// Commits take effect at their author at once, and everywhere else when that
// node, or the hub, is asked for.
type Large struct {
	LargeParams
	// Crowd has leaf 0 and all leaves that nobody else has.
	Crowd *Member
	// Members has the nodes described by Own.
	Members []*Member

	hub      *mls.PublicGroup
	hubDisk  Disk
	hubSteps int         // of steps, what the hub has seen
	steps    []largeStep // since the last Sync
	names    int
}

// A Member is a node of a [Large] group.
type Member struct {
	Config mls.Config
	Group  *mls.Group
	Disk   Disk
	steps  int // of the group's steps, what it has seen
}

// A largeStep is a commit that has taken effect.
type largeStep struct{ message, groupInfo []byte }

// NewLarge builds a large group.
func NewLarge(ctx context.Context, p LargeParams) (*Large, error) {
	if p.Own == nil {
		p.Own = []int{1}
	}
	if p.Now == nil {
		p.Now = func() time.Time { return Now }
	}
	if p.Progress == nil {
		p.Progress = func(string, int, int) {}
	}
	l := &Large{LargeParams: p, hubDisk: Disk{}}
	if need := l.blocks()[len(p.Own)]; need > p.Size {
		return nil, fmt.Errorf("mlstest: %d members are too few for these own leaves", p.Size)
	}
	l.Crowd = l.node("crowd")
	leaf, err := l.NewLeaf()
	if err != nil {
		return nil, err
	}
	l.Crowd.Group, err = mls.Create(ctx, l.Crowd.Config, mls.CreateParams{CipherSuite: p.Suite, GroupID: GroupID, Leaf: leaf})
	if err != nil {
		return nil, err
	}
	build := l.buildFilled
	if p.Shape == Fresh {
		build = l.buildFresh
	}
	if err := build(ctx); err != nil {
		return nil, err
	}
	return l, l.Sync(ctx)
}

// blocks returns where the leaves of each node in Own begin, and the end of all.
// They lie from the middle on, in the left half of the whole tree, where the way
// to the root has its full length.
func (l *Large) blocks() []int {
	at := l.Size / 2
	list := []int{at}
	for _, own := range l.Own {
		at += own
		list = append(list, at)
	}
	return list
}

// node makes a node without a group.
func (l *Large) node(name string) *Member {
	c := Config("large "+name, &Policy{})
	c.Now = l.Now
	return &Member{Config: c, Disk: Disk{}}
}

// The sizes of what is opaque in a leaf of the profile: docs/mmr-profile.md,
// section 2, for pseudonyms, key and identity link, and a sealed queue id.
const (
	profileCredentialType mls.CredentialType = 0xfd4d
	profileCredential                        = 2*60 + 34 + 1096
	profileQueueComponent mls.ComponentID    = 0xff01
	profileQueueReference                    = 200
)

// NewLeaf makes the parameters of a leaf that nobody has yet.
func (l *Large) NewLeaf() (mls.LeafParams, error) {
	l.names++
	name := fmt.Sprintf("user%d", l.names)
	s, err := suite.Lookup(l.Suite)
	if err != nil {
		return mls.LeafParams{}, err
	}
	random := Random("large " + name)
	key, err := s.GenerateSignatureKey(random)
	if err != nil {
		return mls.LeafParams{}, err
	}
	leaf := mls.LeafParams{Credential: mls.BasicCredential([]byte(name)), Capabilities: Capabilities(), SignatureKey: key}
	if !l.Profile {
		return leaf, nil
	}
	leaf.Credential = mls.Credential{Type: profileCredentialType, Body: make([]byte, profileCredential)}
	leaf.Capabilities.Credentials = []mls.CredentialType{profileCredentialType}
	queue := make([]byte, profileQueueReference)
	for _, b := range [][]byte{leaf.Credential.Body, queue} {
		if _, err := random.Read(b); err != nil {
			return mls.LeafParams{}, err
		}
	}
	leaf.Extensions, err = leaf.Extensions.WithComponents(mls.ComponentData{ID: profileQueueComponent, Data: queue})
	return leaf, err
}

// NewKeyPackage makes a KeyPackage of somebody who is no member yet.
func (l *Large) NewKeyPackage() (*mls.KeyPackagePrivate, error) {
	leaf, err := l.NewLeaf()
	if err != nil {
		return nil, err
	}
	return mls.NewKeyPackage(Random(fmt.Sprintf("large keys of %d", l.names)), mls.KeyPackageParams{
		CipherSuite: l.Suite, Leaf: leaf,
		NotBefore: uint64(l.Now().Add(-12 * time.Hour).Unix()), NotAfter: uint64(l.Now().Add(12 * time.Hour).Unix()),
	})
}

// keyPackages makes n of them.
func (l *Large) keyPackages(n int) ([]*mls.KeyPackagePrivate, error) {
	list := make([]*mls.KeyPackagePrivate, n)
	for i := range list {
		var err error
		if list[i], err = l.NewKeyPackage(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// OutOfBand makes GroupInfos without a tree: the hub has that, and so have those
// who join.
func OutOfBand(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
	return mls.GroupInfoOptions{ExternalPub: true}, mls.GroupInfoOptions{}, nil
}

// Adds are the proposals that add the owners of KeyPackages.
func Adds(keys ...*mls.KeyPackagePrivate) []mls.ProposalBody {
	list := make([]mls.ProposalBody, len(keys))
	for i, k := range keys {
		list[i] = &mls.Add{KeyPackage: k.KeyPackage}
	}
	return list
}

// buildFresh adds everybody in one commit.
func (l *Large) buildFresh(ctx context.Context) error {
	keys, err := l.keyPackages(l.Size - 1)
	if err != nil {
		return err
	}
	l.Progress("add", 0, 1)
	welcome, err := l.Commit(ctx, l.Crowd, 0, mls.CommitOptions{Proposals: Adds(keys...)})
	if err != nil {
		return err
	}
	blocks := l.blocks()
	for i, own := range l.Own {
		from := blocks[i] - 1 // leaf 0 has no KeyPackage
		if err := l.join(ctx, fmt.Sprintf("member %d", i), welcome, keys[from:from+own]); err != nil {
			return err
		}
	}
	first, last := blocks[0]-1, blocks[len(l.Own)]-1
	return l.attach(ctx, l.Crowd, welcome, slices.Concat(keys[:first], keys[last:]))
}

// buildFilled builds the tree within the crowd, where a commit has to be made and
// not to be processed. Then the leaves of the other nodes take the places of some
// of the crowd's, and commit in their turn.
func (l *Large) buildFilled(ctx context.Context) error {
	keys, err := l.keyPackages(l.Size - 1)
	if err != nil {
		return err
	}
	l.Progress("add", 0, 1)
	welcome, err := l.Commit(ctx, l.Crowd, 0, mls.CommitOptions{Proposals: Adds(keys...)})
	if err != nil {
		return err
	}
	if err := l.attach(ctx, l.Crowd, welcome, keys); err != nil {
		return err
	}
	if err := l.fill(ctx, 0, l.Size); err != nil || len(l.Own) == 0 {
		return err
	}
	blocks := l.blocks()
	first, last := blocks[0], blocks[len(l.Own)]
	if keys, err = l.keyPackages(last - first); err != nil {
		return err
	}
	var proposals []mls.ProposalBody
	for i := first; i < last; i++ {
		proposals = append(proposals, &mls.Remove{Removed: mls.LeafIndex(i)})
	}
	if welcome, err = l.Commit(ctx, l.Crowd, 0, mls.CommitOptions{Proposals: append(proposals, Adds(keys...)...)}); err != nil {
		return err
	}
	for i, own := range l.Own {
		from := blocks[i] - first
		if err := l.join(ctx, fmt.Sprintf("member %d", i), welcome, keys[from:from+own]); err != nil {
			return err
		}
	}
	return l.fill(ctx, first, last)
}

// join makes a node whose leaves are those of some KeyPackages.
func (l *Large) join(ctx context.Context, name string, welcome *mls.Welcome, keys []*mls.KeyPackagePrivate) error {
	m := l.node(name)
	var err error
	if m.Group, _, err = mls.JoinWelcome(ctx, m.Config, welcome, keys[0], l.Crowd.Group.RatchetTree()); err != nil {
		return err
	}
	m.steps = len(l.steps)
	l.Members = append(l.Members, m)
	return l.attach(ctx, m, welcome, keys[1:])
}

// attach gives a node further own leaves.
func (l *Large) attach(ctx context.Context, m *Member, welcome *mls.Welcome, keys []*mls.KeyPackagePrivate) error {
	for i, k := range keys {
		if i%1000 == 0 {
			l.Progress("attach", i, len(keys))
		}
		if _, err := m.Group.AttachWelcome(ctx, welcome, k); err != nil {
			return err
		}
	}
	return nil
}

// fill sets all inner nodes above the leaves from first to before last, by
// commits of one leaf of each pair. A commit encrypts to every node that is not
// set yet: so the first ones come from leaves that are far apart, each of which
// halves what is left for the others.
func (l *Large) fill(ctx context.Context, first, last int) error {
	pairs := (l.Size + 1) / 2
	levels := bits.Len(uint(pairs - 1))
	done := 0
	for i := range 1 << levels {
		pair := int(bits.Reverse64(uint64(i)) >> (64 - levels)) // the same bits in the other order
		leaf := max(2*pair, first)
		if leaf >= last || leaf > 2*pair+1 {
			continue
		}
		if done%500 == 0 {
			l.Progress("fill", done, (last-first+1)/2)
		}
		done++
		if _, err := l.Commit(ctx, l.Owner(mls.LeafIndex(leaf)), mls.LeafIndex(leaf), mls.CommitOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// Owner returns the node that a leaf belongs to.
func (l *Large) Owner(leaf mls.LeafIndex) *Member {
	for _, m := range l.Members {
		if _, ok := m.Group.SignatureKey(leaf); ok {
			return m
		}
	}
	return l.Crowd
}

// Commit lets a commit of a node take effect. Its GroupInfos have no tree unless
// the options say so.
func (l *Large) Commit(ctx context.Context, m *Member, from mls.LeafIndex, opts mls.CommitOptions) (*mls.Welcome, error) {
	if err := l.CatchUp(ctx, m); err != nil {
		return nil, err
	}
	if opts.GroupInfo == nil {
		opts.GroupInfo = OutOfBand
	}
	p, err := m.Group.Commit(ctx, from, opts)
	if err != nil {
		return nil, fmt.Errorf("commit of leaf %d: %w", from, err)
	}
	var s largeStep
	if s.message, err = mls.Marshal(p.MLSMessage()); err != nil {
		return nil, err
	}
	if s.groupInfo, err = mls.Marshal(&mls.MLSMessage{GroupInfo: p.GroupInfo}); err != nil {
		return nil, err
	}
	if _, err := m.Group.Merge(ctx); err != nil {
		return nil, err
	}
	l.steps = append(l.steps, s)
	m.steps = len(l.steps)
	return p.Welcome, nil
}

// CatchUp lets a node process what it has not seen yet.
func (l *Large) CatchUp(ctx context.Context, m *Member) error {
	for ; m.steps < len(l.steps); m.steps++ {
		if _, err := process(ctx, m.Group, l.steps[m.steps].message); err != nil {
			return err
		}
	}
	return nil
}

// Sync lets everybody and the hub catch up.
func (l *Large) Sync(ctx context.Context) error {
	all := append(slices.Clone(l.Members), l.Crowd)
	for _, m := range all {
		if err := l.CatchUp(ctx, m); err != nil {
			return err
		}
	}
	if _, err := l.Hub(ctx); err != nil {
		return err
	}
	for _, m := range all {
		m.steps = 0
	}
	l.steps, l.hubSteps = nil, 0
	return nil
}

// process decodes and processes a message.
func process(ctx context.Context, g *mls.Group, b []byte) (*mls.Result, error) {
	m := new(mls.MLSMessage)
	if err := mls.Unmarshal(b, m); err != nil {
		return nil, err
	}
	return g.Process(ctx, m)
}

// Hub returns the hub in the current epoch. It begins when it is first asked for.
func (l *Large) Hub(ctx context.Context) (*mls.PublicGroup, error) {
	if l.hub == nil {
		gi, err := l.Crowd.Group.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
		if err != nil {
			return nil, err
		}
		if l.hub, err = mls.NewPublicGroup(ctx, l.Crowd.Config, gi, l.Crowd.Group.RatchetTree()); err != nil {
			return nil, err
		}
		l.hubSteps = l.Crowd.steps
	}
	for ; l.hubSteps < len(l.steps); l.hubSteps++ {
		s := l.steps[l.hubSteps]
		if err := stageApply(ctx, l.hub, s.message, s.groupInfo); err != nil {
			return nil, err
		}
	}
	return l.hub, nil
}

// stageApply lets a hub decode, stage and apply a commit.
func stageApply(ctx context.Context, hub *mls.PublicGroup, message, groupInfo []byte) error {
	m, gi := new(mls.MLSMessage), new(mls.MLSMessage)
	if err := mls.Unmarshal(message, m); err != nil {
		return err
	}
	if err := mls.Unmarshal(groupInfo, gi); err != nil {
		return err
	}
	s, err := hub.Stage(ctx, m.PublicMessage)
	if err != nil {
		return err
	}
	return hub.Apply(s, gi.GroupInfo)
}

// Rows returns what a node stores.
func (m *Member) Rows() []mls.Row {
	m.Disk.Write(m.Group.Dirty())
	return m.Disk.Rows()
}

// HubRows returns what the hub stores in the current epoch.
func (l *Large) HubRows(ctx context.Context) ([]mls.Row, error) {
	hub, err := l.Hub(ctx)
	if err != nil {
		return nil, err
	}
	l.hubDisk.Write(hub.Dirty())
	return l.hubDisk.Rows(), nil
}
