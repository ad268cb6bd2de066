package hub_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// TestRefusedRequest: what comes with a Commit has to be there and to fit
// (draft-ietf-mimi-protocol-06, section 5.3; docs/mmr-profile.md, sections 3 and 8).
func TestRefusedRequest(t *testing.T) {
	request := func(f func(*protocol.UpdateRequest)) mmrtest.Bend { return func(d *mmrtest.Draft) { d.Request = f } }
	add := mmrtest.Add(dave)
	refusedRequests(t, []refusedRequest{
		{"every GroupInfo has external_pub", mls.ErrExternalPub.Error(), []mmrtest.Bend{withInfo(func(i *mmrtest.Info) { i.ExternalPub = false })}},
		{"a partial GroupInfo is signed by the committer", mls.ErrGroupInfo.Error(), []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			inPart(t, r)
			r.GroupInfo.Partial.Signature[3] ^= 1
		})}},
		{"a partial GroupInfo follows the one before", mls.ErrPartialGroupInfo.Error(), []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			inPart(t, r)
			r.GroupInfo.Partial.RatchetTree = mls.RatchetTreeRemoved
		})}},
		{"a partial GroupInfo has no ratchet_tree", mls.ErrGroupInfo.Error(), []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			inPart(t, r)
			r.GroupInfo.Partial.RatchetTree = mls.RatchetTreeAdded
		})}},
		{"a partial GroupInfo has 0x8D47", identity.ErrLinkState.Error() + ": the GroupInfo has none", []mmrtest.Bend{
			withInfo(func(i *mmrtest.Info) { i.State = nil }), request(func(r *protocol.UpdateRequest) { inPart(t, r) }),
		}},
		{"the GroupInfo is signed by a member", "mls: ", []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			r.GroupInfo.Full.Signature[3] ^= 1
		})}},
		{"the GroupInfo has the Commit's confirmation tag", mls.ErrGroupInfo.Error(), []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			r.GroupInfo.Full.ConfirmationTag[3] ^= 1
		})}},
		{"the GroupInfo has the Commit's GroupContext", mls.ErrGroupInfo.Error(), []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			r.GroupInfo.Full.GroupContext.Epoch--
		})}},
		{"a Welcome comes with an Add", "the Welcome does not fit", []mmrtest.Bend{add, request(func(r *protocol.UpdateRequest) { r.Welcome = nil })}},
		{"a Welcome is for all Adds", "the Welcome does not fit", []mmrtest.Bend{mmrtest.Add(dave, "dora@d.example"), request(func(r *protocol.UpdateRequest) {
			r.Welcome.Secrets = r.Welcome.Secrets[:1]
		})}},
		{"a Welcome is for nobody else", "the Welcome does not fit", []mmrtest.Bend{add, request(func(r *protocol.UpdateRequest) {
			r.Welcome.Secrets[0].NewMember[0] ^= 1
		})}},
		{"a Welcome names nobody twice", "the Welcome does not fit", []mmrtest.Bend{mmrtest.Add(dave, "dora@d.example"), request(func(r *protocol.UpdateRequest) {
			r.Welcome.Secrets[1] = r.Welcome.Secrets[0]
		})}},
		{"a Welcome has the cipher suite of the room", "the Welcome does not fit", []mmrtest.Bend{add, request(func(r *protocol.UpdateRequest) {
			r.Welcome.CipherSuite++
		})}},
		{"no Welcome without an Add", "the Welcome does not fit", []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			r.Welcome = &mls.Welcome{CipherSuite: 1, EncryptedGroupInfo: []byte("info")}
		})}},
		{"a ratchet tree that comes along fits", mls.ErrTreeHash.Error(), []mmrtest.Bend{func(d *mmrtest.Draft) {
			tree := d.Node.Group.RatchetTree()
			d.Request = func(r *protocol.UpdateRequest) { r.RatchetTree = protocol.FullTree(*tree) }
		}}},
		{"a ratchet tree is here or at the hub", "the ratchet tree is to be sent", []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			r.RatchetTree = protocol.RatchetTreeOption{Representation: protocol.TreeOutOfBand}
		})}},
		{"a Commit is signed by its sender", mls.ErrSignature.Error(), []mmrtest.Bend{request(func(r *protocol.UpdateRequest) {
			r.ProposalOrCommit.PublicMessage.Auth.Signature[3] ^= 1
		})}},
	})
}

// A refusedRequest is a Commit of Alice's that the hub does not accept.
type refusedRequest struct {
	name   string
	reason string
	bends  []mmrtest.Bend
}

func refusedRequests(t *testing.T, cases []refusedRequest) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := trio(t)
			w.refused(w.Make(alice, c.bends...), func(err error) { wantNotAllowed(t, err, c.reason) })
		})
	}
}

// inPart puts a PartialGroupInfo in the place of the full one.
func inPart(t *testing.T, r *protocol.UpdateRequest) {
	t.Helper()
	partial, err := r.GroupInfo.Full.Partial(false)
	if err != nil {
		t.Fatal(err)
	}
	r.GroupInfo = protocol.GroupInfoOption{Partial: partial}
}

// TestPartialGroupInfoWithCommit: what the committer leaves out, the hub computes,
// and hands out in full (docs/mmr-profile.md, section 8).
func TestPartialGroupInfoWithCommit(t *testing.T) {
	w := trio(t)
	a := w.Make(alice, mmrtest.Add(dave))
	inPart(t, a.Request)
	if err := a.Send(); err != nil {
		t.Fatal(err)
	}
	a.Accepted()
}

// TestOtherTree: the ratchet tree that the Commit leads to may come with it.
func TestOtherTree(t *testing.T) {
	w := trio(t)
	a := w.Make(alice, mmrtest.Add(dave))
	a.Request.RatchetTree = protocol.FullTree(*a.Tree())
	if err := a.Send(); err != nil {
		t.Fatal(err)
	}
	a.Accepted()
}

// TestSender: who may send what for whom (docs/mmr-profile.md, section 1; RFC 9420,
// section 6.1).
func TestSender(t *testing.T) {
	t.Run("a removed member does not commit", func(t *testing.T) {
		w := trio(t)
		late := w.Make(carol)
		w.Commit(alice, mmrtest.Remove(bob))
		_, err := w.hub.Update(t.Context(), "c.example", w.Room, late.Request)
		wantWrongEpoch(t, err, 2)
		content := &late.Request.ProposalOrCommit.PublicMessage.Content
		forged := *late.Request.ProposalOrCommit.PublicMessage
		forged.Content = mls.FramedContent{
			GroupID: content.GroupID, Epoch: 2, Sender: mls.Sender{Type: mls.SenderMember, Index: 1}, ContentType: mls.ContentCommit, Commit: content.Commit,
		}
		_, err = w.hub.Update(t.Context(), "b.example", w.Room, &protocol.UpdateRequest{
			ProposalOrCommit: mls.MLSMessage{PublicMessage: &forged}, GroupInfo: late.Request.GroupInfo, RatchetTree: late.Request.RatchetTree,
		})
		wantNotAllowed(t, err, mls.ErrNotMember.Error())
	})
	t.Run("an external sender does not propose", func(t *testing.T) {
		w := trio(t)
		req := w.MakeProposals(bob, w.Leave(bob)...)
		m := req.ProposalOrCommit.PublicMessage
		m.Content = mls.FramedContent{
			GroupID: m.Content.GroupID, Epoch: m.Content.Epoch, Sender: mls.Sender{Type: mls.SenderExternal},
			ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.Remove{Removed: w.Leaf(carol)}},
		}
		m.MembershipTag = nil
		_, err := w.hub.Update(t.Context(), "b.example", w.Room, &protocol.UpdateRequest{ProposalOrCommit: mls.MLSMessage{PublicMessage: m}})
		wantInvalid(t, err, mmr.ErrProposal.Error())
	})
	t.Run("a message is for the room's group", func(t *testing.T) {
		w := trio(t)
		a := w.Make(bob)
		a.Request.ProposalOrCommit.PublicMessage.Content = mls.FramedContent{
			GroupID: []byte("mimi://a.example/g/another"), Epoch: 1, Sender: mls.Sender{Type: mls.SenderMember, Index: 1},
			ContentType: mls.ContentCommit, Commit: a.Request.ProposalOrCommit.PublicMessage.Content.Commit,
		}
		w.refused(a, func(err error) { wantNotAllowed(t, err, mls.ErrGroupID.Error()) })
	})
	t.Run("without a room", func(t *testing.T) {
		w := trio(t)
		other := w.Room
		other.ID = "0b7c1d3e-0000-4000-8000-000000000000"
		_, err := w.hub.Update(t.Context(), "b.example", other, w.Make(bob).Request)
		if !errors.Is(err, protocol.ErrNoSuchRoom) {
			t.Error(err)
		}
	})
	t.Run("a request that no decoder has seen", func(t *testing.T) {
		w := trio(t)
		commit := w.Make(bob).Request.ProposalOrCommit
		proposal := w.MakeProposals(carol, w.Leave(carol)...).ProposalOrCommit
		for _, req := range []*protocol.UpdateRequest{
			{},
			{ProposalOrCommit: mls.MLSMessage{Welcome: &mls.Welcome{}}},
			{ProposalOrCommit: proposal, MoreProposals: []mls.MLSMessage{commit}},
			{ProposalOrCommit: proposal, MoreProposals: []mls.MLSMessage{{}}},
		} {
			if _, err := w.hub.Update(t.Context(), "b.example", w.Room, req); !errors.Is(err, protocol.ErrMalformed) {
				t.Error(err)
			}
		}
		if _, err := w.hub.SubmitMessage(t.Context(), "b.example", w.Room, &protocol.SubmitMessageRequest{}); !errors.Is(err, protocol.ErrMalformed) {
			t.Error(err)
		}
	})
}

// TestEpoch: wrongEpoch names the hub's epoch (draft-ietf-mimi-protocol-06, section
// 5.3).
func TestEpoch(t *testing.T) {
	w := trio(t)
	stale, proposal := w.Make(bob), w.MakeProposals(carol, w.Leave(carol)...)
	w.Commit(alice)
	wantWrongEpoch(t, stale.Send(), 2)
	_, err := w.hub.Update(t.Context(), "c.example", w.Room, mmrtest.Again(t, proposal))
	wantWrongEpoch(t, err, 2)
	// What is from the future is made by a world that is ahead of its hub.
	ahead := trio(t)
	ahead.Commit(alice)
	future := ahead.Make(bob)
	future.Request.ProposalOrCommit.PublicMessage.Content.Epoch = 77
	wantWrongEpoch(t, future.Send(), 2)
}

// TestRepeatedRequest: the same request gets the same answer, once more accepted or
// not (docs/architecture.md; draft-ietf-mimi-protocol-06, section 5.5).
func TestRepeatedRequest(t *testing.T) {
	w := trio(t)
	a := w.Make(bob, mmrtest.Add(dave))
	first, err := w.hub.Update(t.Context(), "b.example", w.Room, mmrtest.Again(t, a.Request))
	if err != nil {
		t.Fatal(err)
	}
	a.Accepted()
	w.Clock.Advance(time.Minute)
	w.Commit(alice)
	w.restart()
	second, err := w.hub.Update(t.Context(), "b.example", w.Room, mmrtest.Again(t, a.Request))
	if err != nil || !second.Accepted.Equal(first.Accepted) || second.Code != first.Code {
		t.Errorf("first %v, then %v, %v", first, second, err)
	}
	// Of another peer it is another request.
	_, err = w.hub.Update(t.Context(), "c.example", w.Room, mmrtest.Again(t, a.Request))
	wantWrongEpoch(t, err, 3)
	// Three Commits, each delivered once.
	w.delivered("c.example", 3)
}

// TestProposals: what may be sent by itself (docs/mmr-profile.md, section 3, "Who
// sends what").
func TestProposals(t *testing.T) {
	type refusal struct {
		name   string
		from   string
		bodies func(w *world) []mls.ProposalBody
		want   error
		denied bool
		blame  int
	}
	one := func(f func(w *world) mls.ProposalBody) func(w *world) []mls.ProposalBody {
		return func(w *world) []mls.ProposalBody { return []mls.ProposalBody{f(w)} }
	}
	policy := func(w *world) mls.ProposalBody {
		return &mls.AppDataUpdate{Component: identity.ComponentPolicy, Operation: mls.AppDataUpdateUpdate, Update: []byte{1, 0, 1, 0, 0, 0, 0, 9}}
	}
	for _, c := range []refusal{
		{"an Add stands in its committer's Commit", bob, one(func(w *world) mls.ProposalBody {
			return &mls.Add{KeyPackage: *w.KeyPackage(w.Client(dave))}
		}), mmr.ErrProposal, false, 0},
		{"0x8D44 is not updated by reference", alice, one(policy), mmr.ErrProposal, false, 0},
		{"0x8D46 is not updated by reference", alice, one(func(w *world) mls.ProposalBody {
			return &mls.AppDataUpdate{Component: identity.ComponentRoomMetadata, Operation: mls.AppDataUpdateRemove}
		}), mmr.ErrProposal, false, 0},
		{"a PSK is not proposed", bob, one(func(w *world) mls.ProposalBody {
			return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("id"), Nonce: make([]byte, 32)}}
		}), mmr.ErrProposal, false, 0},
		{"GroupContextExtensions is not proposed", alice, one(func(w *world) mls.ProposalBody {
			return &mls.GroupContextExtensions{Extensions: w.Nodes[home].Group.View().Context().Extensions}
		}), mmr.ErrProposal, false, 0},
		{"an unknown component is not updated", alice, one(func(w *world) mls.ProposalBody {
			return &mls.AppDataUpdate{Component: 0xf00d, Operation: mls.AppDataUpdateUpdate}
		}), room.ErrUnknownComponent, false, 0},
		{"a participant does not leave the list alone", bob, func(w *world) []mls.ProposalBody { return w.Leave(bob)[1:] }, room.ErrClientsRemain, false, -1},
		{"an ordinary participant does not remove others", bob, one(func(w *world) mls.ProposalBody {
			return &mls.Remove{Removed: w.Leaf(carol)}
		}), room.ErrDenied, true, 0},
		{"the second of two is to blame", alice, func(w *world) []mls.ProposalBody {
			return []mls.ProposalBody{w.Leave(carol)[1], policy(w)}
		}, mmr.ErrProposal, false, 1},
		{"no member leaves twice", bob, func(w *world) []mls.ProposalBody {
			return []mls.ProposalBody{&mls.SelfRemove{}, &mls.Remove{Removed: w.Leaf(bob)}}
		}, room.ErrInvalid, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := trio(t)
			w.hub.Stop()
			before := w.stored()
			req := w.MakeProposals(c.from, c.bodies(w)...)
			pending := w.Nodes[mmrtest.DomainOf(c.from)].Group.PendingProposals()
			_, err := w.hub.Update(t.Context(), mmrtest.DomainOf(c.from), w.Room, mmrtest.Again(t, req))
			switch {
			case c.denied:
				wantNotAllowed(t, err, c.want.Error())
			case c.blame < 0:
				wantInvalid(t, err, c.want.Error())
			default:
				wantInvalid(t, err, c.want.Error(), pending[c.blame].Ref)
			}
			after := w.stored()
			if !slices.EqualFunc(before.Rows, after.Rows, func(a, b mls.Row) bool { return a.Key == b.Key && slices.Equal(a.Value, b.Value) }) || before.Version != after.Version {
				t.Error("the refused proposal has changed the store")
			}
			if err := w.Propose(carol, w.Leave(carol)...); err != nil {
				t.Errorf("a good proposal after it: %v", err)
			}
		})
	}
}

// TestProposalTwice: a proposal that comes again in another request is the one that
// is pending.
func TestProposalTwice(t *testing.T) {
	w := trio(t)
	req := w.MakeProposals(carol, w.Leave(carol)...)
	for _, r := range []*protocol.UpdateRequest{req, {ProposalOrCommit: req.ProposalOrCommit}} {
		if _, err := w.hub.Update(t.Context(), "c.example", w.Room, mmrtest.Again(t, r)); err != nil {
			t.Fatal(err)
		}
	}
	w.Proposed("c.example", req)
	w.Commit(alice, mmrtest.Pending)
}

// TestUpdateProposal: a member updates by a Commit with path (docs/mmr-profile.md,
// section 3).
func TestUpdateProposal(t *testing.T) {
	w := trio(t)
	m, ref, err := w.Nodes["b.example"].Group.ProposeUpdate(t.Context(), w.Leaf(bob), nil, mls.AuthenticatedData{})
	if err == nil {
		_, err = w.hub.Update(t.Context(), "b.example", w.Room, &protocol.UpdateRequest{ProposalOrCommit: mls.MLSMessage{PublicMessage: m}})
		wantInvalid(t, err, mmr.ErrProposal.Error(), ref)
	} else if !errors.Is(err, mmr.ErrProposal) {
		t.Error(err)
	}
}

// TestUnknownReference: a Commit names a proposal that the hub has not accepted
// (RFC 9420, section 12.4).
func TestUnknownReference(t *testing.T) {
	w := trio(t)
	w.MakeProposals(bob, w.ListUpdate(room.ParticipantListUpdate{Added: []room.Participant{{User: w.Client(dave).User(), Role: room.RoleMember}}}))
	ref := w.Nodes["b.example"].Group.PendingProposals()[0].Ref
	a := w.Make(bob, mmrtest.Pending)
	w.refused(a, func(err error) { wantInvalid(t, err, mls.ErrUnknownProposal.Error(), ref) })
}

// TestRemovalPendingAnswer: section 3, "Pending removals are committed soon".
func TestRemovalPendingAnswer(t *testing.T) {
	w := trio(t)
	if err := w.Propose(carol, w.Leave(carol)...); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]func() *mmrtest.Attempt{
		"an Add":   func() *mmrtest.Attempt { return w.Make(alice, mmrtest.Add(dave)) },
		"a joiner": func() *mmrtest.Attempt { return w.Join("dora@d.example") },
		"a resync": func() *mmrtest.Attempt { return w.Resync(bob) },
	} {
		attempt := a()
		w.refused(attempt, func(err error) {
			t.Log(name)
			wantRemovalPending(t, err)
		})
	}
	w.Commit(alice, mmrtest.Pending)
	w.Commit(alice, mmrtest.Add("eve@e.example"))
}

// TestOneOfTwoWins: of two Commits for one epoch exactly one is accepted, and the
// other is told the new epoch (docs/mmr-profile.md, section 3, "Conflicts").
func TestOneOfTwoWins(t *testing.T) {
	w := trio(t)
	attempts := []*mmrtest.Attempt{w.Make(alice), w.Make(bob, mmrtest.Add(dave)), w.Make(carol, mmrtest.NewCredential)}
	answers := make([]error, len(attempts))
	var wg sync.WaitGroup
	for i, a := range attempts {
		wg.Go(func() { _, answers[i] = w.hub.Update(t.Context(), a.From, w.Room, a.Request) })
	}
	wg.Wait()
	won := 0
	for i, err := range answers {
		if err == nil {
			won++
			attempts[i].Accepted()
			continue
		}
		wantWrongEpoch(t, err, 2)
	}
	if won != 1 {
		t.Errorf("%d Commits of one epoch were accepted", won)
	}
}

// TestDepartingParticipant: a participant whose removal the hub has accepted sends
// nothing but Remove and SelfRemove for its own leaves, and gets no more messages
// (draft-ietf-mimi-protocol-06, section 5.3).
func TestDepartingParticipant(t *testing.T) {
	w := trio(t)
	said, late := w.Say(carol, "one more"), w.Make(carol)
	proposal := w.MakeProposals(carol, w.ListUpdate(room.ParticipantListUpdate{Added: []room.Participant{{User: w.Client(dave).User(), Role: room.RoleMember}}}))
	late.Drop()
	heard := w.Say(bob, "to who is left")
	index, _ := w.Public().State().Find(w.Users[carol])
	if err := w.Propose(alice, &mls.Remove{Removed: w.Leaf(carol)}, w.ListUpdate(room.ParticipantListUpdate{Removed: []uint32{index}})); err != nil {
		t.Fatal(err)
	}
	_, err := w.hub.SubmitMessage(t.Context(), "c.example", w.Room, mmrtest.Again(t, said))
	wantNotAllowed(t, err, "leaving the room")
	wantNotAllowed(t, late.Send(), "leaving the room")
	_, err = w.hub.Update(t.Context(), "c.example", w.Room, mmrtest.Again(t, proposal))
	wantNotAllowed(t, err, "leaving the room")
	before := len(w.delivered("c.example", 2))
	if _, err := w.hub.SubmitMessage(t.Context(), "b.example", w.Room, mmrtest.Again(t, heard)); err != nil {
		t.Fatal(err)
	}
	w.Commit(alice, mmrtest.Pending)
	got := w.delivered("c.example", before+1)
	if m := got[before][0]; m.Message.Message.PublicMessage == nil {
		t.Error("a participant who is leaving got a message")
	}
}
