package mlsbench

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// sampleFloors makes one of each message that is going to be measured, and
// computes the floors for them.
func sampleFloors(ctx context.Context, l *mlstest.Large, m *mlstest.Member) (floors, error) {
	if err := l.Sync(ctx); err != nil {
		return nil, err
	}
	own := m.Group.OwnLeaves()[0]
	add, err := l.AddCommit(ctx, m, own)
	if err != nil {
		return nil, err
	}
	path, err := l.Crowd.Group.Commit(ctx, 0, mls.CommitOptions{GroupInfo: mlstest.OutOfBand})
	if err != nil {
		return nil, err
	}
	l.Crowd.Group.Discard()
	invitation, err := l.Invite(ctx, false)
	if err != nil {
		return nil, err
	}
	external, err := sampleExternal(ctx, l)
	if err != nil {
		return nil, err
	}
	v := m.Group.View()
	return floors{
		mlstest.OpAddCommit:      addCommitFloor(add),
		mlstest.OpMerge:          mergeFloor(),
		mlstest.OpProcess:        processFloor(path, own),
		mlstest.OpJoin:           joinFloor(invitation.Commit),
		mlstest.OpExternalJoin:   externalJoinFloor(external),
		mlstest.OpProtect:        messageFloor(v, mlstest.TextSize, false, false),
		mlstest.OpProtectFirst:   messageFloor(v, mlstest.TextSize, false, true),
		mlstest.OpUnprotect:      messageFloor(v, mlstest.TextSize, true, false),
		mlstest.OpUnprotectFirst: messageFloor(v, mlstest.TextSize, true, true),
		mlstest.OpHub:            hubFloor(path),
	}, nil
}

// sampleExternal makes an external Commit that is not applied.
func sampleExternal(ctx context.Context, l *mlstest.Large) (*mls.PendingCommit, error) {
	gi, err := l.Crowd.Group.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
	if err != nil {
		return nil, err
	}
	leaf, err := l.NewLeaf()
	if err != nil {
		return nil, err
	}
	opts := mls.ExternalOptions{Leaf: leaf, GroupInfo: mlstest.OutOfBand}
	_, p, err := mls.ExternalJoin(ctx, l.Crowd.Config, gi, l.Crowd.Group.RatchetTree(), opts)
	return p, err
}
