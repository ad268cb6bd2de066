package hub_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// The corner cases of docs/mmr-profile.md, section 8, that need users with several
// clients are tested here. The others are in package client.

// TestCornerSecondClientLater: a further client of a member comes in by its
// sibling's Commit, another one by itself with its sibling's proof and without a
// code. The participant list does not change, and both can do what the first can.
func TestCornerSecondClientLater(t *testing.T) {
	w := trio(t)
	before := len(w.Public().State().Participants())
	w.Joining = nil // nobody asks for a GroupInfo with a code
	w.Commit(bob, mmrtest.Add("bob@b.example/2"))
	w.Accept(w.Join("bob@b.example/3", mmrtest.Proof("bob@b.example/2")))
	if leaves := w.Public().LeavesOf(w.Users[bob]); len(leaves) != 3 {
		t.Errorf("Bob has %d leaves", len(leaves))
	}
	if after := len(w.Public().State().Participants()); after != before {
		t.Errorf("%d participants before, %d after", before, after)
	}
	for _, i := range w.Public().LeavesOf(w.Users[bob]) {
		if entry, ok := w.Public().Table().Key(i); !ok || entry == nil {
			t.Errorf("leaf %d has no entry in the table", i)
		}
	}
	w.Commit("bob@b.example/3", mmrtest.Add(dave))
	w.Commit("bob@b.example/2")
	w.consistent()
	w.restart()
	w.Commit(alice)
}

// TestCornerLastClientLeaves: as long as a user has a client the user stays a
// participant, whoever of the clients leaves; with the last one the user is out of
// the list, in the same Commit, and gets nothing that follows. Each time the wrapper
// key is rotated.
func TestCornerLastClientLeaves(t *testing.T) {
	w := trio(t)
	w.Commit(carol, mmrtest.Add("carol@c.example/2"))
	user := w.Users[carol]
	listed := func() bool {
		_, ok := w.Public().State().Find(user)
		return ok
	}
	generation := w.Public().Newest()
	rotated := func() {
		t.Helper()
		if next := w.Public().Newest(); next <= generation {
			t.Errorf("generation %d after %d", next, generation)
		} else {
			generation = next
		}
	}

	// The first client alone: its SelfRemove, and nothing about the list.
	if err := w.Propose(carol, w.Leave(carol)[:1]...); err != nil {
		t.Fatal(err)
	}
	w.Commit(alice, mmrtest.Pending)
	if rotated(); !listed() || len(w.Public().LeavesOf(user)) != 1 {
		t.Errorf("Carol is a participant: %t, with %d leaves", listed(), len(w.Public().LeavesOf(user)))
	}
	w.Commit("carol@c.example/2") // who is left takes part

	// The last client, with its user.
	if err := w.Propose("carol@c.example/2", w.Leave("carol@c.example/2")...); err != nil {
		t.Fatal(err)
	}
	w.drained()
	w.net.mu.Lock()
	got := len(w.net.got["c.example"])
	w.net.mu.Unlock()
	w.Commit(alice, mmrtest.Pending)
	if rotated(); listed() || len(w.Public().LeavesOf(user)) != 0 {
		t.Errorf("Carol is a participant: %t, with %d leaves", listed(), len(w.Public().LeavesOf(user)))
	}
	if entries := w.Public().Table().Entries; len(entries) != 2 {
		t.Errorf("the table has %d entries, want those of Alice and Bob", len(entries))
	}
	w.say(bob, "she is gone")
	w.Commit(bob)
	w.drained()
	w.delivered("c.example", got+1) // the Commit that removes her, and nothing else
	w.consistent()
}

// TestParticipantWithoutClients: a user's last client may leave alone. The user stays in
// the participant list, gets nothing, can say nothing, and is removed like others.
func TestParticipantWithoutClients(t *testing.T) {
	w := trio(t)
	user, generation := w.Users[carol], w.Public().Newest()
	if err := w.Propose(carol, w.Leave(carol)[:1]...); err != nil {
		t.Fatal(err)
	}
	w.Commit(alice, mmrtest.Pending)
	index, listed := w.Public().State().Find(user)
	if !listed || len(w.Public().LeavesOf(user)) != 0 || w.Public().Newest() <= generation {
		t.Fatalf("listed %t, %d leaves, generation %d", listed, len(w.Public().LeavesOf(user)), w.Public().Newest())
	}
	w.drained()
	w.net.mu.Lock()
	got := len(w.net.got["c.example"])
	w.net.mu.Unlock()
	w.say(bob, "who is there?")
	w.drained()
	w.delivered("c.example", got)
	w.Commit(alice, mmrtest.Update(mls.ComponentID(room.ComponentParticipantList), &room.ParticipantListUpdate{Removed: []uint32{index}}))
	if _, listed := w.Public().State().Find(user); listed {
		t.Error("Carol is still listed")
	}
	w.consistent()
}

// TestNobodyTakesAnEmptyPlace: whoever joins under the pseudonym of a participant without
// clients would have that one's role: nobody can vouch for them. Nor does an ordinary
// participant bring somebody into it.
func TestNobodyTakesAnEmptyPlace(t *testing.T) {
	for name, code := range map[string]bool{"with a code": true, "without a code": false} {
		t.Run(name, func(t *testing.T) {
			w := trio(t)
			user := w.Users[carol]
			index, _ := w.Public().State().Find(user)
			w.Commit(alice, mmrtest.Update(mls.ComponentID(room.ComponentParticipantList),
				&room.ParticipantListUpdate{Changed: []room.RoleAssignment{{Index: index, Role: room.RoleAdmin}}}))
			if err := w.Propose(carol, w.Leave(carol)[:1]...); err != nil {
				t.Fatal(err)
			}
			w.Commit(alice, mmrtest.Pending)
			mallory := w.ClientAs("mallory@c.example", user)
			if code {
				w.shown(mallory)
			}
			w.Joining = nil
			unlisted := func(d *mmrtest.Draft) { d.List = room.ParticipantListUpdate{} }
			w.refused(w.JoinAs(mallory, unlisted), func(err error) { wantNotAllowed(t, err, identity.ErrSibling.Error()) })
			w.refused(w.Make(bob, mmrtest.AddClient(mallory, true)), func(err error) { wantNotAllowed(t, err, room.ErrRoleChange.Error()) })
			if n := len(w.Public().LeavesOf(user)); n > 0 {
				t.Errorf("%d leaves", n)
			}
			w.consistent()
		})
	}
}
