package attack

import (
	"errors"
	"net/http"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A greeting is a Welcome that is about to be sent to Alice.
type greeting struct {
	stage *stage
	// adder is who adds her, with a KeyPackage that was made for Mallory.
	adder mimi.URI
	// path is the room that the hub sends it for, if not the stage's.
	path mimi.URI
	bend bend
	// tree bends the tree that comes with it.
	tree func(*mls.RatchetTree)
	// sent changes the Welcome itself.
	sent func(*mls.Welcome)
}

// greets is an attack by a hub that adds Alice to a room.
func greets(name, what, check, section string, prepare func(w *world, g *greeting)) Attack {
	return Attack{Name: name, What: what, Check: check, Section: section, play: func(w *world) success {
		uri := must(mimi.NewID(w.evil.Domain, mimi.KindRoom, w.random))
		g := &greeting{adder: w.mallory, path: uri}
		g.stage = w.newStage(uri, nil, identity.MinimalMetadataPolicy{
			Requirement: identity.RequireAll, Mode: identity.WrapperEpochRotated, MaxUsers: 100,
		})
		prepare(w, g)
		if g.stage.creator == nil {
			g.stage.creator = w.newcomer(g.adder, mimi.URI{}, nil)
		}
		im, _ := w.build(g.stage, must(identity.NewWrapperKey(w.suite, w.random)))
		body := w.greeting(im, g, w.packageOfAlice(uri, g.stage.creator))
		w.post(protocol.EndpointNotify, g.path.String(), body)
		return func() string {
			if w.victim.Count(func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Room == g.path }) > 0 {
				return "Alice is shown the invitation"
			}
			return ""
		}
	}}
}

// packageOfAlice fetches a KeyPackage that was made for Mallory.
func (w *world) packageOfAlice(uri mimi.URI, n *newcomer) *mls.KeyPackage {
	_, theirs := w.keys(w.mallory, w.alice)
	f := w.fetch(uri, n.id.TBS(), n.params.Credential, n.id.Key, w.victim.Domain, theirs.Token)
	req := w.request(f)
	a := w.send(protocol.EndpointKeyMaterialAnonymous, "", req)
	var sealed protocol.SealedKeyMaterial
	if a.status != http.StatusOK || wire.Unmarshal(a.body, &sealed) != nil {
		panic(failure{errors.New("the victim has handed out no KeyPackage")})
	}
	answer := must(sealed.Open(w.suite, f.response, must(req.Hash())))
	w.check(answer.Err())
	return answer.Clients[0].KeyPackage
}

// greeting commits the Add of Alice and makes what the hub sends her.
func (w *world) greeting(im *implant, g *greeting, kp *mls.KeyPackage) []byte {
	_, theirs := w.keys(w.mallory, w.alice)
	cred := must(identity.ParseCredential(w.suite, kp.LeafNode.Credential, kp.LeafNode.SignatureKey))
	link := must(identity.DeriveLinkKey(w.suite, theirs.Key, &cred.PseudonymousCredentialTBS))
	entry := must(im.ring.Newest().Wrap(w.suite, im.groupID, &cred.PseudonymousCredentialTBS, link, w.random))
	d := &draft{im: im, commit: mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: *kp}}}}
	d.entries = append(d.entries, entry)
	list(d, cred.UserPseudonym)
	if g.bend != nil {
		g.bend(d)
	}
	pending := must(d.pending())
	must(im.group.Merge(w.ctx))
	tree := again(im.group.RatchetTree())
	if g.tree != nil {
		g.tree(tree)
	}
	welcome := pending.Welcome
	if g.sent != nil {
		g.sent(welcome)
	}
	queue := must(identity.QueueFrom(kp.LeafNode.Extensions, &cred.PseudonymousCredentialTBS))
	return must(protocol.MarshalFanout(&protocol.MinimalMetadataFanout{
		Message: protocol.FanoutMessage{
			Accepted: time.Now().Truncate(time.Millisecond), Message: mls.MLSMessage{Welcome: welcome}, RatchetTree: protocol.FullTree(*tree),
		},
		Targets: []protocol.FanoutTarget{{Queue: *queue, TBS: cred.PseudonymousCredentialTBS}},
	}))
}

func welcomeAttacks() []Attack {
	return []Attack{
		greets("stranger", "lets somebody add Alice for whom she has made no KeyPackage", "welcome-stranger", "5", func(w *world, g *greeting) {
			g.adder = w.eve
		}),
		greets("another-room", "sends the Welcome of one room for another", "welcome-room", "1", func(w *world, g *greeting) {
			g.path = must(mimi.NewID(w.evil.Domain, mimi.KindRoom, w.random))
		}),
		greets("connection-room", "adds Alice to a connection room", "welcome-connection-room", "4", func(_ *world, g *greeting) {
			g.stage.policy = identity.ConnectionRoomPolicy()
			g.stage.instance = room.ConnectionRoom()
		}),
		greets("no-wrapper-keys", "leaves the wrapper keys out, so that Alice knows nobody", "welcome-keys-missing", "3", func(_ *world, g *greeting) {
			g.bend = func(d *draft) {
				d.inside = func(x mls.AppDataDictionary) mls.AppDataDictionary { return x.Without(identity.ComponentWrapperKeys) }
			}
		}),
		greets("no-link-state-inside", "leaves identity_link_state out of the Welcome", "link-state-missing", "3", func(_ *world, g *greeting) {
			g.bend = func(d *draft) {
				d.inside = func(x mls.AppDataDictionary) mls.AppDataDictionary { return x.Without(identity.ComponentLinkState) }
			}
		}),
		greets("wrong-tree", "sends the tree of another epoch with the Welcome", "mls-tree-hash", "8", func(_ *world, g *greeting) {
			g.tree = func(t *mls.RatchetTree) { (*t)[0].Leaf.Signature[5] ^= 1 }
		}),
		greets("wrong-table", "gives Alice the table of other leaves", "table-leaves", "3", func(_ *world, g *greeting) {
			g.bend = func(d *draft) {
				d.welcome = func(k *identity.WelcomeKeys) {
					k.Table = &identity.IdentityLinkTable{GroupID: k.Table.GroupID, Epoch: k.Table.Epoch, Entries: k.Table.Entries[:1]}
				}
			}
		}),
		greets("changed-welcome", "changes the Welcome on its way", "mls-decrypt", "8", func(_ *world, g *greeting) {
			g.sent = func(m *mls.Welcome) { m.EncryptedGroupInfo[5] ^= 1 }
		}),
	}
}
