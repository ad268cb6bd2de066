package mmr_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// checkStored fails unless the rows at the hub are those of its room, whose state is
// what its GroupContext says: what is carried over from Commit to Commit is what
// reading everything anew gives.
func checkStored(t *testing.T, hub *mmrtest.PublicHub) {
	t.Helper()
	have := hub.Rules.Room()
	stored, _, err := mmr.SplitRows(hub.Stored())
	if err != nil {
		t.Fatal(err)
	}
	view := hub.Group.View()
	again, err := stored.Open(hub.Group.Suite(), view)
	if err != nil {
		t.Fatal(err)
	}
	anew, err := mmr.Open(hub.Group.Suite(), view, have.Newest(), have.Table())
	if err != nil {
		t.Fatalf("a joiner refuses the room: %v", err)
	}
	for _, other := range []*mmr.Room{again, anew} {
		if diff := cmp.Diff(describe(other), describe(have)); diff != "" {
			t.Errorf("room read anew (-) and carried over (+):\n%s", diff)
		}
	}
}

type description struct {
	Epoch        uint64
	Newest       identity.Generation
	Policy       identity.MinimalMetadataPolicy
	Participants []room.Participant
	Components   room.Components
	Leaves       map[mls.LeafIndex]string
	Users        map[string][]mls.LeafIndex
	Clients      map[string]int
	Table        identity.IdentityLinkTable
}

func describe(r *mmr.Room) description {
	d := description{
		Epoch: r.Epoch(), Newest: r.Newest(), Policy: r.Policy(), Participants: r.State().Participants(), Components: r.State().Components(),
		Leaves: map[mls.LeafIndex]string{}, Users: map[string][]mls.LeafIndex{}, Clients: map[string]int{}, Table: *r.Table(),
	}
	for _, i := range r.Leaves() {
		tbs, _ := r.Leaf(i)
		d.Leaves[i] = fmt.Sprint(tbs.ClientPseudonym, tbs.UserPseudonym, tbs.SignaturePublicKey)
		user := tbs.UserPseudonym
		d.Users[user.String()], d.Clients[user.String()] = r.LeavesOf(user), r.State().Clients(user)
	}
	return d
}

// TestRoom is the life of a room with everything that is legal in it. After each
// step all members and the hub agree, and the hub's rows are those of the room.
func TestRoom(t *testing.T) {
	hub := mmrtest.NewPublicHub()
	w := mmrtest.New(t, hub, mmrtest.GroupPolicy(), alice)
	step := func(what string, f func()) {
		t.Helper()
		f()
		if t.Failed() {
			t.Fatal(what)
		}
		w.Check()
		checkStored(t, hub)
	}
	wantNewest := func(g identity.Generation) {
		t.Helper()
		if got := w.Public().Newest(); got != g {
			t.Errorf("newest generation is %d, want %d", got, g)
		}
	}
	step("create", func() {})
	step("add two at once", func() { mmrtest.Trio(w) })
	step("rename", func() { w.Commit(bob, mmrtest.Rename("plans")) })
	step("a Commit without anything", func() { w.Commit(carol) })
	step("a new credential", func() { w.Commit(bob, mmrtest.NewCredential) })
	step("an entry without a new credential", func() { w.Commit(bob, mmrtest.OwnEntry) })
	step("a second leaf by the first", func() { w.Commit(bob, mmrtest.Add("bob@b.example/2")) })
	step("a third leaf with a proof", func() { w.Accept(w.Join("bob@b.example/3", mmrtest.Proof(bob))) })
	step("all clients of a new user at once", func() { w.Commit(carol, mmrtest.Add("hana@h.example", "hana@h.example/2")) })
	step("they go", func() {
		w.Commit(alice, mmrtest.Remove("hana@h.example", "hana@h.example/2"))
		w.Commit(alice)
	})
	before := w.Public().Newest()
	step("a joiner", func() { w.Accept(w.Join(dave)) })
	wantNewest(before)
	step("a client of several goes", func() { w.Commit(bob, mmrtest.Remove("bob@b.example/2")) })
	rotated := w.Public().Epoch()
	wantNewest(identity.Generation(rotated))
	step("an Add after a rotation", func() { w.Commit(alice, mmrtest.Add("eve@e.example")) })
	if m := w.Public().Metadata(); m == nil || m.Generation != identity.Generation(rotated) {
		t.Errorf("the room's name is not under generation %d", rotated)
	}
	step("a user is removed with all leaves", func() { w.Commit(alice, mmrtest.Remove(bob, "bob@b.example/3")) })
	step("two removals in a row", func() { w.Commit(alice, mmrtest.Remove("eve@e.example")) })
	step("a joiner after a rotation", func() { w.Accept(w.Join("finn@f.example")) })
	step("a resync", func() { w.Accept(w.Resync(dave)) })
	wantNewest(identity.Generation(w.Public().Epoch()))
	step("two leave at once", func() {
		for _, name := range []string{carol, dave} {
			if err := w.Propose(name, w.Leave(name)...); err != nil {
				t.Fatal(err)
			}
		}
		w.Commit(alice, mmrtest.Pending)
	})
	step("the policy weakens", func() {
		policy := w.Public().Policy()
		policy.Requirement = identity.RequireAdmins
		w.Commit(alice, mmrtest.Update(identity.ComponentPolicy, &policy))
	})
	step("an Add without entry", func() {
		w.Commit(alice, mmrtest.Add("gus@g.example"), func(d *mmrtest.Draft) { d.Entries[0] = nil })
	})
	if n := len(w.Public().Leaves()); n != 3 {
		t.Errorf("%d leaves at the end, want Alice, Finn and Gus", n)
	}
}

// TestConnectionRoom: two users, one key (docs/mmr-profile.md, sections 4 and 6).
func TestConnectionRoom(t *testing.T) {
	hub := mmrtest.NewPublicHub()
	w := mmrtest.New(t, hub, identity.ConnectionRoomPolicy(), alice)
	w.Accept(w.Join(bob))
	w.Accept(w.Resync(bob))
	w.Commit(alice, mmrtest.NewCredential)
	checkStored(t, hub)
	if g := w.Public().Newest(); g != 0 {
		t.Errorf("newest generation %d in a static room", g)
	}
	w.Commit(alice, mmrtest.Remove(bob))
	checkStored(t, hub)
}

// TestForbidden: everyone enters by an external Commit, and no entry is present
// (docs/mmr-profile.md, section 6).
func TestForbidden(t *testing.T) {
	policy := mmrtest.GroupPolicy()
	policy.Requirement = identity.Forbidden
	hub := mmrtest.NewPublicHub()
	w := mmrtest.New(t, hub, policy, alice)
	w.Accept(w.Join(bob))
	w.Accept(w.Join(carol))
	w.Commit(alice, mmrtest.Remove(bob))
	checkStored(t, hub)
	for _, e := range w.Public().Table().Entries {
		if e.Key != nil {
			t.Errorf("leaf %d has an entry", e.Leaf)
		}
	}
}

// TestParticipantFirst: the participant list may change before the leaf comes
// (draft-ietf-mimi-protocol-06, section 5.3).
func TestParticipantFirst(t *testing.T) {
	w := mmrtest.New(t, nil, mmrtest.GroupPolicy(), alice)
	c := w.Client(bob)
	w.Commit(alice, func(d *mmrtest.Draft) {
		d.List.Added = append(d.List.Added, room.Participant{User: c.User(), Role: room.RoleMember})
	})
	w.Commit(alice, mmrtest.AddClient(c, true))
	if got := w.Public().LeavesOf(c.User()); !slices.Equal(got, []mls.LeafIndex{1}) {
		t.Errorf("leaves %v", got)
	}
}
