package attack

import (
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rotationAttacks are made by a hub that lets its administrator do what no rule
// allows: the members have to refuse it.
func rotationAttacks() []Attack {
	return []Attack{
		inLair("remove-and-add", "adds somebody in the Commit that rotates the wrapper key, which the removed one can compute", "rotation-add", "3",
			removesEve, adds()),
		inLair("remove-and-renew", "takes a new credential in a Commit that removes", "rotation-credential", "3", removesEve, func(w *world) bend {
			return func(d *draft) { renew(w.newcomer(w.mallory, d.im.tbs(w.mallory).UserPseudonym, nil))(d) }
		}),
		inLair("remove-and-rename", "encrypts the name in a Commit that removes", "rotation-metadata", "3", removesEve, plain(func(d *draft) {
			propose(d.im.name(d.im.ring.Newest(), "another name"))(d)
		})),
		{
			Name: "stale-name", What: "leaves the name under the key that a removed member has", Check: "metadata-stale", Section: "3",
			play: func(w *world) success {
				target := w.gather(w.victim, w.alice, w.mallory, w.eve)
				w.check(w.victim.Node.Client().Kick(w.ctx, w.alice, target, w.eve))
				im := w.implant(target)
				return w.update(target, im.commit(w.mallory, adds()(w), func(d *draft) { d.keepMetadata = true }))
			},
		},
	}
}

func removesEve(w *world) bend { return func(d *draft) { remove(d.im.own[w.eve])(d) } }

// inLair is an attack by which Mallory's hub sends out a Commit that it should have
// refused.
func inLair(name, what, check, section string, bends ...func(w *world) bend) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		return w.sendsOut(w.lair, each(w, bends)...)
	}}
}

// sendsOut lets Mallory's hub send Alice a Commit of Mallory's.
func (w *world) sendsOut(uri mimi.URI, bends ...bend) success {
	im := w.implant(uri)
	before := w.epoch(w.victim, uri)
	req := im.commit(w.mallory, bends...)
	w.fanOut(im, &protocol.FanoutMessage{Accepted: time.Now(), Message: req.ProposalOrCommit})
	return func() string {
		if w.epoch(w.victim, uri) > before {
			return "Alice follows the Commit"
		}
		return ""
	}
}

// fanOut sends messages to Alice, as the hub of a room.
func (w *world) fanOut(im *implant, messages ...*protocol.FanoutMessage) answer {
	return w.post(protocol.EndpointNotify, im.uri.String(), w.fanOutBody(im, im.victimLeaf(), messages...))
}

func (w *world) fanOutBody(im *implant, leaf mls.LeafIndex, messages ...*protocol.FanoutMessage) []byte {
	m, _ := im.group.View().Member(leaf)
	tbs, _ := im.room().Leaf(leaf)
	queue := must(identity.QueueFrom(m.Leaf.Extensions, tbs))
	var out []*protocol.MinimalMetadataFanout
	for _, message := range messages {
		message.Accepted = message.Accepted.Truncate(time.Millisecond)
		out = append(out, &protocol.MinimalMetadataFanout{Message: *message, Targets: []protocol.FanoutTarget{{Queue: *queue, TBS: *tbs}}})
	}
	return must(protocol.MarshalFanout(out...))
}

// policyAttacks change the room's policy as it must not change.
func policyAttacks() []Attack {
	policy := func(name, what, check string, change func(p *identity.MinimalMetadataPolicy)) Attack {
		return inLair(name, what, check, "6", plain(func(d *draft) {
			next := d.im.room().Policy()
			change(&next)
			propose(update(identity.ComponentPolicy, must(wire.Marshal(&next))))(d)
		}))
	}
	raw := func(name, what, check string, data ...byte) Attack {
		return inLair(name, what, check, "6", plain(func(d *draft) { propose(update(identity.ComponentPolicy, data))(d) }))
	}
	return []Attack{
		policy("forbidden", "forbids identity links in a room that has them", "policy-forbidden", func(p *identity.MinimalMetadataPolicy) {
			p.Requirement = identity.Forbidden
		}),
		policy("becomes-connection-room", "makes a connection room of a group", "policy-fixed", func(p *identity.MinimalMetadataPolicy) {
			*p = identity.ConnectionRoomPolicy()
		}),
		raw("static", "stops the rotation of the wrapper key", "policy-static", 1, 0, 0, 0, 0, 0, 0x03, 0xe8),
		raw("nobody", "allows nobody in the room", "policy-users", 1, 0, 1, 0, 0, 0, 0, 0),
		inLair("no-policy", "removes the policy, so that no rule is left", "policy-missing", "6",
			plain(propose(&mls.AppDataUpdate{Component: identity.ComponentPolicy, Operation: mls.AppDataUpdateRemove}))),
		{
			Name: "tightened", What: "asks for identities in a room that people have entered without", Check: "policy-tightened", Section: "6",
			play: func(w *world) success {
				target := w.gatherWith(client.RoomOptions{Name: "a room", Requirement: identity.RequireNone}, w.evil, w.mallory, w.alice)
				return w.sendsOut(target, func(d *draft) {
					next := d.im.room().Policy()
					next.Requirement = identity.RequireAll
					propose(update(identity.ComponentPolicy, must(wire.Marshal(&next))))(d)
				})
			},
		},
		{
			Name: "hidden-administrator", What: "makes somebody an administrator whom nobody can identify", Check: "role-entry", Section: "6",
			play: func(w *world) success {
				target := w.gatherWith(client.RoomOptions{Name: "a room", Requirement: identity.RequireAdmins}, w.evil, w.mallory, w.alice)
				im := w.implant(target)
				n := w.newcomer(w.stranger(), mimi.URI{}, nil)
				before := w.epoch(w.victim, target)
				req := im.commit(w.mallory, add(n, false), func(d *draft) { d.entries[0] = nil })
				w.fanOut(im, &protocol.FanoutMessage{Accepted: time.Now(), Message: req.ProposalOrCommit})
				w.until(patience, func() bool { return w.epoch(w.victim, target) > before })
				im.merge()
				req = im.commit(w.mallory, func(d *draft) {
					index, _ := im.room().State().Find(n.id.TBS().UserPseudonym)
					d.list.Changed = append(d.list.Changed, room.RoleAssignment{Index: index, Role: room.RoleAdmin})
				})
				w.fanOut(im, &protocol.FanoutMessage{Accepted: time.Now(), Message: req.ProposalOrCommit})
				return func() string {
					if w.epoch(w.victim, target) > before+1 {
						return "Alice follows the Commit"
					}
					return ""
				}
			},
		},
		policy("too-many", "lowers max_users below those who are there", "max-users", func(p *identity.MinimalMetadataPolicy) { p.MaxUsers = 2 }),
	}
}
