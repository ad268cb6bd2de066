package mmr_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// TestRemovalPending: section 3, "Pending removals are committed soon".
func TestRemovalPending(t *testing.T) {
	member := mls.Sender{Type: mls.SenderMember, Index: 1}
	joiner := mls.Sender{Type: mls.SenderNewMemberCommit}
	by := func(bodies ...mls.ProposalBody) *mls.Commit {
		c := &mls.Commit{}
		for _, body := range bodies {
			c.Proposals = append(c.Proposals, mls.ProposalOrRef{Proposal: &mls.Proposal{Body: body}})
		}
		c.Proposals = append(c.Proposals, mls.ProposalOrRef{Reference: mls.ProposalRef("a reference")})
		return c
	}
	pending := func(bodies ...mls.ProposalBody) []mmr.Proposed {
		var out []mmr.Proposed
		for _, body := range bodies {
			out = append(out, mmr.Proposed{Proposal: &mls.Proposal{Body: body}, Sender: mls.Sender{Type: mls.SenderMember, Index: 3}})
		}
		return out
	}
	remove := func(i mls.LeafIndex) *mls.Remove { return &mls.Remove{Removed: i} }
	for _, c := range []struct {
		name    string
		sender  mls.Sender
		commit  *mls.Commit
		pending []mmr.Proposed
		want    error
	}{
		{"nothing pending", joiner, by(), nil, nil},
		{"no removal pending", joiner, by(), pending(&mls.AppDataUpdate{}), nil},
		{"an Add", member, by(&mls.Add{}), pending(&mls.SelfRemove{}), mmr.ErrRemovalPending},
		{"an Add, the own removal pending", member, by(&mls.Add{}), pending(remove(1)), mmr.ErrRemovalPending},
		{"a Commit without Add", member, by(), pending(&mls.SelfRemove{}), nil},
		{"a removal", member, by(remove(3)), pending(&mls.SelfRemove{}), nil},
		{"a joiner", joiner, by(), pending(remove(7)), mmr.ErrRemovalPending},
		{"a resync", joiner, by(remove(2)), pending(&mls.SelfRemove{}), mmr.ErrRemovalPending},
		{"a resync of the leaf whose removal is pending", joiner, by(remove(3)), pending(&mls.SelfRemove{}), nil},
		{"a resync, the own removal and another pending", joiner, by(remove(3)), pending(&mls.SelfRemove{}, remove(4)), mmr.ErrRemovalPending},
	} {
		if err := mmr.RemovalPending(c.sender, c.commit, c.pending); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestDeparting: who is going to be no participant is treated as gone
// (draft-ietf-mimi-protocol-06, section 5.3).
func TestDeparting(t *testing.T) {
	w := mmrtest.New(t, nil, mmrtest.GroupPolicy(), alice)
	mmrtest.Trio(w)
	w.Commit(bob, mmrtest.Add("bob@b.example/2"))
	r := w.Public()
	from := func(name string, bodies ...mls.ProposalBody) []mmr.Proposed {
		var out []mmr.Proposed
		for _, body := range bodies {
			out = append(out, mmr.Proposed{Proposal: &mls.Proposal{Body: body}, Sender: mls.Sender{Type: mls.SenderMember, Index: w.Leaf(name)}})
		}
		return out
	}
	kick := func(index uint32) mls.ProposalBody {
		return w.ListUpdate(room.ParticipantListUpdate{Removed: []uint32{index}})
	}
	bobs, _ := r.State().Find(w.Users[bob])
	for _, c := range []struct {
		name    string
		pending []mmr.Proposed
		want    []mimi.URI
	}{
		{"nothing", nil, nil},
		{"a client of two", from(bob, &mls.SelfRemove{}), nil},
		{"a user without leaving the list", from(carol, &mls.SelfRemove{}), nil},
		{"a user leaves", from(carol, w.Leave(carol)...), []mimi.URI{w.Users[carol]}},
		{
			"a user is removed with all clients",
			from(alice, &mls.Remove{Removed: w.Leaf(bob)}, &mls.Remove{Removed: w.Leaf("bob@b.example/2")}, kick(bobs)),
			[]mimi.URI{w.Users[bob]},
		},
	} {
		if err := r.CheckProposals(c.pending); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		gone, err := r.Departing(c.pending)
		if got := slices.Collect(maps.Keys(gone)); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v is gone: %v", c.name, got, err)
		}
	}
	for name, proposed := range map[string][]mmr.Proposed{
		"from outside":              {{Proposal: &mls.Proposal{Body: &mls.Remove{}}, Sender: mls.Sender{Type: mls.SenderExternal}}},
		"from nobody":               {{Proposal: &mls.Proposal{Body: &mls.SelfRemove{}}, Sender: mls.Sender{Type: mls.SenderMember, Index: 99}}},
		"of a leaf that is not":     from(alice, &mls.Remove{Removed: 99}),
		"of a user who stays":       from(bob, &mls.Remove{Removed: w.Leaf(carol)}),
		"of the list alone":         from(carol, kick(bobs+1)),
		"of a type without meaning": from(bob, &mls.PreSharedKey{}),
	} {
		var one *room.ActionError
		err := r.CheckProposals(proposed)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if errors.As(err, &one) && one.Index != 0 {
			t.Errorf("%s: blames proposal %d", name, one.Index)
		}
	}
}
