package mlstest

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// An Invitation is what somebody needs to join a [Large] group. The commit that
// it belongs to is never applied, so that it can be used again and again.
type Invitation struct {
	Config  mls.Config
	Keys    *mls.KeyPackagePrivate
	Welcome []byte // an MLSMessage
	Tree    []byte // nothing if the Welcome has it
	Commit  *mls.PendingCommit
}

// Invite lets leaf 0 add somebody. InBand puts the tree into the Welcome.
func (l *Large) Invite(ctx context.Context, inBand bool) (*Invitation, error) {
	if err := l.CatchUp(ctx, l.Crowd); err != nil {
		return nil, err
	}
	keys, err := l.NewKeyPackage()
	if err != nil {
		return nil, err
	}
	i := &Invitation{Config: l.node("joiner").Config, Keys: keys}
	i.Commit, err = l.Crowd.Group.Commit(ctx, 0, mls.CommitOptions{
		Proposals: Adds(keys),
		GroupInfo: withTree(inBand),
	})
	if err != nil {
		return nil, err
	}
	l.Crowd.Group.Discard()
	if !inBand {
		if i.Tree, err = mls.Marshal(i.Commit.View.After.RatchetTree()); err != nil {
			return nil, err
		}
	}
	i.Welcome, err = mls.Marshal(&mls.MLSMessage{Welcome: i.Commit.Welcome})
	return i, err
}

// withTree puts the tree into Welcomes, or not.
func withTree(inBand bool) mls.GroupInfoFunc {
	return func(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
		return mls.GroupInfoOptions{ExternalPub: true}, mls.GroupInfoOptions{RatchetTree: inBand}, nil
	}
}

// Join joins from the octets.
func (i *Invitation) Join(ctx context.Context) (*mls.Group, error) {
	var m mls.MLSMessage
	if err := mls.Unmarshal(i.Welcome, &m); err != nil {
		return nil, err
	}
	var tree *mls.RatchetTree
	if len(i.Tree) > 0 {
		tree = new(mls.RatchetTree)
		if err := mls.Unmarshal(i.Tree, tree); err != nil {
			return nil, err
		}
	}
	g, _, err := mls.JoinWelcome(ctx, i.Config, m.Welcome, i.Keys, tree)
	return g, err
}
