package attack

import (
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// proposalAttacks use proposals that are not legal, or not legal so.
func proposalAttacks() []Attack {
	alone := func(name, what, check string, body func(w *world, im *implant) mls.ProposalBody) Attack {
		return Attack{Name: name, What: what, Check: check, Section: "3", play: func(w *world) success {
			im := w.implant(w.room)
			m, _, err := im.group.Propose(w.ctx, im.own[w.mallory], body(w, im), mls.AuthenticatedData{})
			w.check(err)
			return w.update(w.room, &protocol.UpdateRequest{ProposalOrCommit: mls.MLSMessage{PublicMessage: m}})
		}}
	}
	return []Attack{
		commits("group-context-extensions", "sets the GroupContext anew", "proposal-type", "3", plain(func(d *draft) {
			propose(&mls.GroupContextExtensions{Extensions: d.im.group.View().Context().Extensions})(d)
		})),
		commits("psk-of-a-member", "injects a PSK that only joiners use", "joiners-proposal", "3", plain(func(d *draft) {
			propose(&mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: identity.JoinPSKID(0)}})(d)
		})),
		alone("add-by-reference", "proposes an Add that somebody else would have to make the entry of", "add-by-reference", func(w *world, _ *implant) mls.ProposalBody {
			return &mls.Add{KeyPackage: *w.keyPackage(w.newcomer(w.stranger(), mimi.URI{}, nil))}
		}),
		alone("name-by-reference", "proposes a name that somebody else would have to encrypt", "component-by-reference", func(_ *world, im *implant) mls.ProposalBody {
			return im.name(im.ring.Newest(), "another name")
		}),
		commits("removal-by-a-member", "removes Eve without being an administrator", "room-capability", "8", func(w *world) bend {
			return func(d *draft) { remove(d.im.own[w.eve])(d) }
		}),
		commits("unlisted-leaf", "adds a leaf that is in no participant list", "room-not-participant", "3", func(w *world) bend {
			n := w.newcomer(w.stranger(), mimi.URI{}, nil)
			return add(n, true)
		}),
		commits("plain-name", "names the room in the clear", "room-plain-metadata", "3", plain(func(d *draft) {
			data := must(wire.Marshal(&room.RoomMetadata{URI: d.im.uri.String(), Name: "a secret name"}))
			propose(update(mls.ComponentID(room.ComponentRoomMetadata), data))(d)
		})),
	}
}

// requestAttacks bend what comes with a Commit.
func requestAttacks() []Attack {
	info := func(change func(i *infoDraft)) func(*world) bend { return plain(func(d *draft) { d.info = change }) }
	request := func(change func(r *protocol.UpdateRequest)) func(*world) bend {
		return plain(func(d *draft) { d.request = change })
	}
	return []Attack{
		commits("old-table-hash", "signs the hash of another table", "link-state-table", "3", info(func(i *infoDraft) {
			i.state.TableHash = make([]byte, len(i.state.TableHash))
		})),
		commits("no-link-state", "leaves identity_link_state out", "link-state-missing", "3", info(func(i *infoDraft) { i.state = nil })),
		commits("other-generation", "signs another newest generation", "group-info-generation", "3", info(func(i *infoDraft) { i.state.NewestGeneration += 7 })),
		commits("wrapper-keys-in-public", "gives the hub the wrapper keys", "wrapper-keys-public", "3", info(func(i *infoDraft) {
			i.others = i.others.With(identity.ComponentWrapperKeys, []byte("keys"))
		})),
		commits("no-external-pub", "leaves external_pub out, so that nobody can join or come back", "group-info-external-pub", "3",
			info(func(i *infoDraft) { i.externalPub = false })),
		commits("other-tree", "sends another ratchet tree than the Commit leads to", "tree-other", "10", plain(func(d *draft) {
			d.request = func(r *protocol.UpdateRequest) { r.RatchetTree = protocol.FullTree(*d.im.group.RatchetTree()) }
		})),
		commits("tree-by-url", "lets the hub fetch the tree from a URL", "tree-option", "11", request(func(r *protocol.UpdateRequest) {
			r.RatchetTree = protocol.RatchetTreeOption{Representation: protocol.TreeHTTPSURI, URL: "https://evil.example/tree", Signature: []byte("x")}
		})),
		commits("no-welcome", "adds somebody without a Welcome", "welcome-missing", "3", adds(), request(func(r *protocol.UpdateRequest) { r.Welcome = nil })),
		commits("welcome-for-nobody", "adds two and lets one in", "welcome-adds", "3", adds(), adds(), request(func(r *protocol.UpdateRequest) {
			r.Welcome.Secrets = r.Welcome.Secrets[:1]
		})),
		commits("welcome-for-another", "adds one and lets another in", "welcome-key-package", "3", adds(), request(func(r *protocol.UpdateRequest) {
			r.Welcome.Secrets[0].NewMember[0] ^= 1
		})),
		{
			Name: "other-group", What: "sends a Commit of its own room to Alice's", Check: "update-group", Section: "10",
			play: func(w *world) success { return w.update(w.room, w.implant(w.lair).commit(w.mallory)) },
		},
		{
			Name: "old-commit", What: "sends a Commit of an epoch that is over", Check: "update-epoch", Section: "10",
			play: func(w *world) success {
				req := w.implant(w.room).commit(w.mallory)
				w.check(w.victim.Node.Client().Rename(w.ctx, w.alice, w.room, "renamed "+time.Now().Format(time.StampNano)))
				return w.update(w.room, req)
			},
		},
		{
			Name: "sender-of-another-provider", What: "sends a Commit in the name of Alice's leaf", Check: "update-domain", Section: "1",
			play: func(w *world) success {
				im := w.implant(w.room)
				req := im.commit(w.mallory)
				req.ProposalOrCommit.PublicMessage.Content.Sender.Index = im.victimLeaf()
				return w.update(w.room, req)
			},
		},
		{
			Name: "changed-commit", What: "changes a Commit of Eve's on its way", Check: "mls-signature", Section: "8",
			play: func(w *world) success {
				req := w.implant(w.room).commit(w.eve)
				req.ProposalOrCommit.PublicMessage.Content.Sender.Index = w.implant(w.room).own[w.mallory]
				return w.update(w.room, req)
			},
		},
	}
}
