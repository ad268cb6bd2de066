package mmrtest

import (
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Add adds clients, each with its entry, and new users to the participant list.
func Add(names ...string) Bend {
	return func(d *Draft) {
		for _, name := range names {
			_, listed := d.W.Users[userOf(name)]
			d.add(d.W.Client(name), !listed)
		}
	}
}

// AddClient adds a client that was prepared, under its user pseudonym, new to the
// participant list or not.
func AddClient(c *Client, listed bool) Bend {
	return func(d *Draft) { d.add(c, !listed) }
}

func (d *Draft) add(c *Client, list bool) {
	kp := *d.W.KeyPackage(c)
	d.added = append(d.added, c)
	d.Commit.Proposals = append(d.Commit.Proposals, &mls.Add{KeyPackage: kp})
	d.Entries = append(d.Entries, d.W.Wrap(d.Node, c.Identity))
	if list {
		d.List.Added = append(d.List.Added, room.Participant{User: c.User(), Role: room.RoleMember})
	}
}

// Crowd adds n clients of different users of one provider that never join. It is
// for large rooms.
func Crowd(n int, names func(int) string) Bend {
	return func(d *Draft) {
		for i := range n {
			Add(names(i))(d)
		}
		d.added = nil
	}
}

// Remove removes clients, and users without any other from the participant list.
func Remove(names ...string) Bend {
	return func(d *Draft) {
		before := d.Node.Rules.Room()
		gone := map[string]int{}
		for _, name := range names {
			d.Commit.Proposals = append(d.Commit.Proposals, &mls.Remove{Removed: d.W.Leaf(name)})
			user := userOf(name)
			if gone[user]++; gone[user] == len(before.LeavesOf(d.W.Users[user])) {
				d.Unlist(user)
			}
		}
	}
}

// Unlist takes a user out of the participant list.
func (d *Draft) Unlist(user string) {
	index, ok := d.Node.Rules.Room().State().Find(d.W.Users[user])
	if !ok {
		d.W.T.Fatalf("%s is not in the participant list", user)
	}
	d.List.Removed = append(d.List.Removed, index)
	slices.Sort(d.List.Removed)
}

// NewCredential gives the committer a new credential, with its own entry.
func NewCredential(d *Draft) {
	d.self = d.W.Client(d.From)
	d.Commit.NewLeaf = &d.self.Params
	OwnEntry(d)
}

// OwnEntry adds an entry for the committer's own leaf.
func OwnEntry(d *Draft) {
	id := d.Node.identities[d.W.Leaf(d.From)]
	if d.self != nil {
		id = d.self.Identity
	}
	d.Entries = append(d.Entries, d.W.Wrap(d.Node, id))
}

// Pending commits all pending proposals.
func Pending(d *Draft) { d.Commit.AllPending = true }

// Rename sets the encrypted name of the room.
func Rename(name string) Bend {
	return Propose(func(w *World, n *Node) mls.ProposalBody { return w.nameUpdate(n.Ring.Newest(), name) })
}

// Propose adds a proposal by value.
func Propose(body func(w *World, n *Node) mls.ProposalBody) Bend {
	return func(d *Draft) {
		if d.External != nil {
			d.External.Proposals = append(d.External.Proposals, body(d.W, d.Node))
			return
		}
		d.Commit.Proposals = append(d.Commit.Proposals, body(d.W, d.Node))
	}
}

// Update adds an AppDataUpdate by value.
func Update(id mls.ComponentID, m wire.Message) Bend {
	return func(d *Draft) {
		data := must(wire.Marshal(m))(d.W.T)
		Propose(func(*World, *Node) mls.ProposalBody { return update(id, data) })(d)
	}
}

func update(id mls.ComponentID, data []byte) *mls.AppDataUpdate {
	return &mls.AppDataUpdate{Component: id, Operation: mls.AppDataUpdateUpdate, Update: data}
}

func (w *World) nameUpdate(key identity.WrapperKey, name string) *mls.AppDataUpdate {
	w.T.Helper()
	return update(identity.ComponentRoomMetadata, must(wire.Marshal(w.SealName(key, name)))(w.T))
}

// ListUpdate is the proposal that changes the participant list.
func (w *World) ListUpdate(u room.ParticipantListUpdate) *mls.AppDataUpdate {
	w.T.Helper()
	op := must(u.Operation())(w.T)
	return update(mls.ComponentID(op.ID), op.Data)
}

// Leave are the proposals with which a member leaves.
func (w *World) Leave(name string) []mls.ProposalBody {
	w.T.Helper()
	index, ok := w.Public().State().Find(w.Users[userOf(name)])
	if !ok {
		w.T.Fatalf("%s is not in the participant list", name)
	}
	return []mls.ProposalBody{&mls.SelfRemove{}, w.ListUpdate(room.ParticipantListUpdate{Removed: []uint32{index}})}
}

// Proof adds a sibling proof by a member's leaf for the joiner.
func Proof(by string) Bend {
	return func(d *Draft) {
		proof := must(identity.NewSiblingProof(d.W.Suite, d.W.groupID(), d.W.Leaf(by), d.W.Key(by), d.self.Identity.TBS()))(d.W.T)
		d.Safe = append(d.Safe, must(proof.SafeAADItem())(d.W.T))
	}
}

// Ignorant gives a joiner other wrapper keys than those of the room, under the same
// generations: it does not know what the join PSK proves.
func Ignorant(d *Draft) {
	var keys []identity.WrapperKey
	for _, known := range d.Node.Ring.Keys() {
		key := must(identity.NewWrapperKey(d.W.Suite, d.W.Random))(d.W.T)
		key.Generation = known.Generation
		keys = append(keys, key)
	}
	d.Node.Ring = must(identity.NewKeyRing(keys...))(d.W.T)
}

// NoEntries leaves the AddAAD out.
func NoEntries(d *Draft) { d.Entries = nil }

// Item adds a component to the SafeAAD.
func Item(id mls.ComponentID, data ...byte) Bend {
	return func(d *Draft) { d.Safe = append(d.Safe, mls.SafeAADItem{ID: id, Data: data}) }
}
