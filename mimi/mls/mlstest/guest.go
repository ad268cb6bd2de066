package mlstest

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A guest is a member of a [Large] group that is a client of another kind, and so
// no [Member]. It exchanges octets with the crowd. What a guest commits is not
// brought to the hub, which is not asked for any more then.

// Seat lets leaf 0 add the owner of a KeyPackage in the place of whoever is at the
// leaf in the middle, and remove those whom guests have added. The tree is inside
// the Welcome, or beside it. In a filled tree the guest has to commit before all
// inner nodes are set again; a fresh one is as fresh as before.
func (l *Large) Seat(ctx context.Context, kp *mls.KeyPackage, inBand bool) (welcome, tree []byte, err error) {
	if len(l.Own) > 0 || l.Size < 4 {
		return nil, nil, errors.New("mlstest: guests need a group of four, and all of it the crowd's")
	}
	if err := l.dismiss(ctx); err != nil {
		return nil, nil, err
	}
	w, err := l.Commit(ctx, l.Crowd, 0, mls.CommitOptions{
		Proposals: []mls.ProposalBody{&mls.Remove{Removed: mls.LeafIndex(l.Size / 2)}, &mls.Add{KeyPackage: *kp}},
		GroupInfo: withTree(inBand),
	})
	if err != nil {
		return nil, nil, err
	}
	if welcome, err = mls.Marshal(&mls.MLSMessage{Welcome: w}); err != nil || inBand {
		return welcome, nil, err
	}
	tree, err = mls.Marshal(l.Crowd.Group.RatchetTree())
	return welcome, tree, err
}

// dismiss removes those whom guests have added. In a filled tree the leaf beside
// them does it, which sets again what that blanks.
func (l *Large) dismiss(ctx context.Context) error {
	var removes []mls.ProposalBody
	for m := range l.Crowd.Group.View().Members() {
		if int(m.Index) >= l.Size {
			removes = append(removes, &mls.Remove{Removed: m.Index})
		}
	}
	if len(removes) == 0 {
		return nil
	}
	from := mls.LeafIndex(0)
	if l.Shape == Filled {
		from = mls.LeafIndex(l.Size - 1)
	}
	_, err := l.Commit(ctx, l.Crowd, from, mls.CommitOptions{Proposals: removes})
	return err
}

// Accept lets the crowd process a message of a guest.
func (l *Large) Accept(ctx context.Context, message []byte) error {
	if _, err := process(ctx, l.Crowd.Group, message); err != nil {
		return fmt.Errorf("message of a guest: %w", err)
	}
	return nil
}

// Advance commits, with path, as leaf 0.
func (l *Large) Advance(ctx context.Context) (message []byte, err error) {
	if _, err := l.Commit(ctx, l.Crowd, 0, mls.CommitOptions{}); err != nil {
		return nil, err
	}
	return l.steps[len(l.steps)-1].message, nil
}

// Say sends an application message as leaf 0.
func (l *Large) Say() (message []byte, err error) { return say(l.Crowd.Group, 0) }

// Info returns what somebody who joins by an external Commit gets.
func (l *Large) Info(inBand bool) (groupInfo, tree []byte, err error) {
	gi, err := l.Crowd.Group.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true, RatchetTree: inBand})
	if err != nil {
		return nil, nil, err
	}
	if groupInfo, err = mls.Marshal(&mls.MLSMessage{GroupInfo: gi}); err != nil || inBand {
		return groupInfo, nil, err
	}
	tree, err = mls.Marshal(l.Crowd.Group.RatchetTree())
	return groupInfo, tree, err
}
